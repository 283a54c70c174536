"""Which evidence a canary is judged by, and how the error probability is shared. Knows no database."""

from collections.abc import Mapping

from trainer.canary import Stream
from trainer.settings import TrainerSettings

FIRST = "votes"
HABIT = "regulars' votes"
SIGNALS = "signals"
ERRORS = "errors"
LATENCY = "latency"

HABIT_VOTES = 8
"""Whoever votes so often counts again, with the mean: few people who vote a lot tell a lot."""

WEIGHTS: Mapping[str, float] = {
    FIRST: 0.90,
    HABIT: 0.05,
    SIGNALS: 0.03,
    ERRORS: 0.01,
    LATENCY: 0.01,
}
"""Parts of the error probability; their sum is 1. First votes, which come soonest and for which small
losses matter, have nearly all of it; where a version breaks, even a hundredth is soon enough."""
SAFE_WEIGHTS: Mapping[str, float] = {
    FIRST: 0.8,
    HABIT: 0.2,
    SIGNALS: 0.0,
    ERRORS: 1.0,
    LATENCY: 1.0,
}
"""The same for calling it not worse: of votes either may say so and they share, the guards must all.
Signals are weak evidence, which can take a version away and not make one stay."""
DECISIVE = (FIRST, HABIT)


def streams(settings: TrainerSettings, share: float) -> dict[str, Stream]:
    """Return empty streams for a comparison in which the new version answers this share of people."""
    return {
        name: Stream(
            name,
            share=share,
            alpha=settings.canary_alpha,
            weight=weight,
            safe_weight=SAFE_WEIGHTS[name],
            margin=settings.canary_margin_points / 100,
            per_person=HABIT_VOTES if name == HABIT else 1,
        )
        for name, weight in WEIGHTS.items()
    }
