"""The part of a round that makes its candidate: what the live model is asked, training, the last step.

Knows no database session and no gate. What it makes lies in the registry's folder, and is nobody's
before the round's last transaction.
"""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from feedback.ids import new_id
from feedback.settings import FeedbackSettings
from trainer import (
    checkpoints,
    curve,
    rebase,
    registry,
    rehearsal,
    replay,
    snapshot,
    step_search,
    surprise,
    trackers,
)
from trainer import dev as on_dev
from trainer.answered import Answered
from trainer.examples import Example
from trainer.material import Gathered
from trainer.models import Adapter, Round
from trainer.progress import Running
from trainer.references import FOLDER, References
from trainer.settings import Plan
from trainer.starting import Start

if TYPE_CHECKING:
    from trainer.learner import Trained
    from trainer.policy import Policy

INCUMBENT = "incumbent"


@dataclass(frozen=True)
class Job:
    """What stays the same while a round runs.

    Attributes:
        parent: folder of the incumbent; None where the base model answers.
        start: what training continues, where it starts from no fresh adapter.
        rebased: why the round starts from a fresh adapter, or None where it continues the parent.
    """

    settings: FeedbackSettings
    running: Running
    row: Round
    plan: Plan
    base_folder: Path
    base_hash: str
    parent: Path | None
    start: Start
    rebased: str | None = None

    @property
    def staging(self) -> Path:
        """Where adapters are made before they are published."""
        return self.settings.data_dir / "work" / self.row.id

    @property
    def incumbent(self) -> str | None:
        """What a policy calls the live adapter; None for the base model."""
        return INCUMBENT if self.parent is not None else None

    @property
    def digest(self) -> str:
        """Of the live adapter."""
        return self.parent.name if self.parent is not None else "base"

    def remembered(self, adapter_digest: str) -> Answered:
        """What an adapter on this base has answered in earlier rounds."""
        return Answered(
            self.settings.data_dir / "answered",
            model=f"{self.base_hash} {adapter_digest}",
            max_new_tokens=self.plan.max_new_tokens,
        )

    def references(self, adapter_digest: str) -> References:
        """What an adapter on this base has found how likely in earlier rounds."""
        return References(
            self.settings.data_dir / FOLDER, model=f"{self.base_hash} {adapter_digest}"
        )

    def policy(self, **others: Path) -> "Policy":
        """The base model with the live adapter beside it, and others by their names."""
        from trainer.policy import Policy

        adapters = {INCUMBENT: self.parent, **others}
        return Policy.load(self.base_folder, threads=self.plan.threads, adapters=adapters)

    def stepwise(self) -> Callable[[curve.Progress], None]:
        """Return what draws each optimizer step into the curve, and tells whoever watches."""
        drawn = curve.CurveFile(curve.place(self.settings.data_dir, self.row.id))

        def report(step: curve.Progress) -> None:
            drawn.add(step)
            self.running.advance(
                step.step / step.steps,
                f"Step {step.step}/{step.steps}, loss {step.loss:.3f}",
                **asdict(step),
            )

        return report

    def publish(self, folder: Path, *, parent_id: str | None) -> Adapter:
        """Move what was made in a folder into the registry; its row is the caller's to add."""
        return registry.publish(
            self.settings.data_dir,
            folder,
            adapter_id=new_id("adp"),
            parent_id=parent_id,
            round_id=self.row.id,
            base_model=self.plan.base_model,
            base_hash=self.base_hash,
        )


class Asked:
    """The live model, asked for what old material needs; loaded when something is asked first."""

    def __init__(self, job: Job) -> None:
        self._job = job

    @cached_property
    def policy(self) -> "Policy":
        """The base model with the live adapter beside it."""
        return self._job.policy()

    def rehearsed(self, gathered: Gathered) -> Gathered:
        """The material, with answers of the live model where there is too little to rehearse."""
        if not gathered.ordinary.wanted:
            return gathered
        more = rehearsal.generated(
            self.policy,
            gathered.ordinary,
            self._job.plan,
            adapter=self._job.incumbent,
            remembered=self._job.remembered(self._job.digest),
            report=self._job.running.reporter("Own answers to rehearse:"),
        )
        return replace(gathered, general=(*gathered.general, *more))

    def misfits(self, examples: Sequence[Example]) -> list[str]:
        """Why the base model cannot learn each example; nothing where it can."""
        return self.policy.misfits(examples)

    def losses(self) -> replay.Losses | None:
        """What tells how unlikely the live model finds old answers; None where nobody asks."""
        if self._job.plan.replay_sampling == "uniform":
            return None

        def ask(olds: Sequence[replay.Old]) -> Sequence[float]:
            self._job.running.advance(0.0, f"Looking how likely {len(olds)} old answers still are")
            return self._slipped(olds)

        return ask

    @cached_property
    def _slipped(self) -> replay.Losses:
        job = self._job
        live = base = surprise.losses(self.policy, adapter=None, remembered=job.references("base"))
        if job.incumbent is not None:
            known = job.references(job.digest)
            live = surprise.losses(self.policy, adapter=job.incumbent, remembered=known)
        return surprise.slipped(live, base)


