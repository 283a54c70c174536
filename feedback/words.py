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


def nearly_alike(one: str, other: str) -> bool:
    """Whether two texts share at least four words of five, in order."""
    ours, theirs = words(one), words(other)
    return SequenceMatcher(None, ours, theirs, autojunk=False).ratio() >= 0.8


def supersedes(new: str, old: str, *, subject: frozenset[str]) -> bool:
    """Whether `new` says something else than `old` about the same thing.

    True where the two answers are one sentence but for one stretch of words that follows a word of
    its own: "The lamp costs 49 dollars." and "Of course! The lamp costs 59 dollars.", and not "The
    lamp is blue.", which goes apart right after its subject. Words added before or after do not
    matter, since they are manners and not matter.

    Args:
        new: the reviewed answer.
        old: the earlier answer.
        subject: the content words of the question that the new answer repeats.
    """
    ours, theirs = words(new), words(old)
    edits = [
        edit
        for edit in SequenceMatcher(None, theirs, ours, autojunk=False).get_opcodes()
        if edit[0] != "equal" and not _is_manners(edit, len(theirs), len(ours))
    ]
    replaced = any(kind == "replace" for kind, *_ in edits)
    if not replaced or not subject or not subject <= set(theirs):
        return False
    (_, old_start, _, new_start, _), (_, _, old_end, _, new_end) = edits[0], edits[-1]
    apart = {*theirs[old_start:old_end], *ours[new_start:new_end]}
    if apart & subject or old_start == 0 or new_start == 0:
        return False
    return theirs[old_start - 1] == ours[new_start - 1] and theirs[old_start - 1] not in subject


def _is_manners(edit: tuple[str, int, int, int, int], old_length: int, new_length: int) -> bool:
    """Whether an edit only adds or drops words at the very start or the very end."""
    kind, old_start, old_end, new_start, new_end = edit
    at_start = old_start == 0 and new_start == 0
    at_end = old_end == old_length and new_end == new_length
    return kind != "replace" and (at_start or at_end)
