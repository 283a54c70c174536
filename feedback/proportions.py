"""Intervals of shares, where one person may have spoken more than once. Pure arithmetic."""

import math
from collections.abc import Iterable
from statistics import NormalDist
from typing import NamedTuple

_REACH = NormalDist().inv_cdf(0.975)


class Share(NamedTuple):
    """A share with its 95% interval.

    Attributes:
        share: between 0 and 1.
        low: the interval's lower end.
        high: its upper end.
        votes: how many it rests on.
        people: how many different people cast them.
    """

    share: float
    low: float
    high: float
    votes: int
    people: int


def wilson(share: float, number: float) -> tuple[float, float]:
    """Return the two-sided 95% interval of a share (Wilson 1927, *Probable inference*).

    Args:
        share: between 0 and 1.
        number: of independent observations; above 0, and not necessarily whole.
    """
    spread = _REACH**2 / number
    middle = (share + spread / 2) / (1 + spread)
    half = _REACH / (1 + spread) * math.sqrt(share * (1 - share) / number + spread / (4 * number))
    return max(0.0, middle - half), min(1.0, middle + half)


def by_person(votes: Iterable[tuple[float, int]]) -> Share | None:
    """Return a share of votes with an interval that knows that people are not independent of themselves.

    Wilson's interval at the effective number of votes: their number over the design effect, which
    compares the variance between people with that of as many independent votes (Korn and Graubard
    1998, *Confidence intervals for proportions with small expected number of positive counts
    estimated from survey data*).

    Args:
        votes: per person, the sum of their votes (each from 0 to 1) and how many there are.
    """
    people = [(total, number) for total, number in votes if number > 0]
    if not people:
        return None
    number = sum(each for _, each in people)
    share = sum(total for total, _ in people) / number
    squares = sum((total - share * each) ** 2 for total, each in people)
    independent = number * share * (1 - share)
    if independent > 0 and len(people) > 1:
        effect = len(people) / (len(people) - 1) * squares / independent
    else:  # all say the same: then a person counts once, however often they said it (Kish 1965)
        effect = sum(each**2 for _, each in people) / number
    low, high = wilson(share, number / max(effect, 1.0))
    return Share(share, low, high, number, len(people))
