"""Agreement: who tends to be right, told from votes that overlap and from what reviewers decided.

Pure arithmetic on numbered items, accounts and votes. Knows no database and no text.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Whole = NDArray[np.int64]
    Flags = NDArray[np.bool_]

PRIOR_RIGHT = 0.7
"""How often an account is right before anything is known of it: the mean of Beta(3.5, 1.5)."""
PRIOR_VOTES = 5.0
"""How many votes that belief is worth: the sum of the same prior's parameters."""
PRIOR_ACCOUNTS = 10.0
"""How many such accounts the first guess at everybody's reliability is worth."""
MOST_ITERATIONS = 100
CLOSE_ENOUGH = 1e-4


@dataclass(frozen=True)
class Agreement:
    """What the overlap of votes says. Arrays are per vote, item or account as they were numbered.

    Attributes:
        right: per vote, the probability that it is right.
        good: per item, the probability that its true label is 1.
        hit_rate: per account, how often it votes 1 where the truth is 1.
        pass_rate: per account, how often it votes 0 where the truth is 0.
        worth: per account, from 0 (its votes say nothing, or the opposite) to 1 (as informative as
            the typical account, or more).
        shared: per vote, whether others voted on the same item or a reviewer decided it.
        typical: how often a typical account is right.
    """

    right: "Floats"
    good: "Floats"
    hit_rate: "Floats"
    pass_rate: "Floats"
    worth: "Floats"
    shared: "Flags"
    typical: float


def estimate(
    items: "Whole",
    accounts: "Whole",
    votes: "Whole",
    *,
    weights: "Floats | None" = None,
    gold: "Whole | None" = None,
    number: int | None = None,
) -> Agreement:
    """Estimate every account's reliability and every item's true label from each other.

    Expectation-maximisation for two-coin annotators (Dawid and Skene 1979, *Maximum likelihood
    estimation of observer error-rates using the EM algorithm*) with a Beta prior on either coin,
    whose mean is learned from everybody (empirical Bayes). Two coins, so that somebody who likes
    everything is seen to say nothing. Where most accounts are hostile, agreement alone finds the
    wrong side; a few items that reviewers decided say which side is right.

    An item on which one account alone voted says nothing about that account, and both its labels
    are equally likely beforehand: with the base rate in their place, no single thumb down on a
    chatbot that is mostly right would ever be believed. Where several voted, the base rate counts.

    Args:
        items: (votes,) which item each vote is about, numbered from 0.
        accounts: (votes,) who voted, numbered from 0.
        votes: (votes,) 1 or 0; an account votes on an item once.
        weights: (votes,) between 0 and 1: less for what several accounts say as if they were one.
        gold: (items,) 1 or 0 where a reviewer decided, else −1.
        number: how many accounts there are; some may have no vote here.
    """
    import numpy as np
    from scipy.special import expit

    size = len(gold) if gold is not None else int(items.max(initial=-1)) + 1
    people = int(accounts.max(initial=-1)) + 1 if number is None else number
    counted = np.ones(len(votes)) if weights is None else weights
    decided = np.full(size, -1) if gold is None else gold
    known = decided >= 0
    voters = np.bincount(items, minlength=size)
    several = (voters > 1) | known
    shared = several[items]
    told = counted * shared
    said = votes.astype(float)

    def per_account(values: "Floats") -> "Floats":
        return np.bincount(accounts, weights=values, minlength=people).astype(np.float64)

    typical = PRIOR_RIGHT
    hit_rate = pass_rate = np.full(people, typical)
    if known.any():
        truth = np.where(known, decided, 0.5).astype(float)
        hit_rate, pass_rate = _rates(
            truth[items], said, counted * known[items], per_account, typical=typical
        )
    good = np.full(size, 0.5)
    base_odds = 0.0
    for _ in range(MOST_ITERATIONS):
        before = good
        odds = np.where(
            votes == 1,
            np.log(hit_rate / (1 - pass_rate))[accounts],
            np.log((1 - hit_rate) / pass_rate)[accounts],
        )
        evidence = np.bincount(items, weights=counted * odds, minlength=size)
        good = expit(evidence + base_odds * several)
        good = np.where(known, decided, good)
        if np.abs(good - before).max(initial=0.0) < CLOSE_ENOUGH:
            break
        base_rate = (PRIOR_VOTES + good[several].sum()) / (2 * PRIOR_VOTES + several.sum())
        base_odds = float(np.log(base_rate / (1 - base_rate)))
        right = np.where(votes == 1, good[items], 1 - good[items])
        typical = float(
            (PRIOR_RIGHT * PRIOR_VOTES * PRIOR_ACCOUNTS + (told * right).sum())
            / (PRIOR_VOTES * PRIOR_ACCOUNTS + told.sum())
        )
        # Beyond these, one disagreement would mean everything or nothing.
        typical = min(max(typical, 0.55), 0.97)
        hit_rate, pass_rate = _rates(good[items], said, told, per_account, typical=typical)
    right = np.where(votes == 1, good[items], 1 - good[items])
    worth = np.clip((hit_rate + pass_rate - 1) / (2 * typical - 1), 0, 1)
    return Agreement(right, good, hit_rate, pass_rate, worth, shared, typical)


def _rates(
    truth: "Floats",
    said: "Floats",
    told: "Floats",
    total: "Callable[[Floats], Floats]",
    *,
    typical: float,
) -> "tuple[Floats, Floats]":
    """Posterior means of the two coins of every account; the arrays are per vote."""
    prior = typical * PRIOR_VOTES
    hit_rate = (prior + total(told * truth * said)) / (PRIOR_VOTES + total(told * truth))
    false = told * (1 - truth)
    pass_rate = (prior + total(false * (1 - said))) / (PRIOR_VOTES + total(false))
    return hit_rate, pass_rate
