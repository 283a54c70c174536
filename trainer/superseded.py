"""Which accepted corrections a reviewer's later decision has made void. Pure.

Of corrections that answer one question differently only one can be right. To learn one and be judged
by another would punish the candidate for what it was taught. Knows no database and no model; what a
correction does to *old* material is `trainer.replay`'s.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from feedback.harvest import Word
from feedback.words import agree, normalised


def superseded(words: Sequence[Word]) -> dict[str, str]:
    """Return the ids of corrections that are void, each with the one that a reviewer accepted last.

    What a reviewer accepted last counts for more than what one accepted before, and than what
    accounts agreed on among themselves. Where no reviewer has decided, nothing is void: how likely
    each is then, `feedback.corroboration` tells.

    Args:
        words: accepted feedback of one round.
    """
    by_question: dict[tuple[tuple[str, str], ...], list[Word]] = defaultdict(list)
    for word in words:
        if word.correction is not None:
            by_question[_asked(word.messages)].append(word)
    found: dict[str, str] = {}
    for same in by_question.values():
        decided = [(word.decided_at, word.feedback_id, word) for word in same if word.decided_at]
        if decided:
            _, newest, last = max(decided)
            found |= {
                word.feedback_id: newest
                for word in same
                if not agree(word.correction or "", last.correction or "")
            }
    return found


def _asked(messages: Sequence[Mapping[str, str]]) -> tuple[tuple[str, str], ...]:
    """What an answer was given to: every turn but the model's own, which seldom come out alike."""
    return tuple(
        (turn["role"], normalised(turn["content"]))
        for turn in messages
        if turn["role"] != "assistant"
    )
