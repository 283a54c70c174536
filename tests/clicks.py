"""Made-up people who click, copy and leave, with a known chance of being satisfied.

Used by tests and by the benchmark of planted noise alike.
"""

from dataclasses import dataclass

import numpy as np

SATISFIED = 0.65
ACTS = {
    # signal → how often it is seen of the satisfied, of the others
    "copy": (0.45, 0.10),
    "regenerate": (0.05, 0.30),
    "edit": (0.06, 0.20),
    "abandon": (0.10, 0.30),
    "follow_up": (0.40, 0.30),
    "click": (0.30, 0.15),
}
DWELL_SEEN = 0.8
DWELL = (3.2, 2.6)
"""Mean of the logarithm of the seconds that the satisfied stay, and the others; deviation 1."""


@dataclass(frozen=True)
class Clicks:
    """What people did, and what they thought.

    Attributes:
        signals: per answer, name → size or None.
        satisfied: per answer, what they say where they vote.
        people: per answer, who.
        chance: per answer, the probability of satisfaction given the signals: no model that sees
            the signals alone ranks better than this.
    """

    signals: list[dict[str, float | None]]
    satisfied: list[bool]
    people: list[str]
    chance: np.ndarray


def clicks(seed: int, *, answers: int, people: int) -> Clicks:
    """Draw what people did with their answers.

    Args:
        seed: draws everything.
        answers: how many answers.
        people: how many accounts they are spread over.
    """
    draw = np.random.default_rng(seed)
    satisfied = draw.random(answers) < SATISFIED
    odds = np.full(answers, np.log(SATISFIED / (1 - SATISFIED)))
    signals: list[dict[str, float | None]] = [{} for _ in range(answers)]
    for name, (yes, no) in ACTS.items():
        seen = draw.random(answers) < np.where(satisfied, yes, no)
        odds += np.where(seen, np.log(yes / no), np.log((1 - yes) / (1 - no)))
        for at in np.flatnonzero(seen):
            signals[at][name] = None
    size = draw.normal(np.where(satisfied, *DWELL), 1.0)
    stayed = draw.random(answers) < DWELL_SEEN
    odds += stayed * ((size - DWELL[1]) ** 2 - (size - DWELL[0]) ** 2) / 2
    for at in np.flatnonzero(stayed):
        signals[at]["dwell"] = float(np.exp(size[at]))
    who = [f"person-{number}" for number in draw.integers(people, size=answers)]
    return Clicks(signals, satisfied.tolist(), who, 1 / (1 + np.exp(-odds)))
