"""Tokens to text, piece by piece: no half characters, and nothing of a stop string.

Knows nothing of torch, of engines or of how tokens were chosen.
"""

from collections.abc import Callable, Sequence

_HALF = "\ufffd"
_MAX_PENDING_TOKENS = 8
"""A character spans at most four bytes, so four tokens; what is still broken then stays broken."""


class TextStream:
    """The text of one answer while its tokens come in.

    Args:
        decode: token ids to text; called with a few ids at a time.
        stop: the text ends before the first of these strings.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str], stop: Sequence[str] = ()) -> None:
        self._characters = _Characters(decode)
        self._stops = StopStrings(stop)

    @property
    def stopped(self) -> bool:
        """Whether a stop string has been found: no text comes any more."""
        return self._stops.found

    def feed(self, token: int) -> str:
        """Take the next token; return what can be shown of the text by now, possibly nothing."""
        return self._stops.feed(self._characters.feed(token))

    def finish(self) -> str:
        """Return what was held back in case it became a stop string, for the answer has ended.

        Bytes that never became a character are dropped.
        """
        return self._stops.finish()


class StopStrings:
    """Lets text through up to the first stop string, holding back what could be its beginning."""

    def __init__(self, stop: Sequence[str]) -> None:
        self._stop = tuple(string for string in stop if string)
        self._held = ""
        self.found = False

    def feed(self, text: str) -> str:
        """Take new text; return what is certainly before any stop string."""
        if self.found or not text:
            return ""
        if not self._stop:
            return text
        text = self._held + text
        starts = [at for string in self._stop if (at := text.find(string)) >= 0]
        if starts:
            self.found, self._held = True, ""
            return text[: min(starts)]
        keep = max(_overlap(text, string) for string in self._stop)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def finish(self) -> str:
        """Return what is still held back; it did not become a stop string."""
        held, self._held = self._held, ""
        return held


class _Characters:
    """Whole characters from tokens.

    Each token is decoded together with the few before it, because tokenizers treat the beginning
    of a text differently (a leading space dropped, a prefix added).
    """

    def __init__(self, decode: Callable[[Sequence[int]], str]) -> None:
        self._decode = decode
        self._ids: list[int] = []
        self._known = 0
        self._shown = ""

    def feed(self, token: int) -> str:
        self._ids.append(token)
        text = self._decode(self._ids)
        pending = len(self._ids) - self._known
        if text.endswith(_HALF) and pending < _MAX_PENDING_TOKENS:
            whole = text.rstrip(_HALF)
            new = whole[len(self._shown) :] if whole.startswith(self._shown) else ""
            self._shown += new
            return new
        new = text[len(self._shown) :]
        # Only the last piece stays, as the context in which the next token is decoded.
        self._ids = self._ids[self._known :]
        self._known = len(self._ids)
        self._shown = self._decode(self._ids)
        return new


def _overlap(text: str, string: str) -> int:
    """Length of the longest end of `text` that is a beginning of `string`, short of all of it."""
    for length in range(min(len(text), len(string) - 1), 0, -1):
        if text.endswith(string[:length]):
            return length
    return 0
