"""The story of a round, top to bottom: due, open, run. Knows how each part is called, not how it works.

Slow work follows load, process, apply, and holds no database session while it processes. A round
that is killed is taken up again: what it claimed and froze is still there, and nothing it made is
visible before the last transaction.
"""

import shutil
import time
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from apscheduler.triggers.cron import CronTrigger
from sqlalchemy import func
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select

from feedback import about, harvest, receipts, trust
from feedback.errors import Conflict, HeedError, Invalid, NotFound
from feedback.ids import new_id
from feedback.models import Exchange
from feedback.settings import PROJECT, FeedbackSettings
from feedback.store import Store
from trainer import (
    checkpoints,
    curve,
    enrichment,
    faults,
    judging,
    material,
    outcome,
    personal,
    registry,
    snapshot,
    trackers,
)
from trainer.answered import Answered
from trainer.base_folder import base_hash, resolve
from trainer.gate import GateReport
from trainer.models import Adapter, Round
from trainer.progress import Running
from trainer.settings import Plan, TrainerSettings

if TYPE_CHECKING:
    from trainer.policy import Policy


def due(session: Session, settings: TrainerSettings, *, now_seconds: float) -> str | None:
    """Return why a round is due, or None.

    A round is due when its time has come since the last one, or when enough material has gathered
    since that one ended (what it gave back is not new); never while one is open, nor with too
    little to learn from.
    """
    if current(session) is not None:
        return None
    available = harvest.available(session)
    if available < settings.minimum_material:
        return None
    if available >= settings.new_material:
        ended = session.exec(
            select(func.max(Round.ended_at)).where(Round.project_id == PROJECT)
        ).one()
        new = harvest.available(session, since=ended or 0.0)
        if new >= settings.new_material:
            return f"{new} new pieces of feedback wait"
    last = (
        session.exec(select(func.max(Round.created_at)).where(Round.project_id == PROJECT)).one()
        or session.exec(
            select(func.min(Exchange.created_at)).where(Exchange.project_id == PROJECT)
        ).one()
    )
    if last is not None and next_times(settings, after_seconds=last, count=1)[0] <= now_seconds:
        return f"schedule {settings.schedule!r}"
    return None


def next_times(settings: TrainerSettings, *, after_seconds: float, count: int) -> list[float]:
    """Return the next times (Unix seconds) of the schedule.

    Raises:
        Invalid: the schedule is no cron expression, or the time zone is unknown.
    """
    try:
        zone = ZoneInfo(settings.timezone)
        trigger = CronTrigger.from_crontab(settings.schedule, timezone=zone)
    except (ValueError, KeyError) as error:
        raise Invalid(
            f"trainer.schedule {settings.schedule!r} in {settings.timezone!r} is no schedule "
            f"({error}). Write five cron fields, such as `0 3 * * mon`.",
            param="trainer.schedule",
        ) from error
    moment = datetime.fromtimestamp(after_seconds, zone)
    times: list[float] = []
    for _ in range(count):
        fire = trigger.get_next_fire_time(moment if times else None, moment)
        if fire is None:
            break
        times.append(fire.timestamp())
        moment = datetime.fromtimestamp(fire.timestamp() + 1, zone)
    return times


def current(session: Session) -> Round | None:
    """Return the open round, if there is one."""
    return session.exec(select(Round).where(Round.open_slot == PROJECT)).first()


def get(session: Session, round_id: str) -> Round:
    """Return a round.

    Raises:
        NotFound: there is none with this id.
    """
    found = session.get(Round, round_id)
    if found is None or found.project_id != PROJECT:
        raise NotFound(f"No round {round_id!r}; `heed round list` shows them.", param="round")
    return found


def rounds(session: Session, *, limit: int = 50, before: str | None = None) -> list[Round]:
    """Return rounds, newest first."""
    query = select(Round).where(Round.project_id == PROJECT)
    if before is not None:
        query = query.where(col(Round.id) < before)
    return list(session.exec(query.order_by(col(Round.id).desc()).limit(limit)))


def open(
    session: Session, feedback: FeedbackSettings, settings: TrainerSettings, *, trigger: str
) -> Round:
    """Insert a round with its frozen plan. The caller commits.

    Raises:
        Conflict: one is open already, or there is nothing to learn from.
    """
    running = current(session)
    if running is not None:
        raise Conflict(
            f"Round {running.id} is open ({running.stage}); wait for it, or end it with "
            f"`heed round cancel {running.id}`."
        )
    trust.settle(session, feedback)
    if not harvest.available(session):
        waiting = receipts.counts(session)["review"]
        raise Conflict(
            "There is no accepted feedback to learn from. "
            + (f"{waiting} piece(s) wait for a reviewer." if waiting else "Collect some first.")
        )
    deployment = registry.live(session)
    opened = Round(
        id=new_id("rnd"),
        trigger=trigger,
        plan=settings.plan().model_dump(mode="json"),
        incumbent_id=deployment.live_id if deployment else None,
        created_at=time.time(),
        message="Waits for its process.",
    )
    session.add(opened)
    try:
        session.flush()
    except IntegrityError as error:
        raise Conflict("Another round was opened at this moment.") from error
    return opened