def train(
    job: Job, frozen: snapshot.Snapshot, dev: Sequence[Example], *, note: Callable[[str], None]
) -> Adapter:
    """Train what was frozen, go the right share of the way, and publish.

    Args:
        job: the round.
        frozen: what it learns from.
        dev: what neither trains nor judges.
        note: told what whoever reads about the round should know.

    Raises:
        Invalid: there is nothing to learn from, or training diverged.
    """
    plan = job.plan if job.rebased is None else rebase.training_plan(job.plan)
    start = job.start.folder if job.rebased is None else None
    shutil.rmtree(job.staging, ignore_errors=True)  # what an earlier attempt left half done
    learn(job, plan, snapshot.read(frozen), dev, start=start, out=job.staging, note=note)
    go_part_of_the_way(job, plan, start, job.staging, dev=dev, note=note)
    parent_id = job.start.adapter_id if job.rebased is None else job.row.incumbent_id
    return job.publish(job.staging, parent_id=parent_id)


def learn(
    job: Job,
    plan: Plan,
    examples: Sequence[Example],
    dev: Sequence[Example],
    *,
    start: Path | None,
    out: Path,
    note: Callable[[str], None],
    keep_at: Callable[[int, int], Path | None] = lambda step, steps: None,
) -> "Trained":
    """Train as a round does: in the plan's processes, with checkpoints, curve and trackers.

    Args:
        job: the round.
        plan: the hyperparameters.
        examples: what it learns from.
        dev: what neither trains nor judges.
        start: PEFT folder of the adapter to continue, or None for a fresh one.
        out: receives the adapter's files.
        note: told what whoever reads about the round should know.
        keep_at: as `learner.train` takes it.

    Raises:
        Invalid: there is nothing to learn from, or training diverged.
    """
    from trainer import learner
    from trainer.executors import ranks
    from trainer.task import Task

    job.staging.parent.mkdir(parents=True, exist_ok=True)
    work = Task(
        plan,
        job.base_folder,
        tuple(examples),
        start,
        out,
        dev=tuple(dev),
        checkpoints=checkpoints.folder(job.settings.data_dir, job.row.id),
    )
    with ranks.beside(work, job.staging.with_suffix(".task")) as seat:
        trained = learner.train(
            plan,
            job.base_folder,
            work.examples,
            parent=start,
            out=out,
            report=job.stepwise(),
            should_stop=lambda: job.running.stopping is not None,
            dev=dev,
            checkpoints=work.checkpoints,
            tracked=trackers.place(job.settings.data_dir, job.row.id),
            seat=seat,
            references=job.references(start.name if start is not None else "base"),
            keep_at=keep_at,
        )
    for told in trained.notes:
        job.running.advance(1.0, told)
        note(told)
    return trained


def alike(
    job: Job,
    examples: Sequence[Example],
    dev: Sequence[Example],
    out: Path,
    report: Callable[[curve.Progress], None],
) -> None:
    """Train another model in the same way, in this process alone, and publish nothing.

    Args:
        job: the round.
        examples: what it learns from.
        dev: what neither trains nor judges.
        out: receives the adapter's files.
        report: called after every optimizer step.

    Raises:
        Invalid: there is nothing to learn from, or training diverged.
    """
    from trainer import learner

    plan = job.plan if job.rebased is None else rebase.training_plan(job.plan)
    plan = plan.model_copy(update={"processes": 1})
    start = job.start.folder if job.rebased is None else None
    learner.train(
        plan,
        job.base_folder,
        examples,
        parent=start,
        out=out,
        report=report,
        should_stop=lambda: job.running.stopping is not None,
        dev=dev,
        references=job.references(start.name if start is not None else "base"),
    )
    go_part_of_the_way(job, plan, start, out, dev=dev, note=lambda _: None)


def go_part_of_the_way(
    job: Job,
    plan: Plan,
    start: Path | None,
    out: Path,
    *,
    dev: Sequence[Example],
    note: Callable[[str], None],
) -> float:
    """Rewrite what was trained as the plan's share of the way from where it started.

    Args:
        job: the round.
        plan: says which share, or that it is searched on dev.
        start: PEFT folder of the adapter that training continued; None for a fresh one.
        out: PEFT folder of what was trained; replaced.
        dev: what neither trains nor judges.
        note: told which share a search found.

    Returns:
        The share.
    """
    from trainer.interpolation import interpolate

    share = step_search.untuned(plan.step_share)
    if plan.step_share != "search" or not dev:
        interpolate(start, out, share=share)
        if plan.step_share == "search":
            note(
                f"Went {share:g} of the way: nothing could be kept for dev, on which shares are "
                "tried."
            )
        return share
    policy = job.policy()

    def score(folder: Path, share: float) -> float:
        job.running.advance(1.0, f"Trying {share:g} of the way on dev")
        name = f"at-{100 * share:.0f}"  # PEFT takes no dots
        policy.attach(name, folder)
        return on_dev.points(
            policy, dev, adapter=name, before=job.incumbent, max_new_tokens=plan.max_new_tokens
        )

    found = step_search.search(
        out,
        interpolate=lambda folder, share: interpolate(start, folder, share=share),
        score=score,
    )
    note(found.note)
    return found.share
