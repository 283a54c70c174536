"""Scores as tracing tools keep them, named numbers, words and texts: what they say of an answer. Pure.

A score does not say what it measures. One whose name speaks of a person's liking becomes a rating, one
whose name is a complaint (`thumbs_down`, `incorrect`) a thumb down where it is true; any other is kept as
an answer to a question of its name, and teaches nothing by itself. Names are read by whole words.
"""

import re
from typing import Any, Literal

from feedback.formats.records import Unusable

# What follows is matched against a name's words, in lower case with single spaces: see `_words`.
_OF_IT = r"(?: (?:answer|response|reply|output|completion|message|result|one))?$"
"""A judgement is of the whole answer where its name ends so: `wrong_answer`, but not `wrong_tool`."""
_GOOD = (
    r"(?:thumbs?|votes?|feedback|rating) ?up|up ?votes?d?|likes?|liked|liking|good|goodness|helpful|"
    r"helpfulness|helped|satisf(?:ied|ying|actory|action)|positive|correct|correctness|accurate"
)
_VOTED_DOWN = (
    r"(?:thumbs?|votes?|feedback|rating) ?down|(?<!up )(?<!up or )down ?votes?d?|dislikes?|disliked|disliking|"
    r"(?:dis|un)satisf(?:ied|actory|action)"
)
_NOT_GOOD = (
    r"(?:not|non|un|never|isnt|wasnt|arent|didnt|doesnt|hardly|less) "
    rf"(?:(?:very|really|at all|so|that|a|an|the) )*(?:{_GOOD}|help)"
)
_WRONG = rf"incorrect|incorrectness|inaccurate|wrong|unhelpful|unhelpfulness|{_NOT_GOOD}"
_BAD = r"(?:bad|negative|poor|low(?= (?:quality|ratings?|scores?)\b))"

_NO_VOTE = re.compile(
    # What is measured of an answer, and what is counted beside it: neither speaks of liking.
    r"\b(?:toxic\w*|hallucinat\w*|errors?|fail\w*|latency|harm\w*|bias\w*|risks?|violat\w*|profan\w*|"
    r"offens\w*|abus\w*|insult\w*|hate\w*|unsafe|safety|spam|refus\w*|pii|leak\w*|jailbreak\w*|"
    r"injection|confidence|perplexity|likelihood|similarity|distance|sentiment|cost|tokens?|counts?|"
    r"length|duration|seconds|issues?|problems?|concerns?|defects?|faults?|"
    r"missing|skipped|needs?|needed|requested|required|given|provided|received|submitted|"
    r"(?:true|false) (?:positives?|negatives?)|"
    rf"(?:not|non|no|never|without|isnt|wasnt) (?:{_VOTED_DOWN}|{_WRONG}|{_BAD}))\b"
)
_AGAINST = re.compile(rf"\b(?:{_VOTED_DOWN}|{_WRONG}|{_BAD})\b")
_FOR = re.compile(rf"\b(?:{_GOOD})\b")
_DISLIKING = re.compile(
    rf"\b(?:{_VOTED_DOWN})\b|\b(?:{_WRONG}|{_BAD})"
    r"(?: (?:feedback|ratings?|votes?|quality|scores?|experience))*" + _OF_IT
)
_FALSE_IS_RIGHT = re.compile(rf"\b(?:{_WRONG}){_OF_IT}")
"""Judgements with two sides. Who did not press a thumb down has not pressed the other one."""
_LIKING = re.compile(
    rf"\b(?:{_GOOD.removesuffix('|correct|correctness|accurate')}|feedbacks?|ratings?|thumbs?|votes?|"
    r"helps?|helping|quality|csat|likert|stars?|prefer(?:s|red|ences?)?|user eval(?:uation)?s?|"
    r"(?:user|human|star)(?:feedback|ratings?|scores?|eval(?:uation)?s?))\b|"
    rf"\b(?:correct|correctness|accurate)(?: scores?)?{_OF_IT}|"
    r"^(?:please )?rate(?: (?:it|this|the|answer|response).*)?$|"
    r"^(?:(?:user|human|customer|reviewer|annotator|expert|manual|overall|total|final|answer|response|"
    r"message|chat|conversation|session|assistant|bot|experience|our|my|the) )*"
    r"scores?(?: (?:of|by|from|for|the|user|human|answer|response|v))*$"
)
_YES, _NO = {"yes", "true", "1"}, {"no", "false"}
_UP = {"up", "good", "positive", "like", "liked", "yes", "true", "correct", "helpful", "accept"}
_UP |= {"accepted", "thumbs_up", "thumbs-up", "thumbsup", "thumbs up", "upvote", "pass", "👍", "1"}
_DOWN = {"down", "bad", "negative", "dislike", "disliked", "no", "false", "incorrect", "unhelpful"}
_DOWN |= {"reject", "rejected", "thumbs_down", "thumbs-down", "thumbsdown", "thumbs down"}
_DOWN |= {"downvote", "fail", "👎", "0", "-1", "not helpful", "wrong"}
MOST = 1e300
FRACTION_SCALE = 100
"""A share between 0 and 1 is told on a scale of this many steps."""


