"""Whether what learns faster learns as well: the starter taught by Heed and by TRL, and both examined.

Products that the shop did not sell, and changed facts of some that it does: two ways of asking are
demonstrated, a third comes as a preference over another value, a fourth as a thumb. Old material is
rehearsed by both. Asked in a fifth way, and with what the starter knew before (torch, by way of the
policy).
"""

import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.continual import asking, streams_facts
from benchmarks.continual.tasks import RIGHT, Lesson, Probe, Stream
from benchmarks.training_speed import contestants
from benchmarks.training_speed.contestants import Race
from trainer.base_folder import STARTER, resolve
from trainer.examples import Example
from trainer.settings import Plan
from trainer.starter.catalogue import VALUES
from trainer.starter.pool import general_pool

if TYPE_CHECKING:
    from trainer.policy import Policy

REHEARSED = 450
MEASURES = {"held-out NLL": False, "preference accuracy": True, "retention": True}
"""Whether more is better."""


@dataclass(frozen=True)
class School:
    """What one seed teaches, and asks."""

    examples: tuple[Example, ...]
    probes: tuple[Probe, ...]
    stream: Stream


def school(seed: int) -> School:
    """The lessons and the exam of one seed."""
    stream = streams_facts.build(seed, 1, 1.0)
    task = stream.tasks[0]
    rng = random.Random(f"quality {seed}")
    taught: dict[str, list[Lesson]] = {}
    for lesson in task.lessons:
        taught.setdefault(lesson.about, []).append(lesson)
    found: list[Example] = []
    for at, lessons in enumerate(taught.values()):
        shown, other, judged = lessons[:2], lessons[2], lessons[3]
        found += [Example("demonstration", tuple(each.messages), each.wanted) for each in shown]
        wrong = _wrong(other, rng)
        found.append(Example("preference", other.messages, other.wanted, rejected=wrong))
        liked = at % 2 == 0
        answer = judged.wanted if liked else _wrong(judged, rng)
        found.append(Example("verdict", judged.messages, answer, liked=liked))
    about = {lesson.about for lesson in task.lessons}
    old = [row for row in general_pool(seed) if row["key"] not in about]
    for row in rng.sample(old, REHEARSED):
        asked = tuple(row["messages"])
        found.append(Example("demonstration", asked, row["target"], source="general"))
    return School(tuple(found), task.probes, stream)


def plan(seed: int) -> Plan:
    """Heed's defaults, on the starter, on one thread."""
    return Plan(base_model=STARTER, seed=seed, minimum_steps=0, threads=1)


def measure(folder: Path, seed: int) -> dict[str, dict[str, float]]:
    """Teach the starter by both, with one seed, and examine both."""
    lessons = school(seed)
    asked = plan(seed)
    race = contestants.prepare(
        # TRL's stages have no weights; a smaller rate is what stands for them.
        Race(resolve(STARTER), folder, lessons.examples, asked, asked.preference_weight)
    )
    contestants.ours(race)
    contestants.trl(race)
    return {name: examined(lessons, made) for name, made in contestants.adapters(race).items()}


def examined(lessons: School, adapter: Path) -> dict[str, float]:
    """NLL in nats per token, and shares."""
    from trainer.policy import Policy

    policy = Policy.load(resolve(STARTER), threads=1)
    policy.attach("it", adapter)
    right = _likelihood(policy, [(each, each.expected) for each in lessons.probes])
    rng = random.Random(0)
    wrong = _likelihood(
        policy, [(each, _other(each.expected, each.about, rng)) for each in lessons.probes]
    )
    won = [float(a > b) for a, b in zip(right, wrong, strict=True)]
    marks = asking.examined(asking.Asked(adapter, threads=1), asking.exam(lessons.stream.changed))
    kept = "".join(marks.values())
    return {
        "held-out NLL": -statistics.fmean(right),
        "preference accuracy": statistics.fmean(won),
        "retention": kept.count(RIGHT) / len(kept),
    }


def within_spread(ours: Sequence[float], theirs: Sequence[float], *, more_is_better: bool) -> bool:
    """Whether the mean of ours is no worse than the worst of theirs."""
    mean = statistics.fmean(ours)
    return mean >= min(theirs) if more_is_better else mean <= max(theirs)


def _likelihood(policy: "Policy", pairs: Sequence[tuple[Probe, str]]) -> list[float]:
    return policy.log_likelihood([(p.messages, said) for p, said in pairs], adapter="it")


def _wrong(lesson: Lesson, rng: random.Random) -> str:
    return _other(lesson.wanted, lesson.about, rng)


def _other(answer: str, about: str, rng: random.Random) -> str:
    """The same sentence with another value that the fact could have."""
    values = VALUES[about.partition("/")[2]]
    said = max((value for value in values if value in answer), key=len)
    return answer.replace(said, rng.choice([value for value in values if value not in answer]))
