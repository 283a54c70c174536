"""Stream F: the styles of D, by thumbs as they come where nobody looks after them.

Three people see each question, a fifth of the thumbs are the wrong ones, half of them speak of an
answer from before the last change of the model, and as many questions again are asked without a
word. What is made of such votes is what several options of a round are for. Pure and seeded.
"""

from dataclasses import replace
from random import Random

from benchmarks.continual.streams_styles import GROUPS, PEOPLE, TESTS, lesson, probe
from benchmarks.continual.tasks import Lesson, Stream, Task, scaled
from trainer.starter.world import Register

TITLE = "style by thumbs as they come: a fifth wrong, half of them late, as many questions unrated"
ROUNDS = 8
QUESTIONS = 30
"""A round and group, each rated by so many people:"""
VOTERS = 3
WRONG_SHARE, LATE_SHARE = 0.2, 0.5


def build(seed: int, rounds: int, scale: float) -> Stream:
    """As the module says."""
    rng = Random(f"votes {seed}")
    tasks = tuple(_task(rng, number, scale) for number in range(rounds))
    return Stream("F", TITLE, tasks)


def _task(rng: Random, number: int, scale: float) -> Task:
    lessons: list[Lesson] = []
    probes = []
    for system, register in GROUPS.items():
        for _ in range(scaled(QUESTIONS, scale)):
            lessons += _votes(rng, system, register)
        for _ in range(scaled(VOTERS * QUESTIONS, scale)):
            lessons.append(lesson(rng, system, register, "nothing"))
        probes += [
            probe(rng, system, register, f"{number} {register} {place}")
            for place in range(scaled(TESTS, scale))
        ]
    rng.shuffle(lessons)
    return Task(tuple(lessons), tuple(probes))


def _votes(rng: Random, system: str, register: Register) -> list[Lesson]:
    """What three people say of the answer to one question, each with a chance to err."""
    late = rng.random() < LATE_SHARE
    asked = lesson(rng, system, register, "thumb")
    people = rng.sample(range(PEOPLE), VOTERS)
    return [
        replace(
            asked,
            person=f"{register} person {who}",
            late=late,
            true=rng.random() >= WRONG_SHARE,
        )
        for who in people
    ]
