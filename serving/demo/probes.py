"""What the demo measures: the same held-out questions, asked over HTTP before and after.

Nobody in the demo uses these phrasings, and none is in the starter's training material.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from serving.demo.people import Crowd
from trainer.starter.world import World, is_polite

MINIMUM = 200
"""Fewer questions would make a measurement too coarse to be worth a table."""


@dataclass(frozen=True)
class Probe:
    """One held-out question about one fact."""

    key: str
    prompt: str


@dataclass(frozen=True)
class Measured:
    """The answers to every probe, by one adapter."""

    adapter: str
    answers: dict[Probe, str]

    def right(self, world: World, keys: Sequence[str]) -> float:
        """Share of answers about these facts that are true in this world, 0 to 1."""
        wanted = set(keys)
        marks = [
            world.is_right(probe.key, answer)
            for probe, answer in self.answers.items()
            if probe.key in wanted
        ]
        return sum(marks) / len(marks)

    def only(self, some: Sequence[Probe]) -> "Measured":
        """The same answers, to some of the probes alone."""
        return Measured(self.adapter, {probe: self.answers[probe] for probe in some})

    def polite(self) -> float:
        """Share of all answers that are polite, 0 to 1."""
        return sum(map(is_polite, self.answers.values())) / len(self.answers)


def probes(world: World, changing: Sequence[str]) -> list[Probe]:
    """Return held-out questions: four phrasings of what will change, fewer of everything else.

    As few of the others as leave at least `MINIMUM` in all: they are asked after every step.
    """
    others = len(world.keys) - len(changing)
    few = 1 if 4 * len(changing) + others >= MINIMUM else 2
    return [
        Probe(key, text)
        for key in world.keys
        for text in world.phrasings(key, held_out=True)[: 4 if key in changing else few]
    ]


async def measure(crowd: Crowd, asked: Sequence[Probe]) -> Measured:
    """Ask every probe; the answers are not logged, so nobody can learn from them.

    Raises:
        RuntimeError: the adapter changed while measuring, so the figures would mean nothing.
    """
    replies = await asyncio.gather(
        *(crowd.say(probe.prompt, user="probe", store=False) for probe in asked)
    )
    adapters = {adapter for _, _, adapter in replies}
    if len(adapters) != 1:
        raise RuntimeError(f"several adapters answered one measurement: {sorted(adapters)}")
    answers = {probe: text for probe, (_, text, _) in zip(asked, replies, strict=True)}
    return Measured(adapters.pop(), answers)
