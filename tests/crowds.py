"""Made-up crowds with a known truth: people who vote on answers, some of them badly.

Used by tests and by the benchmark of planted noise alike.
"""

from dataclasses import dataclass

import numpy as np

VOTES_PER_ITEM = 3
BAD = {
    # kind → share of bad accounts, how often they are right, how often the others are
    "always wrong": (0.21, 0.0, 1.0),
    "careless": (0.42, 0.5, 1.0),
    "mostly wrong": (0.25, 0.2, 0.985),
    "hostile majority": (0.60, 0.05, 0.98),
    "honest": (0.0, 0.0, 0.95),
}


@dataclass(frozen=True)
class Crowd:
    """Votes with what they should have been.

    Attributes:
        items: (votes,) what each vote is about.
        accounts: (votes,) who voted.
        votes: (votes,) 1 or 0.
        truth: (items,) the right label.
        bad: (accounts,) who votes badly.
        right: (votes,) 1 where the vote is right.
        accuracy: (accounts,) how often each is right.
    """

    items: np.ndarray
    accounts: np.ndarray
    votes: np.ndarray
    truth: np.ndarray
    bad: np.ndarray
    right: np.ndarray
    accuracy: np.ndarray

    def majority(self) -> np.ndarray:
        """(items,) what most say."""
        ups = np.bincount(self.items, weights=self.votes, minlength=len(self.truth))
        return (ups / np.bincount(self.items, minlength=len(self.truth)) > 0.5).astype(int)

    def best(self) -> np.ndarray:
        """(items,) what can be told by who knows how often everybody is right."""
        sure = np.clip(self.accuracy, 0.001, 0.999)[self.accounts]
        odds = np.log(sure / (1 - sure)) * np.where(self.votes == 1, 1, -1)
        return (np.bincount(self.items, weights=odds) > 0).astype(int)


def crowd(kind: str, seed: int, *, accounts: int = 100, votes_each: int = 36) -> Crowd:
    """Make a crowd whose votes are spread evenly: each item is voted on by three accounts.

    Args:
        kind: which people are bad, and how; see `BAD`.
        seed: draws the truth, who votes on what, and the errors.
        accounts: how many people.
        votes_each: votes of each of them.
    """
    draw = np.random.default_rng(seed)
    share, bad_accuracy, good_accuracy = BAD[kind]
    bad = np.arange(accounts) < round(share * accounts)
    accuracy = np.where(bad, bad_accuracy, good_accuracy)
    number = accounts * votes_each // VOTES_PER_ITEM
    who = np.repeat(np.arange(accounts), votes_each // VOTES_PER_ITEM)
    dealt = np.stack([draw.permutation(number) for _ in range(VOTES_PER_ITEM)])
    while (twice := _twice(dealt, who)).any():  # nobody votes on an item twice
        for deal, at in zip(*np.nonzero(twice), strict=True):
            other = draw.integers(number)
            dealt[deal, [at, other]] = dealt[deal, [other, at]]
    dealt, who = dealt.ravel(), np.tile(who, VOTES_PER_ITEM)
    truth = draw.integers(0, 2, number)
    right = (draw.random(len(dealt)) < accuracy[who]).astype(int)
    votes = np.where(right == 1, truth[dealt], 1 - truth[dealt])
    return Crowd(dealt, who, votes, truth, bad, right, accuracy)


def _twice(dealt: np.ndarray, who: np.ndarray) -> np.ndarray:
    """(deals, votes) where an account was dealt an item that it has from an earlier deal."""
    pairs = dealt * (int(who.max()) + 1) + who
    return np.stack([np.isin(row, pairs[:deal]) for deal, row in enumerate(pairs)])