def cancel(session: Session, round_id: str) -> Round:
    """Ask a round to stop; one that no process runs ends at once. The caller commits.

    Raises:
        NotFound: there is no such round.
        Conflict: it has ended already.
    """
    found = get(session, round_id)
    if found.state != "open":
        raise Conflict(f"Round {round_id} has ended already ({found.state}).")
    found.cancel_requested = True
    if found.attempts == 0:
        close(session, found, "cancelled", "Cancelled before it started.")
    session.add(found)
    return found


def close(session: Session, found: Round, state: str, message: str) -> None:
    """End a round and give back what it held. The caller commits."""
    harvest.release(session, found.id, f"Round {found.id} {state}; waits for the next round.")
    found.state, found.open_slot, found.message = state, None, message
    found.ended_at = time.time()
    session.add(found)


def run(store: Store, settings: FeedbackSettings, round_id: str) -> str:
    """Run an open round to its end, and return its state.

    Raises:
        NotFound: there is no such round.
        Conflict: it has ended, or another process runs one.
    """
    with Running(store, round_id) as running:
        try:
            return _run(store, settings, running)
        except Conflict:
            raise  # taken over: this process writes nothing more
        except HeedError as fault:
            wish = running.stopping
            if isinstance(wish, Conflict):
                raise wish from fault
            return _end(store, running, "cancelled" if wish else "failed", (wish or fault).message)
        except Exception as fault:
            known = faults.explained(fault)
            told = known.message if known else f"{type(fault).__name__}: {fault}"
            state = _end(store, running, "failed", told)
            if known is None:
                raise
            return state


@dataclass(frozen=True)
class _Job:
    """What stays the same while a round runs."""

    settings: FeedbackSettings
    running: Running
    row: Round
    plan: Plan
    base_folder: Path
    base_hash: str
    parent: Path | None

    @property
    def staging(self) -> Path:
        """Where the adapter is made before it is published."""
        return self.settings.data_dir / "work" / self.row.id

    def remembered(self, adapter_digest: str) -> Answered:
        """What an adapter on this base has answered in earlier rounds."""
        return Answered(
            self.settings.data_dir / "answered",
            model=f"{self.base_hash} {adapter_digest}",
            max_new_tokens=self.plan.max_new_tokens,
        )


def _run(store: Store, settings: FeedbackSettings, running: Running) -> str:
    running.stage("claim", "Gathering accepted feedback")
    with store.session() as session:
        weights = harvest.weigh(session, settings)
    with store.session(write=True) as session:
        running.guard(session)
        harvest.claim(session, settings, running.round_id, weights)
        session.commit()
    with store.session() as session:
        row = get(session, running.round_id)
        plan = Plan.model_validate(row.plan)
        incumbent = registry.get(session, row.incumbent_id) if row.incumbent_id else None
        gathered = material.gather(session, row, plan, settings.data_dir)
        tags = about.tags(session, [word.feedback_id for word in gathered.words])
        extra = enrichment.read(session, plan, gathered)
    gathered = personal.redacted_material(gathered, settings)
    parent = registry.verify(settings.data_dir, incumbent) if incumbent else None
    base_folder = resolve(plan.base_model)
    job = _Job(settings, running, row, plan, base_folder, base_hash(base_folder), parent)
    if incumbent is not None and incumbent.base_hash != job.base_hash:
        raise Invalid(
            f"The live adapter {incumbent.id} belongs to the base model {incumbent.base_model} as "
            f"it was when that adapter was trained, and trainer.base_model is {plan.base_model} "
            "now. Set it back, or roll back to the base (`heed adapters rollback`) and start a "
            "round that learns from all that waits.",
            param="base_model",
        )
    checkpoints.discard_others(settings.data_dir, row.id)

    running.stage("examples", f"{len(gathered.words)} pieces of feedback become examples")
    sorted_ = material.sort(gathered, plan)
    if not sorted_.roles:
        raise Invalid(
            "Nothing in the claimed feedback can be learned from: every vote was contradicted by "
            "a reviewed correction, held out, or has personal data in its answer."
        )
    sorted_, notes = enrichment.enriched(sorted_, gathered, extra, plan, _surroundings(job))
    counts = outcome.counts(gathered, sorted_)
    if notes:
        counts["notes"] = list(notes)
    folder = settings.data_dir / "snapshots" / row.id
    frozen = snapshot.frozen_before(
        folder, row.snapshot_sha256, sorted_.training
    ) or snapshot.freeze(
        folder,
        sorted_.training,
        about={
            "round": row.id,
            "parent": row.incumbent_id,
            "plan": row.plan,
            "feedback": outcome.planned(sorted_),
            "noise": counts["noise"],
        },
    )
    _note(store, running, snapshot_sha256=frozen.sha256, counts=counts)

    running.stage("train", f"Learning from {len(sorted_.training)} examples", counts=counts)
    candidate, told = _train(job, frozen)
    if told:
        counts["notes"] = [*notes, *told]
        _note(store, running, counts=counts)

    running.stage("evaluate", "Comparing the candidate with the incumbent")
    report = _judge(job, candidate, gathered, sorted_, tags)

    running.stage("apply", f"The gate says: {report.outcome}")
    with store.session(write=True) as session:
        running.guard(session)
        verdict = outcome.Verdict(get(session, row.id), plan, candidate, sorted_, report)
        state = outcome.apply(session, verdict)
        session.commit()
    shutil.rmtree(job.staging, ignore_errors=True)
    checkpoints.discard(settings.data_dir, row.id)
    return state


