"""Which log-probabilities are told by when: those of the tokens that begin in text already told.

So a piece of a stream carries what belongs to its text, and nothing is told of what a stop string
cut off. Knows nothing of how tokens are chosen.
"""

import codecs

from serving.engines.base import TokenLogprob


class DueLogprobs:
    """Those of one answer, in order."""

    def __init__(self) -> None:
        # (character that it begins in, token), counted as decoding counts what is broken
        self._untold: list[tuple[int, TokenLogprob]] = []
        self._characters = codecs.getincrementaldecoder("utf-8")("replace")
        self._spelled = 0
        self._told = 0

    def add(self, token: TokenLogprob, *, hidden: bool = False) -> None:
        """Note the newest token.

        Args:
            hidden: a special token, of which the text shows nothing.
        """
        self._untold.append((self._spelled, token))
        if not hidden:
            self._spelled += len(self._characters.decode(token.raw))

    def told(self, text: str, *, whole: bool = False) -> tuple[TokenLogprob, ...]:
        """Return what becomes due with a new piece of text.

        Args:
            whole: the answer has ended, and not in the middle of its tokens: all that are left.
        """
        self._told += len(text)
        due = 0
        while due < len(self._untold) and (whole or self._untold[due][0] < self._told):
            due += 1
        now, self._untold = self._untold[:due], self._untold[due:]
        return tuple(token for _, token in now)
