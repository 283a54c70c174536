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


Judge = Callable[[Sequence[tuple[Item, str]]], Sequence[bool | None]]
"""Says whether answers do what their items demand; None where it cannot be asked."""


class Scored(BaseModel):
    """One item's answer, and whether it was right.

    Attributes:
        checked: False where only a judge model could tell, and none could be asked; `right` then
            says nothing.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    item_id: str
    suite: str
    answer: str
    right: bool
    checked: bool = True


class Scores(BaseModel):
    """A model's answers to a set of items, in their order."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    results: tuple[Scored, ...]

    def accuracy(self) -> dict[str, float]:
        """The share of right answers per suite, of those that were checked."""
        marks: dict[str, list[bool]] = {}
        for result in self.results:
            if not result.checked:
                continue
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
    answer: Callable[[Sequence[Conversation]], Sequence[str]],
    items: Sequence[Item],
    *,
    judge: Judge | None = None,
) -> Scores:
    """Ask every item and mark the answers.

    Args:
        answer: answers conversations, in their order; called once, so that it can batch.
        items: what to ask. A held-out correction is an item whose check is `exact`.
        judge: asked about items whose check is `judge`; without it they are not checked.

    Raises:
        Invalid: there are not as many answers as items.
    """
    answers = list(answer([item.messages for item in items])) if items else []
    if len(answers) != len(items):
        raise Invalid(
            f"{len(items)} items were asked and {len(answers)} answers came back; the model must "
            "give one answer per conversation, in order."
        )
    asked = [at for at, item in enumerate(items) if item.check == "judge"]
    told: dict[int, bool | None] = dict.fromkeys(asked)
    if judge is not None and asked:
        told = dict(zip(asked, judge([(items[at], answers[at]) for at in asked]), strict=True))
    return Scores(
        results=tuple(
            Scored(
                item_id=item.id,
                suite=item.suite,
                answer=said,
                right=bool(told[at]) if at in told else passes(item, said),
                checked=told.get(at, True) is not None,
            )
            for at, (item, said) in enumerate(zip(items, answers, strict=True))
        )
    )
