"""Comparing short texts: normal form, content words, and where two of them differ. Pure."""

import re
from difflib import SequenceMatcher
from functools import lru_cache

_SENTENCE_END = re.compile(r"[.!?…]+(?:\s+|$)")
_WORD = re.compile(r"[^\W_]+(?:['’.,:][^\W_]+)*")
# The commonest words of English carry no subject. Other languages simply keep theirs.
_COMMON = """
a an and any are as at be by can could did do does for from had has have hello hey hi how i in is
it its long many me much my of on or our please so some sure tell than thank that the their them
then there they this to us was we what when where which who why will with would yes no you your
"""
_EMPTY = frozenset(_COMMON.split())


class _Blanks(dict[int, int]):
    """For `str.translate`: whatever is no letter and no digit becomes a space."""

    def __missing__(self, code: int) -> int:
        self[code] = code if chr(code).isalnum() else ord(" ")
        return self[code]


_BLANKS = _Blanks()


def runs(text: str) -> list[str]:
    """Return the runs of letters and digits in order, casefolded: quick, for texts by the thousand."""
    return text.casefold().translate(_BLANKS).split()


def words(text: str) -> list[str]:
    """Return the words of a text in order, casefolded, without punctuation around them."""
    return [word.casefold() for word in _WORD.findall(text)]


def normalised(text: str) -> str:
    """Return the text as its words alone: case, spacing and punctuation do not count."""
    return " ".join(_WORD.findall(text)).casefold()


@lru_cache(maxsize=8192)  # a round compares each question with thousands
def content_words(text: str) -> frozenset[str]:
    """Return the words that can name a subject."""
    return frozenset(words(text)) - _EMPTY


def nearly_alike(one: str, other: str) -> bool:
    """Whether two texts share at least four words of five, in order."""
    ours, theirs = words(one), words(other)
    return SequenceMatcher(None, ours, theirs, autojunk=False).ratio() >= 0.8


def agree(one: str, other: str) -> bool:
    """Whether one of two answers says every sentence of the other, and perhaps more: a greeting."""
    ours, theirs = ({tuple(each) for each in _sentences(text)} for text in (one, other))
    if not ours or not theirs:  # answers without words
        return one.strip() == other.strip()
    return ours <= theirs or theirs <= ours


def supersedes(new: str, old: str, *, subject: frozenset[str]) -> bool:
    """Whether `new` says something else than `old` about the same thing.

    True where two of their sentences are one but for one stretch of words that follows a word of
    its own: "The lamp costs 49 dollars." and "Of course! The lamp costs 59 dollars.", and not "The
    lamp is blue.", which goes apart right after its subject. What they share must be at least as
    long as what replaces or is replaced: "We match prices for 14 days." has the first and the last
    word of "We deliver the lamp in 3 days.", and is about something else. Words added before or
    after do not matter, since they are manners and not matter.

    Args:
        new: the reviewed answer.
        old: the earlier answer.
        subject: the content words of the question that the new answer repeats.
    """
    if not subject:
        return False
    return any(
        _restates(ours, theirs, subject)
        for theirs in _sentences(old)
        for ours in _sentences(new)
        if subject <= set(theirs) & set(ours)
    )


def _sentences(text: str) -> list[list[str]]:
    """The words of each sentence."""
    return [found for part in _SENTENCE_END.split(text) if (found := words(part))]


def _restates(ours: list[str], theirs: list[str], subject: frozenset[str]) -> bool:
    """Whether two sentences are one but for one stretch, which does not hold the subject."""
    pieces = SequenceMatcher(None, theirs, ours, autojunk=False).get_opcodes()
    edits = [
        piece
        for piece in pieces
        if piece[0] != "equal" and not _is_manners(piece, len(theirs), len(ours))
    ]
    if not edits:
        return False
    (_, old_start, _, new_start, _), (_, _, old_end, _, new_end) = edits[0], edits[-1]
    replaced, replacing = theirs[old_start:old_end], ours[new_start:new_end]
    if not replaced or not replacing or subject & {*replaced, *replacing}:
        return False
    if old_start == 0 or new_start == 0 or theirs[old_start - 1] in subject:
        return False
    shared = sum(
        end - start
        for kind, start, end, _, _ in pieces
        if kind == "equal" and not old_start <= start < old_end
    )
    # A subject that stands only behind the stretch may be no more than a unit: "dollars".
    enough = min(len(replaced), len(replacing)) * (1 if subject & set(theirs[:old_start]) else 2)
    return theirs[old_start - 1] == ours[new_start - 1] and shared >= enough


def _is_manners(edit: tuple[str, int, int, int, int], old_length: int, new_length: int) -> bool:
    """Whether an edit only adds or drops words at the very start or the very end."""
    kind, old_start, old_end, new_start, new_end = edit
    at_start = old_start == 0 and new_start == 0
    at_end = old_end == old_length and new_end == new_length
    return kind != "replace" and (at_start or at_end)
