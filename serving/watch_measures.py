"""What is measured of a version, and how the error probability is shared. Knows no database.

Every observation lies from 0 to 1 and is one person's: of a day, each person's first answer counts,
and for `satisfaction` the first on which they voted. What one person says again and again within an
hour is not independent, and would be taken for many people's.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from serving.settings import Settings
from trainer.settings import TrainerSettings
from trainer.suites import says
from trainer.usual import Usual
from trainer.watching import Change, Detector, Side

SATISFACTION = "satisfaction"
CORRECTIONS = "corrections"
REFUSALS = "refusals"
RATINGS = "ratings"
LENGTH = "length"
TOPICS = "topics"
REFUSAL_CHARACTERS = 300
"""Whoever refuses says so at once; further down it may be a quotation."""
DAY_SECONDS = 86_400.0


@dataclass(frozen=True)
class Measure:
    """One thing that is watched.

    Attributes:
        about: what its mean is a share of, as words after a percentage.
        weight: its part of the error probability.
        side: which change is looked for.
        harmful: a change of it to that side is the version's fault, as far as one can tell.
    """

    about: str
    weight: float
    side: Side
    harmful: bool = False


MEASURES: Mapping[str, Measure] = {
    SATISFACTION: Measure("of voters content", 0.3, "down", harmful=True),
    CORRECTIONS: Measure("of answers corrected", 0.2, "up", harmful=True),
    REFUSALS: Measure("of answers refusals", 0.2, "up", harmful=True),
    RATINGS: Measure("of answers voted on", 0.1, "both"),
    LENGTH: Measure("of answers longer than what was usual", 0.1, "both"),
    TOPICS: Measure("of prompts unlike what was usual", 0.1, "both"),
}
"""The weights add up to 1. What harms has most of it, and only its harmful side is looked at: nobody
wants to be called because fewer answers are corrected."""


@dataclass(frozen=True)
class Answer:
    """One answer with what its person said of it in time.

    Attributes:
        person_id: whose.
        at: when it began, Unix seconds.
        prompt: what the person said last; "" where only people are counted.
        text: the answer.
        opinion: their first vote, from 0 to 1; a correction is 0. None without one.
        corrected: whether they corrected it.
    """

    person_id: str
    at: float
    prompt: str
    text: str
    opinion: float | None
    corrected: bool


@dataclass
class Heard:
    """Who was counted on one day (UTC): with an answer, and with a vote."""

    day: int = -1
    answered: set[str] = field(default_factory=set)
    voted: set[str] = field(default_factory=set)

    def first(self, answer: Answer) -> tuple[bool, bool]:
        """Note an answer; returns whether it is its person's first of the day, and their first vote."""
        day = int(answer.at // DAY_SECONDS)
        if day != self.day:
            self.day, self.answered, self.voted = day, set(), set()
        first = answer.person_id not in self.answered
        self.answered.add(answer.person_id)
        vote = answer.opinion is not None and answer.person_id not in self.voted
        if vote:
            self.voted.add(answer.person_id)
        return first, vote


def detectors(settings: TrainerSettings, kept: Mapping[str, Any]) -> dict[str, Detector]:
    """Return a detector for each measure, as it was left.

    Args:
        settings: how sure they have to be.
        kept: their states by measure; missing ones begin.
    """
    return {
        name: Detector(
            alpha=settings.watch_alpha * measure.weight,
            side=measure.side,
            least=settings.watch_least_points / 100,
            state=kept.get(name),
        )
        for name, measure in MEASURES.items()
    }


def observations(
    answer: Answer, usual: Usual | None, settings: Settings, *, first: bool, vote: bool
) -> Iterator[tuple[str, float]]:
    """Yield what an answer adds to which measure.

    Args:
        answer: with what was said of it.
        usual: what was usual; where that is not known yet, length and topics are not measured.
        settings: of the whole server.
        first: it is its person's first of the day.
        vote: so is its vote.
    """
    if vote and answer.opinion is not None:
        yield SATISFACTION, answer.opinion
    if not first:
        return
    yield CORRECTIONS, float(answer.corrected)
    yield RATINGS, float(answer.opinion is not None)
    head = answer.text[:REFUSAL_CHARACTERS].replace("’", "'")
    yield REFUSALS, float(says(head, settings.trainer.watch_refusals))
    if usual is not None:
        yield LENGTH, usual.longer(len(answer.text))
        yield TOPICS, usual.unusual(answer.prompt)


def direction(change: Change) -> str:
    """Return whether the measure rose or fell."""
    return "rose" if (change.after.mean or 0.0) > (change.before.mean or 0.0) else "fell"


def sentence(name: str, adapter: str, change: Change, *, needed: float) -> str:
    """Return what has changed, in words."""
    before, after = change.before, change.after
    return (
        f"{name} of {adapter} {direction(change)}: {after.mean:.1%} {MEASURES[name].about} "
        f"({after.lower:.1%} to {after.upper:.1%}, {after.count} people), before "
        f"{before.mean:.1%} ({before.lower:.1%} to {before.upper:.1%}, {before.count}); evidence "
        f"{change.evidence:.3g}, where {needed:.3g} is an alert."
    )