def _surroundings(job: _Job) -> enrichment.Surroundings:
    return enrichment.Surroundings(
        settings=job.settings,
        present_id=job.row.incumbent_id,
        base_hash=job.base_hash,
        open_policy=lambda: _models(job),
        should_stop=lambda: job.running.stopping is not None,
    )


def _models(job: _Job) -> "Policy":
    """The base model with the incumbent attached, where there is one."""
    from trainer.policy import Policy

    policy = Policy.load(job.base_folder, threads=job.plan.threads)
    if job.parent is not None:
        policy.attach("incumbent", job.parent)
    return policy


def _train(job: _Job, frozen: snapshot.Snapshot) -> tuple[Adapter, tuple[str, ...]]:
    from trainer import learner
    from trainer.executors import ranks
    from trainer.interpolation import interpolate
    from trainer.task import Task

    shutil.rmtree(job.staging, ignore_errors=True)  # what an earlier attempt left half done
    job.staging.parent.mkdir(parents=True, exist_ok=True)
    drawn = curve.CurveFile(curve.place(job.settings.data_dir, job.row.id))

    def report(step: curve.Progress) -> None:
        drawn.add(step)
        job.running.advance(
            step.step / step.steps,
            f"Step {step.step}/{step.steps}, loss {step.loss:.3f}",
            **asdict(step),
        )

    examples = snapshot.read(frozen)
    resumable = checkpoints.folder(job.settings.data_dir, job.row.id)
    work = Task(
        job.plan,
        job.base_folder,
        tuple(examples),
        job.parent,
        job.staging,
        checkpoints=resumable,
    )
    with ranks.beside(work, job.staging.with_suffix(".task")) as seat:
        trained = learner.train(
            job.plan,
            job.base_folder,
            examples,
            parent=job.parent,
            out=job.staging,
            report=report,
            should_stop=lambda: job.running.stopping is not None,
            checkpoints=resumable,
            tracked=trackers.place(job.settings.data_dir, job.row.id),
            seat=seat,
        )
    interpolate(job.parent, job.staging, share=job.plan.step_share)
    for note in trained.notes:
        job.running.advance(1.0, note)
    published = registry.publish(
        job.settings.data_dir,
        job.staging,
        adapter_id=new_id("adp"),
        parent_id=job.row.incumbent_id,
        round_id=job.row.id,
        base_model=job.plan.base_model,
        base_hash=job.base_hash,
    )
    return published, trained.notes


def _judge(
    job: _Job,
    candidate: Adapter,
    gathered: material.Gathered,
    sorted_: material.Sorted,
    tags: dict[str, dict[str, Any]],
) -> GateReport:
    policy = _models(job)
    policy.attach("candidate", registry.folder(job.settings.data_dir, candidate.digest))
    return judging.judge(
        policy,
        job.plan,
        incumbent="incumbent" if job.parent is not None else None,
        remembered=(
            job.remembered(job.parent.name if job.parent is not None else "base"),
            job.remembered(candidate.digest),
        ),
        protected=gathered.protected,
        sorted_=sorted_,
        report=job.running.reporter("Answers compared:"),
        tags=tags,
    )


def _note(store: Store, running: Running, **values: Any) -> None:
    with store.session(write=True) as session:
        running.guard(session)
        row = get(session, running.round_id)
        for name, value in values.items():
            setattr(row, name, value)
        session.add(row)
        session.commit()


def _end(store: Store, running: Running, state: str, message: str) -> str:
    with store.session(write=True) as session:
        running.guard(session)
        close(session, get(session, running.round_id), state, message)
        session.commit()
    checkpoints.discard(store.settings.data_dir, running.round_id)
    return state
