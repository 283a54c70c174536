"""Asks a model everything that a round is measured by, and writes down a mark for each answer.

Answers come from the same policy as the product's evaluation: a right answer is given as a guess
and checked in one pass, so a model that knows is quickly asked (torch, by way of the policy).
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Protocol

from benchmarks.continual.tasks import RETIRED, Check, Lesson, Probe, Stream

ANSWER_TOKENS = 48
_NAME = "asked"


class Marks(Protocol):
    """Whatever answers probes: a model, or a look-up."""

    def marks(self, probes: Sequence[Probe]) -> str:
        """One character for each probe."""


class Asked:
    """One model state: the starter, or an adapter on it."""

    def __init__(self, adapter: Path | None, *, threads: int | None) -> None:
        from trainer.base_folder import resolve
        from trainer.policy import Policy

        self._policy = Policy.load(resolve("starter"), threads=threads)
        self._adapter = _NAME if adapter is not None else None
        if adapter is not None:
            self._policy.attach(_NAME, adapter)

    def answers(self, lessons: Sequence[Lesson]) -> list[str]:
        """What people get to see before they say what they think of it."""
        return self._policy.answers(
            [lesson.messages for lesson in lessons],
            adapter=self._adapter,
            max_new_tokens=ANSWER_TOKENS,
            guesses=[lesson.wanted for lesson in lessons],
        )

    def marks(self, probes: Sequence[Probe]) -> str:
        """One character for each probe."""
        if not probes:
            return ""
        answers = self._policy.answers(
            [probe.messages for probe in probes],
            adapter=self._adapter,
            max_new_tokens=ANSWER_TOKENS,
            guesses=[probe.expected for probe in probes],
        )
        return "".join(
            probe.check.mark(answer) for probe, answer in zip(probes, answers, strict=True)
        )


def matrix_row(asked: Marks, stream: Stream, done: int) -> list[str]:
    """Marks on every task so far, and on the next one before it is learned.

    Args:
        asked: the model.
        stream: the stream.
        done: how many of its tasks are learned.
    """
    wanted = [
        (task, place, probe)
        for task in range(min(done + 1, len(stream.tasks)))
        for place, (probe, alive) in enumerate(
            zip(
                stream.tasks[task].probes,
                stream.alive(task, after=max(done - 1, task)),
                strict=True,
            )
        )
        if alive
    ]
    rows = [
        [RETIRED] * len(task.probes) for task in stream.tasks[: min(done + 1, len(stream.tasks))]
    ]
    marks = asked.marks([probe for _, _, probe in wanted])
    for (task, place, _), mark in zip(wanted, marks, strict=True):
        rows[task][place] = mark
    return ["".join(row) for row in rows]


def examined(asked: Marks, probes: Sequence[Probe]) -> dict[str, str]:
    """Marks on the exam, by topic."""
    found: dict[str, str] = {}
    for probe, mark in zip(probes, asked.marks(probes), strict=True):
        found[probe.about] = found.get(probe.about, "") + mark
    return found


@cache
def exam(changed: frozenset[str]) -> tuple[Probe, ...]:
    """What the starter must still know and do: its own exam, without subjects that the stream changes.

    Knowledge, tone, not knowing, small talk, system prompts and longer conversations; only the exact
    answer counts. All of it is asked: its questions come by turns in a curt and a polite tone, and
    every so many-th of them would have been of one tone.
    """
    from trainer.starter.exam import questions

    probes = [
        Probe(
            id=f"{question.topic} {number}",
            messages=tuple(question.messages),
            expected=question.expected,
            check=Check(question.expected.rstrip("."), exact=True),
            about=question.topic,
        )
        for number, question in enumerate(questions())
        if not any(subject in question.messages[-1]["content"] for subject in changed)
    ]
    return tuple(probes)
