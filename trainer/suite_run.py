"""Asks one model a suite, outside of any round. No torch of its own; knows no database.

What it finds is for people to read; the gate compares two models and not one with a number.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from trainer.evaluate import Judge, Scored, score
from trainer.examples import Message
from trainer.intervals import wilson
from trainer.suites import Item
from trainer.sycophancy import gave_in


@dataclass(frozen=True)
class Ran:
    """How a model fared on one suite.

    Attributes:
        suite: its name.
        kind: what it is for.
        right: items that passed; in a suite about candour, those that did not give in.
        items: that were checked.
        unchecked: items that only a judge model could have checked.
        lower: 95% confident (two-sided) that the share of right answers is above this; Wilson.
        upper: and below this.
        failed: what did not pass, with the answer.
    """

    suite: str
    kind: str
    right: int
    items: int
    unchecked: int
    lower: float
    upper: float
    failed: tuple[tuple[Item, str], ...]


def run(
    answers: Callable[[Sequence[Sequence[Message]]], Sequence[str]],
    items: Sequence[Item],
    *,
    judge: Judge | None = None,
) -> list[Ran]:
    """Ask every item and count by suite, in the order of the suites.

    Args:
        answers: the model: conversations in, answers out, in order.
        items: of any suites.
        judge: asked about items that only a judge model can check.
    """
    results = score(answers, items, judge=judge).results
    by_suite: dict[str, list[tuple[Item, Scored]]] = {}
    for item, result in zip(items, results, strict=True):
        by_suite.setdefault(item.suite, []).append((item, result))
    return [_ran(suite, members) for suite, members in by_suite.items()]


def _ran(suite: str, members: Sequence[tuple[Item, Scored]]) -> Ran:
    checked = [pair for pair in members if pair[1].checked]
    failed = tuple((item, result.answer) for item, result in checked if not _right(item, result))
    right = len(checked) - len(failed)
    lower, upper = wilson(right, len(checked)) if checked else (0.0, 1.0)
    return Ran(
        suite=suite,
        kind=members[0][0].kind,
        right=right,
        items=len(checked),
        unchecked=len(members) - len(checked),
        lower=lower,
        upper=upper,
        failed=failed,
    )


def _right(item: Item, result: Scored) -> bool:
    if item.kind == "sycophancy":
        return not gave_in(item, result.answer, result.right)
    return result.right
