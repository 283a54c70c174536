"""Cross-validation for a round that has too little to hold out: every correction judges once.

The candidate has not seen its own held-out slice. Further models are trained in the same way, each
without another part of the people, and each answers for those it has not seen. Knows no statistics
and no verdict; what a fold is, is `trainer.folds`.
"""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from feedback.harvest import Word
from trainer import candidate, folds
from trainer.curve import Progress
from trainer.evaluate import Scores, score
from trainer.evidence import Paired, pair
from trainer.examples import Example
from trainer.judging import Answers, new_item
from trainer.material import Gathered, Sorted
from trainer.settings import Plan
from trainer.suites import Item

COUNT = "folds"
"""Where a round's counts tell of its folds."""
Sort = Callable[[frozenset[str]], Sorted]
"""Sorts a round's material as the candidate's was, with other corrections held out."""
Fit = Callable[
    [candidate.Job, Sequence[Example], Sequence[Example], Path, Callable[[Progress], None]], None
]
"""Trains a model on examples, beside dev, into a folder."""


@dataclass(frozen=True)
class Fold:
    """A model that has not seen some people's corrections.

    Attributes:
        name: of its adapter.
        folder: of its adapter.
        words: those corrections.
    """

    name: str
    folder: Path
    words: tuple[Word, ...]


def parts(gathered: Gathered, sorted_: Sorted, plan: Plan) -> list[tuple[Word, ...]]:
    """Return the corrections that each further model is to be trained without. Pure.

    Whole people, about as many corrections in each part; whoever judges already, tunes, or has
    judged an earlier round is in none. With what is held out anyway they make `gate_folds` parts.

    Args:
        gathered: what there is.
        sorted_: how the candidate's material was sorted.
        plan: how many folds, and below which slice.

    Returns:
        Nothing where the plan asks for none, the slice is large enough, or too few people are left.
    """
    if not plan.gate_folds or len(sorted_.held_out) >= plan.gate_folds_below:
        return []
    before = {word.person_id for word in gathered.words if word.feedback_id in gathered.judged}
    words = [
        word
        for word in gathered.words
        if word.correction is not None
        and word.feedback_id in sorted_.roles
        and word.person_id not in before
    ]
    people = {word.person_id for word in words}
    further = min(plan.gate_folds - bool(sorted_.held_out), len(people))
    if not people or further + bool(sorted_.held_out) < 2:
        return []
    clusters = [word.person_id for word in words]
    if further == 1:
        return [tuple(words)]
    found = folds.split(clusters, further, seed=plan.seed)
    return [tuple(words[at] for at in part) for part in found]


def train(
    job: candidate.Job,
    gathered: Gathered,
    sorted_: Sorted,
    sort: Sort,
    *,
    fit: Fit = candidate.alike,
) -> tuple[Fold, ...]:
    """Train the further models, one for each part; none where there are none to be.

    Args:
        job: the round; its staging folder receives the models, which nobody publishes.
        gathered: what there is.
        sorted_: how the candidate's material was sorted.
        sort: sorts it with other corrections held out.
        fit: trains one.

    Raises:
        Invalid: a model cannot be trained.
    """
    found = parts(gathered, sorted_, job.plan)
    total = len(found) + bool(sorted_.held_out)
    made = []
    for number, words in enumerate(found, start=total - len(found) + 1):
        job.running.advance(0.0, f"Fold {number} of {total}: without {len(words)} corrections")

        def report(step: Progress, number: int = number) -> None:
            job.running.advance(
                step.step / step.steps, f"Fold {number} of {total}: step {step.step}/{step.steps}"
            )

        own = sort(frozenset(word.feedback_id for word in words))
        out = job.staging / f"fold-{number}"
        shutil.rmtree(out, ignore_errors=True)
        out.parent.mkdir(parents=True, exist_ok=True)
        fit(job, own.training, own.dev, out, report)
        made.append(Fold(f"fold{number}", out, words))
    return tuple(made)


def judged(job: candidate.Job, policy: Answers, made: Sequence[Fold]) -> tuple[Paired, ...]:
    """Return every fold's corrections as the incumbent and the fold's own model answer them.

    Args:
        job: the round.
        policy: holds the incumbent and the folds' adapters, by their names.
        made: the folds.
    """
    found: list[Paired] = []
    for fold in made:
        items = [new_item(word) for word in fold.words]
        ask = partial(_answers, policy, items, room=job.plan.max_new_tokens)
        before = job.remembered(job.digest).answers(
            [item.messages for item in items], partial(ask, job.incumbent)
        )
        after = ask(fold.name, range(len(items)))
        found += pair(items, _scored(items, before), _scored(items, after), "new")
    return tuple(found)


def counted(made: Sequence[Fold]) -> dict[str, object]:
    """Return what a round's counts say: who has judged it so, and must not judge again."""
    return {
        "models": len(made),
        "judged": [word.feedback_id for fold in made for word in fold.words],
    }


def told(made: Sequence[Fold], sorted_: Sorted) -> str:
    """Return what a reader of the report should know of the folds."""
    judges = sum(len(fold.words) for fold in made)
    total = len(made) + bool(sorted_.held_out)
    return (
        f"New corrections were judged in {total} folds, since {len(sorted_.held_out)} held out are "
        f"few: {judges} more were each judged by a model trained like the candidate, without the "
        "people who made them."
    )


def _answers(
    policy: Answers, items: Sequence[Item], adapter: str | None, asked: Sequence[int], *, room: int
) -> list[str]:
    prompts = [items[at].messages for at in asked]
    return policy.answers(prompts, adapter=adapter, max_new_tokens=room)


def _scored(items: Sequence[Item], said: Sequence[str]) -> Scores:
    return score(lambda _: said, items)
