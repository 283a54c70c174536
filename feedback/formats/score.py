"""Scores as tracing tools keep them, named numbers, words and texts: what they say of an answer. Pure.

A score does not say what it measures. One whose name speaks of a person's liking becomes a rating; any
other is kept as an answer to a question of its name, and teaches nothing by itself.
"""

import re
from typing import Any

from feedback.formats.records import Unusable

_LIKING = re.compile(
    r"feedback|rating|rate|thumb|vote|lik(?:e|ing)|help|quality|satisf|csat|star|score|prefer|good|"
    r"user.?eval|correct(?:ness)?$",
    re.IGNORECASE,
)
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
    if not _LIKING.search(name):
        return survey(name, value)
    if isinstance(value, bool):
        return {"rating": "up" if value else "down"}
    if isinstance(value, str):
        word = value.strip().casefold()
        if word in _UP:
            return {"rating": "up"}
        if word in _DOWN:
            return {"rating": "down"}
        return survey(name, value)
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