def said(name: str, value: Any, *, scale: int | None = None) -> dict[str, Any]:
    """Return the fields of a submission that a score makes.

    Args:
        name: what the score is called.
        value: True or False, a number, or a word.
        scale: the largest number that a rating could have been, counted from 1. Without it a number
            runs from 0 to 1 (or is -1).

    Raises:
        Unusable: a rating lies outside of its scale, or there is no value.
    """
    if value is None or value == "":
        raise Unusable("a score without a value")
    lean = _lean(_words(name))
    if lean == "against":
        return _against(name, value)
    if lean != "for":
        return survey(name, value)
    if isinstance(value, bool):
        return {"rating": "up" if value else "down"}
    if isinstance(value, str):
        return _worded(name, value)
    if not isinstance(value, int | float):
        raise Unusable("a score's value is neither a number nor a word", type(value).__name__)
    if not abs(value) < MOST:
        raise Unusable("a score that is no number")
    return _number(float(value), scale)


def survey(name: str, value: Any) -> dict[str, Any]:
    """Return a score that is kept without being understood."""
    if isinstance(value, bool):
        value = float(value)
    is_number = isinstance(value, int | float) and abs(value) < MOST
    kept = value if is_number else str(value)
    return {"survey": {(name or "score")[:200]: kept}}


def _words(name: str) -> str:
    """Return a name's words, whichever way they are joined: `thumbsUp`, `thumbs_up`, `Thumbs-up 2`."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", re.sub(r"['’]", "", name))
    return " ".join(re.findall(r"[^\W\d_]+", apart)).casefold()


def _lean(words: str) -> Literal["for", "against"] | None:
    """Return what a true score of this name speaks for; None where it is no vote, or may be either.

    A name with both sides in it (`like_dislike`) is about the one that it begins with where that is the
    good one; the other way round a number could mean either.
    """
    if _NO_VOTE.search(words):
        return None
    bad = _AGAINST.search(words)
    if bad is None:
        return "for" if _LIKING.search(words) else None
    if _FOR.search(_AGAINST.sub(" ", words)):
        good = _FOR.search(words)
        return "for" if good is not None and good.start() < bad.start() else None
    return "against" if _DISLIKING.search(words) else None


def _worded(name: str, value: str) -> dict[str, Any]:
    word = value.strip().casefold()
    if word in _UP:
        return {"rating": "up"}
    return {"rating": "down"} if word in _DOWN else survey(name, value)


def _against(name: str, value: Any) -> dict[str, Any]:
    """Return what a score says whose name is that of a complaint: degrees of one are not understood."""
    if isinstance(value, str):
        word = value.strip().casefold()
        if word in _DOWN - _NO - {"0", "-1"}:
            return {"rating": "down"}
        if word in _YES | _NO:
            value = word in _YES
    if isinstance(value, bool | int | float) and value == 1:
        return {"rating": "down"}
    if value is False and _FALSE_IS_RIGHT.search(_words(name)):
        return {"rating": "up"}
    return survey(name, value)


def _number(value: float, scale: int | None) -> dict[str, Any]:
    if scale is not None:
        if not 1 <= value <= scale:
            raise Unusable(f"a rating outside of 1 to {scale}", f"{value:g}")
        return {"rating": value, "scale": scale}
    if value in (1.0, 0.0, -1.0):
        return {"rating": "up" if value == 1.0 else "down"}
    if 0 < value < 1:
        return {"rating": 1 + (FRACTION_SCALE - 1) * value, "scale": FRACTION_SCALE}
    raise Unusable("a rating beyond 1 (say how far its scale goes: --scale 5)", f"{value:g}")
