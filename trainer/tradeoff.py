"""Checkpoints of a document round side by side: what reading gained, and what fine-tuning makes of it.

Longer pre-training on documents does not always make the better start for fine-tuning: beyond a
point a model is harder to tune, and loses more (Springer et al. 2025, *Overtrained language models
are harder to fine-tune*). Measured here on the deployment's own material; nothing is claimed,
published or changed. Knows no screen.
"""

import math
import random
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feedback import harvest
from feedback.errors import Conflict
from feedback.settings import FeedbackSettings
from feedback.store import Store
from trainer import judging, material, metrics, personal, pretrain, registry, snapshot
from trainer import round as rounds
from trainer.base_folder import resolve
from trainer.comparison import Marks, Measured, points, standings
from trainer.evaluate import score
from trainer.examples import Example, Message
from trainer.models import Adapter, Round
from trainer.settings import Plan, TrainerSettings
from trainer.step_search import untuned
from trainer.suites import Item

if TYPE_CHECKING:
    from trainer.policy import Policy

_TRIAL = "trial"
Right = tuple[bool, ...]
"""Which items were answered rightly, in their order."""


@dataclass(frozen=True)
class Compared:
    """One checkpoint, measured.

    Attributes:
        adapter: its id; None for the base model.
        share: of the document round's steps that it has taken; 0 is what the round started from.
        perplexity: on the round's held-out pieces.
        protected: share of the protected items that it gets right; None where there are none.
        dev: share of the held-out corrections that it answers so; None without such feedback.
        tuned_dev: the same after the trial.
        tuned_protected: protected accuracy after the trial.
    """

    adapter: str | None
    share: float
    perplexity: float
    protected: float | None
    dev: float | None = None
    tuned_dev: float | None = None
    tuned_protected: float | None = None


