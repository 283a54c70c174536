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
from trainer.evaluate import score
from trainer.examples import Example, Message
from trainer.models import Adapter, Round
from trainer.settings import Plan, TrainerSettings
from trainer.step_search import untuned
from trainer.suites import Item

if TYPE_CHECKING:
    from trainer.policy import Policy

_TRIAL = "trial"


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
    for number, (share, adapter) in enumerate(line):
        name = adapter.id if adapter else "base"

        def tell(part: int, told: str, number: int = number, name: str = name) -> None:
            report((number + part / work) / len(line), f"{name}: {told}")

        tell(0, "perplexity and protected items")
        folder = registry.verify(settings.data_dir, adapter) if adapter else None
        before, perplexity = _measured(plan, folder, held, protected, dev)
        tuned: tuple[float | None, float | None] = (None, None)
        if dev:
            tell(1, "fine-tuning trial")
            with tempfile.TemporaryDirectory() as scratch:
                out = Path(scratch) / _TRIAL
                _try(trainer.plan(), plan, sorted_.training, folder, out, steps=trial_steps)
                tell(2, "after the trial")
                tuned, _ = _measured(plan, out, (), protected, dev)
        rows.append(
            Compared(
                name if adapter else None,
                share,
                perplexity,
                *before,
                tuned_dev=tuned[1],
                tuned_protected=tuned[0],
            )
        )
    report(1.0, "done")
    return Comparison(row.id, tuple(rows), tuple(_notes(rows, dev, protected, trial_steps)))


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
) -> tuple[tuple[float | None, float | None], float]:
    """Protected accuracy and dev score, and perplexity on the held-out pieces."""
    from trainer.policy import Policy

    policy = Policy.load(resolve(plan.base_model), threads=plan.threads, adapters={_TRIAL: folder})
    name = None if folder is None else _TRIAL
    perplexity = (
        metrics.perplexity(policy.text_likelihoods(held, adapter=name)) if held else math.nan
    )
    return (_right(policy, protected, name, plan), _right(policy, dev, name, plan)), perplexity


def _right(
    policy: "Policy", items: Sequence[Item], adapter: str | None, plan: Plan
) -> float | None:
    if not items:
        return None

    def answers(asked: Sequence[Sequence[Message]]) -> list[str]:
        return policy.answers(asked, adapter=adapter, max_new_tokens=plan.max_new_tokens)

    results = score(answers, items).results
    return sum(each.right for each in results) / len(results)


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


def _notes(
    rows: Sequence[Compared], dev: Sequence[Item], protected: Sequence[Item], steps: int
) -> list[str]:
    notes = []
    if not protected:
        notes.append("No protected item is known; name a file in trainer.protected_file.")
    if not dev:
        notes.append(
            "No correction waits that could judge a fine-tuning trial, so none was made; collect "
            "feedback and compare again."
        )
        return notes
    best = max(rows, key=lambda row: (row.tuned_dev or 0.0, row.tuned_protected or 0.0))
    notes.append(
        f"After {steps} steps of fine-tuning {best.adapter or 'the base model'} does best on "
        f"{len(dev)} held-out correction(s)"
        + (
            f"; `heed round run --from {best.adapter}` starts there."
            if best.adapter and best.share
            else "."
        )
    )
    return notes
