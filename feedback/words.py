"""Comparing short texts: normal form, content words, and where two of them differ. Pure."""

import re
from difflib import SequenceMatcher

_WORD = re.compile(r"[^\W_]+(?:['’.,:][^\W_]+)*")
# The commonest words of English carry no subject. Other languages simply keep theirs.
_COMMON = """
a an and any are as at be by can could did do does for from had has have hello hey hi how i in is
it its long many me much my of on or our please so some sure tell than thank that the their them
then there they this to us was we what when where which who why will with would yes no you your
"""
_EMPTY = frozenset(_COMMON.split())


def words(text: str) -> list[str]:
    """Return the words of a text in order, casefolded, without punctuation around them."""
    return [match.group().casefold() for match in _WORD.finditer(text)]


def normalised(text: str) -> str:
    """Return the text as its words alone: case, spacing and punctuation do not count."""
    return " ".join(words(text))


def content_words(text: str) -> frozenset[str]:
    """Return the words that can name a subject."""
    return frozenset(words(text)) - _EMPTY


def supersedes(new: str, old: str, *, subject: frozenset[str]) -> bool:
    """Whether `new` says something else than `old` about the same thing.

    True where the two answers are one sentence but for a single stretch of words, that stretch is
    no part of the subject, and most words are shared: "The lamp costs 49 dollars." and "Of course!
    The lamp costs 59 dollars." An addition before or after does not matter, since it is manners
    and not matter.

    Args:
        new: the reviewed answer.
        old: the earlier answer.
        subject: the content words of the question that the new answer repeats.
    """
    ours, theirs = words(new), words(old)
    edits = [
        edit
        for edit in SequenceMatcher(None, theirs, ours, autojunk=False).get_opcodes()
        if edit[0] != "equal"
    ]
    inner = [
        edit
        for edit in edits
        if edit[0] == "replace" or not (_at_edge(edit[1], edit[2], len(theirs)))
    ]
    if len(inner) != 1 or not subject:
        return False
    _, old_start, old_end, new_start, new_end = inner[0]
    touched = set(theirs[old_start:old_end]) | set(ours[new_start:new_end])
    shared = sum(
        size
        for *_, size in SequenceMatcher(None, theirs, ours, autojunk=False).get_matching_blocks()
    )
    smaller = min(len(ours), len(theirs))
    return not touched & subject and subject <= set(theirs) and shared >= 0.55 * smaller


def _at_edge(start: int, end: int, length: int) -> bool:
    return start == 0 or end == length