@dataclass(frozen=True)
class Comparison:
    """The checkpoints of one round, in the order of their steps, and what a person should know."""

    round_id: str
    rows: tuple[Compared, ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """As the command prints it."""
        return {
            "object": "round.comparison",
            "round": self.round_id,
            "data": [asdict(row) for row in self.rows],
            "notes": list(self.notes),
        }


def compare(
    store: Store,
    settings: FeedbackSettings,
    trainer: TrainerSettings,
    round_id: str,
    *,
    trial_steps: int,
    most_items: int,
    report: Callable[[float, str], None],
) -> Comparison:
    """Measure what a document round started from, its checkpoints and its end.

    Args:
        store: where the round is.
        settings: of feedback.
        trainer: hyperparameters of the trials.
        round_id: an ended document round.
        trial_steps: optimizer steps of each trial.
        most_items: at most so many protected items are asked, drawn by the plan's seed.
        report: told the share that is done, and what comes.

    Raises:
        NotFound: there is no such round.
        Conflict: it is no document round, or made no adapter.
        Invalid: a file that is needed is gone or was changed.
    """
    row, line, gathered = _read(store, settings, trainer, round_id)
    plan = Plan.model_validate(row.plan)
    frozen = snapshot.Snapshot(
        pretrain.held_out_folder(settings, row.id), row.counts["documents"]["held_out_sha256"]
    )
    held = [example.target for example in snapshot.read(frozen)]
    sorted_ = material.sort(personal.redacted_material(gathered, settings), trainer.plan())
    dev = [judging.new_item(word) for word in sorted_.held_out]
    protected = _some(gathered.protected, most_items, seed=plan.seed)
    work = 1 + (2 if dev else 0)
    rows: list[Compared] = []
    tried: list[tuple[bool, ...]] = []
    for number, (share, adapter) in enumerate(line):
        name = adapter.id if adapter else "base"

        def tell(part: int, told: str, number: int = number, name: str = name) -> None:
            report((number + part / work) / len(line), f"{name}: {told}")

        tell(0, "perplexity and protected items")
        folder = registry.verify(settings.data_dir, adapter) if adapter else None
        (kept, known), perplexity = _measured(plan, folder, held, protected, dev)
        tuned: tuple[Right, Right] = ((), ())
        if dev:
            tell(1, "fine-tuning trial")
            with tempfile.TemporaryDirectory() as scratch:
                out = Path(scratch) / _TRIAL
                _try(trainer.plan(), plan, sorted_.training, folder, out, steps=trial_steps)
                tell(2, "after the trial")
                tuned, _ = _measured(plan, out, (), protected, dev)
        tried.append(tuned[1])
        rows.append(
            Compared(
                name if adapter else None,
                share,
                perplexity,
                protected=_share(kept),
                dev=_share(known),
                tuned_dev=_share(tuned[1]),
                tuned_protected=_share(tuned[0]),
            )
        )
    report(1.0, "done")
    notes = []
    if not protected:
        notes.append("No protected item is known; name a file in trainer.protected_file.")
    people = [item.cluster for item in dev]
    notes.append(advice(rows, tried, people, steps=trial_steps, seed=plan.seed))
    return Comparison(row.id, tuple(rows), tuple(notes))


def advice(
    rows: Sequence[Compared],
    tried: Sequence[Sequence[bool]],
    people: Sequence[str],
    *,
    steps: int,
    seed: int = 0,
) -> str:
    """Say from which checkpoint to fine-tune, and how sure that is.

    People are resampled (`trainer.comparison`). Of those that cannot be told from the best, the one
    that took the fewest steps is named.

    Args:
        rows: the checkpoints.
        tried: of each, which held-out corrections it answers so after its trial.
        people: whose corrections they are.
        steps: of each trial.
        seed: of the resampling.
    """
    if not people:
        return (
            "No correction waits that could judge a fine-tuning trial, so none was made; collect "
            "feedback and compare again."
        )
    named = {row.adapter or "the base model": row for row in rows}
    measured = [
        Measured(name, baseline=_share(right) or 0.0, marks=Marks(tuple(right)))
        for name, right in zip(named, tried, strict=True)
    ]
    first, *rest = standings(measured, people, (), seed=seed)
    # A single person's word has no spread of its own, and tells nothing of others'.
    count = len(set(people))
    tied = rest if count < 2 else [each for each in rest if each.tied]
    alike = [first, *tied]
    chosen = min((each.measured.model for each in alike), key=lambda name: named[name].share)
    said = f"After {steps} steps of fine-tuning {len(people)} held-out correction(s) of " + (
        "one person" if count == 1 else f"{count} people"
    )
    if tied:
        names = ", ".join(sorted((e.measured.model for e in alike), key=lambda n: named[n].share))
        last = max(tied, key=lambda each: each.behind)
        said += (
            f" cannot tell {names} apart (the best is {points(last.behind)} ahead of the last of "
            f"them, 95%: {points(last.behind_low)} to {points(last.behind_high)}); of these, {chosen} "
            "took the fewest steps"
        )
    elif rest:
        said += (
            f" are answered best by {chosen}, {points(rest[0].behind)} ahead of the next (95%: "
            f"{points(rest[0].behind_low)} to {points(rest[0].behind_high)})"
        )
    row = named[chosen]
    more = f"; `heed round run --from {chosen}` starts there." if row.adapter and row.share else "."
    return said + more


def _read(
    store: Store, settings: FeedbackSettings, trainer: TrainerSettings, round_id: str
) -> tuple[Round, list[tuple[float, Adapter | None]], material.Gathered]:
    """The round, its adapters by the share of its steps, and the feedback that waits."""
    with store.session() as session:
        row = rounds.get(session, round_id)
        if "held_out_sha256" not in row.counts.get("documents", {}) or row.candidate_id is None:
            raise Conflict(
                f"Round {round_id} left no checkpoints of a document round to compare; "
                "`heed pretrain` makes them."
            )
        plan = Plan.model_validate(row.plan)
        start_id = plan.start_from or row.incumbent_id
        line: list[tuple[float, Adapter | None]] = [
            (0.0, registry.get(session, start_id) if start_id else None),
            *(
                (float(each["share"]), registry.get(session, each["adapter"]))
                for each in row.counts.get("checkpoints", [])
            ),
            (1.0, registry.get(session, row.candidate_id)),
        ]
    with harvest.claimed_for_a_look(store, settings, row.id) as session:
        gathered = material.gather(
            session,
            trainer.plan(),
            settings.data_dir,
            round_id=row.id,
            incumbent_id=row.incumbent_id,
        )
    return row, line, gathered


def _measured(
    plan: Plan,
    folder: Path | None,
    held: Sequence[str],
    protected: Sequence[Item],
    dev: Sequence[Item],
) -> tuple[tuple[Right, Right], float]:
    """Which protected and dev items it answers rightly, and perplexity on the held-out pieces."""
    from trainer.policy import Policy

    policy = Policy.load(resolve(plan.base_model), threads=plan.threads, adapters={_TRIAL: folder})
    name = None if folder is None else _TRIAL
    perplexity = (
        metrics.perplexity(policy.text_likelihoods(held, adapter=name)) if held else math.nan
    )
    return (_right(policy, protected, name, plan), _right(policy, dev, name, plan)), perplexity


def _right(policy: "Policy", items: Sequence[Item], adapter: str | None, plan: Plan) -> Right:
    def answers(asked: Sequence[Sequence[Message]]) -> list[str]:
        return policy.answers(asked, adapter=adapter, max_new_tokens=plan.max_new_tokens)

    return tuple(each.right for each in score(answers, items).results)


def _share(right: Sequence[bool]) -> float | None:
    return sum(right) / len(right) if right else None


def _try(
    tuning: Plan,
    read: Plan,
    training: Sequence[Example],
    folder: Path | None,
    out: Path,
    *,
    steps: int,
) -> None:
    """Fine-tune for exactly so many steps, with the settings of a feedback round."""
    from trainer import learner
    from trainer.interpolation import interpolate

    short = tuning.model_copy(
        update={"epochs": 1e-9, "minimum_steps": steps, "base_model": read.base_model}
    )
    learner.train(
        short, resolve(read.base_model), training, parent=folder, out=out, report=lambda _: None
    )
    interpolate(folder, out, share=untuned(tuning.step_share))


def _some(items: Sequence[Item], most: int, *, seed: int) -> list[Item]:
    if len(items) <= most:
        return list(items)
    return random.Random(seed).sample(list(items), most)
