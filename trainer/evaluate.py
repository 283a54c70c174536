"""Scores: what a model answers to items, and which answers are right.

Takes the model as a callable. Knows no torch, no adapter and no verdict.
"""

from collections.abc import Callable, Sequence
from typing import Any, Self

from pydantic import BaseModel, ConfigDict

from feedback.errors import Invalid
from trainer.examples import Message
from trainer.suites import Item, passes

Conversation = Sequence[Message]
"""What was said before the answer."""


class Scored(BaseModel):
    """One item's answer, and whether it was right."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    item_id: str
    suite: str
    answer: str
    right: bool


class Scores(BaseModel):
    """A model's answers to a set of items, in their order."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    results: tuple[Scored, ...]

    def accuracy(self) -> dict[str, float]:
        """The share of right answers per suite."""
        marks: dict[str, list[bool]] = {}
        for result in self.results:
            marks.setdefault(result.suite, []).append(result.right)
        return {suite: sum(each) / len(each) for suite, each in marks.items()}

    def to_json(self) -> dict[str, Any]:
        """As it is stored: the answers, and the accuracies for whoever reads the row by eye."""
        return {**self.model_dump(mode="json"), "accuracy": self.accuracy()}

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Self:
        """What `to_json` gave."""
        return cls.model_validate({key: stored[key] for key in stored if key != "accuracy"})


def score(
    answer: Callable[[Sequence[Conversation]], Sequence[str]], items: Sequence[Item]
) -> Scores:
    """Ask every item and mark the answers.

    Args:
        answer: answers conversations, in their order; called once, so that it can batch.
        items: what to ask. A held-out correction is an item whose check is `exact`.

    Raises:
        Invalid: there are not as many answers as items.
    """
    answers = list(answer([item.messages for item in items])) if items else []
    if len(answers) != len(items):
        raise Invalid(
            f"{len(items)} items were asked and {len(answers)} answers came back; the model must "
            "give one answer per conversation, in order."
        )
    return Scores(
        results=tuple(
            Scored(item_id=item.id, suite=item.suite, answer=said, right=passes(item, said))
            for item, said in zip(items, answers, strict=True)
        )
    )
