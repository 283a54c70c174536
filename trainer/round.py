"""The story of a round, top to bottom: due, open, run. Knows how each part is called, not how it works.

Slow work follows load, process, apply, and holds no database session while it processes. A round
that is killed is taken up again: what it claimed and froze is still there, and nothing it made is
visible before the last transaction.
"""

import time
from typing import Any

from sqlalchemy import func
from sqlmodel import Session, col, select

from feedback import about, harvest, receipts, trust
from feedback.errors import Conflict, HeedError, Invalid, NotFound
from feedback.models import Exchange
from feedback.settings import PROJECT, FeedbackSettings
from feedback.store import Store
from trainer import (
    candidate,
    enrichment,
    faults,
    fitting,
    judgement,
    lease,
    leftovers,
    material,
    opening,
    outcome,
    pair_store,
    pending,
    personal,
    rebase,
    registry,
    snapshot,
    starting,
    timetable,
)
from trainer.base_folder import base_hash, resolve
from trainer.judgement import Found
from trainer.models import Round
from trainer.opening import DOCUMENTS, OF_FEEDBACK, insert, vacant
from trainer.progress import Running
from trainer.settings import Plan, TrainerSettings

current = opening.current


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
        new = new_material(session)
        if new >= settings.new_material:
            return f"{new} new pieces of feedback wait"
    last = (
        session.exec(
            select(func.max(Round.created_at)).where(Round.project_id == PROJECT, OF_FEEDBACK)
        ).one()
        or session.exec(
            select(func.min(Exchange.created_at)).where(Exchange.project_id == PROJECT)
        ).one()
    )
    if last is not None:
        expression, at = timetable.next_due(session, settings, since=last)
        if at <= now_seconds:
            return f"schedule {expression!r}"
    return None


def new_material(session: Session) -> int:
    """Return how many pieces of feedback wait that the last round has not given back."""
    ended = session.exec(
        select(func.max(Round.ended_at)).where(Round.project_id == PROJECT, OF_FEEDBACK)
    ).one()
    return harvest.available(session, since=ended or 0.0)


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
    vacant(session)
    trust.settle(session, feedback)
    if not harvest.available(session):
        waiting = receipts.counts(session)["review"]
        raise Conflict(
            "There is no accepted feedback to learn from. "
            + (f"{waiting} piece(s) wait for a reviewer." if waiting else "Collect some first.")
        )
    return insert(session, settings, trigger=trigger)


def cancel(store: Store, session: Session, round_id: str) -> Round:
    """Ask a round to stop; one that no process runs ends at once, and one that waits for reviewers.

    The caller commits, and clears away what it left (`leftovers.clear`).

    Raises:
        NotFound: there is no such round.
        Conflict: it has ended already.
    """
    found = get(session, round_id)
    if found.state == "pending":
        pending.end(session, found, "Cancelled while it waited.", state="cancelled")
        return found
    if found.state != "open":
        raise Conflict(f"Round {round_id} has ended already ({found.state}).")
    found.cancel_requested = True
    if lease.bar(store, session, "round") or not found.attempts:
        when = "by hand; no process ran it any more" if found.attempts else "before it started"
        close(session, found, "cancelled", f"Cancelled {when}.")
    session.add(found)
    return found


def close(session: Session, found: Round, state: str, message: str) -> None:
    """End a round and give back what it held. The caller holds its lease, or has barred it.

    The caller commits, and clears away what it left (`leftovers.clear`).
    """
    harvest.release(session, found.id, f"Round {found.id} {state}; waits for the next round.")
    found.state, found.open_slot, found.message = state, None, message
    found.ended_at = time.time()
    session.add(found)


def run(store: Store, settings: FeedbackSettings, round_id: str) -> str:
    """Run an open round to its end, and return its state.

    Raises:
        NotFound: there is no such round.
        Conflict: it has ended, or another process runs one.
        StorageFull: the database cannot be written; the round stays open.
    """
    with faults.unrecorded(store, round_id):
        try:
            with Running(store, round_id) as running:
                return _recorded(store, settings, running)
        finally:
            leftovers.clear(store, round_id)


def _recorded(store: Store, settings: FeedbackSettings, running: Running) -> str:
    """Run it, and record it as failed where it fails."""
    try:
        return _run(store, settings, running)
    except Conflict:
        raise  # taken over: this process writes nothing more
    except HeedError as fault:
        wish = running.stopping
        if isinstance(wish, Conflict):
            raise wish from fault
        why = wish or faults.explained(fault) or fault
        return _end(store, running, "cancelled" if wish else "failed", why.message)
    except Exception as fault:
        known = faults.explained(fault)
        told = known.message if known else f"{type(fault).__name__}: {fault}"
        state = _end(store, running, "failed", told)
        if known is None:
            raise
        return state


def _run(store: Store, settings: FeedbackSettings, running: Running) -> str:
    with store.session() as session:
        learns_documents = get(session, running.round_id).trigger.startswith(DOCUMENTS)
    if learns_documents:
        from trainer import pretrain

        return pretrain.run(store, settings, running)
    running.stage("claim", "Gathering accepted feedback")
    with store.session() as session:
        weights = harvest.weigh(session, settings)
    with store.session(write=True) as session:
        running.guard(session)
        harvest.claim(session, settings, running.round_id, weights)
        session.commit()
    job, found = _load(store, settings, running)

    running.stage("examples", f"{len(found.gathered.words)} pieces of feedback become examples")
    live = candidate.Asked(job)
    gathered = personal.redacted_material(live.rehearsed(found.gathered), settings)
    gathered = fitting.fitted(gathered, live.misfits)
    sorted_ = material.sort(
        gathered, job.plan, losses=live.losses(), rebase=job.rebased is not None
    )
    if not sorted_.roles:
        raise Invalid(
            "Nothing in the claimed feedback can be learned from: every vote was contradicted by "
            "a reviewed correction, held out, has personal data in its answer, or cannot be shown "
            f"to the base model. {next(iter(sorted_.unfit.values()), '')}".rstrip()
        )
    sorted_, notes = enrichment.enriched(
        sorted_, gathered, found.extra, job.plan, judgement.surroundings(job, live)
    )
    del live  # and the model with it, before training loads its own
    counts = outcome.counts(gathered, sorted_)
    if job.rebased is not None:
        counts[rebase.COUNT] = job.rebased
    if notes:
        counts["notes"] = list(notes)
    frozen = _freeze(job, sorted_, counts)
    running.note(snapshot_sha256=frozen.sha256, counts=counts)

    running.stage("train", f"Learning from {len(sorted_.training)} examples", counts=counts)
    told = list(notes)
    made = candidate.train(job, frozen, sorted_.dev, note=told.append)
    if told:
        counts["notes"] = told
        running.note(counts=counts)

    judged = judgement.judge(job, made, found, sorted_=sorted_, gathered=gathered, counts=counts)

    running.stage("apply", f"The gate says: {judged.report.outcome}")
    with store.session(write=True) as session:
        running.guard(session)
        row = get(session, job.row.id)
        verdict = outcome.Verdict(
            row, job.plan, made, sorted_, judged.report, judged.pairs, judged.compared
        )
        state = outcome.apply(session, verdict)
        session.commit()
    return state


def _load(
    store: Store, settings: FeedbackSettings, running: Running
) -> tuple[candidate.Job, Found]:
    """Read all that the round needs, and verify what it starts from."""
    with store.session() as session:
        row = get(session, running.round_id)
        plan = Plan.model_validate(row.plan)
        incumbent = registry.get(session, row.incumbent_id) if row.incumbent_id else None
        gathered = material.gather(
            session, plan, settings.data_dir, round_id=row.id, incumbent_id=row.incumbent_id
        )
        start = starting.found(session, settings.data_dir, row, plan)
        rebased = None if plan.start_from else rebase.reason(session, row, plan)
        tags = about.tags(session, [word.feedback_id for word in gathered.words])
        tags |= _tags_of_past(session, gathered)
        extra = enrichment.read(session, plan, gathered)
        live = pair_store.live_prompts(session, settings, plan)
    parent = registry.verify(settings.data_dir, incumbent) if incumbent else None
    base_folder = resolve(plan.base_model)
    hashed = base_hash(base_folder)
    job = candidate.Job(settings, running, row, plan, base_folder, hashed, parent, start, rebased)
    if incumbent is not None and incumbent.base_hash != hashed:
        raise Invalid(
            f"The live adapter {incumbent.id} belongs to the base model {incumbent.base_model} as "
            f"it was when that adapter was trained, and trainer.base_model is {plan.base_model} "
            "now. Set it back, or roll back to the base (`heed adapters rollback`) and start a "
            "round that learns from all that waits.",
            param="base_model",
        )
    start.check(hashed)
    leftovers.clear_others(settings.data_dir, row.id)
    return job, Found(gathered, tags, extra, live)


def _tags_of_past(session: Session, gathered: material.Gathered) -> dict[str, dict[str, Any]]:
    """What clients said of the exchanges that past corrections came from, by past example."""
    came = {old.id: old.feedback_ids[0] for old in gathered.past_for_judging if old.feedback_ids}
    said = about.tags(session, sorted(set(came.values())))
    return {name: said[of] for name, of in came.items() if of in said}


def _freeze(
    job: candidate.Job, sorted_: material.Sorted, counts: dict[str, Any]
) -> snapshot.Snapshot:
    """What the round learns from, as an earlier attempt froze it or frozen now."""
    folder = job.settings.data_dir / "snapshots" / job.row.id
    return snapshot.frozen_before(
        folder, job.row.snapshot_sha256, sorted_.training
    ) or snapshot.freeze(
        folder,
        sorted_.training,
        about={
            "round": job.row.id,
            "parent": job.row.incumbent_id,
            "plan": job.row.plan,
            "feedback": outcome.planned(sorted_),
            "noise": counts["noise"],
            **({rebase.COUNT: job.rebased} if job.rebased is not None else {}),
        },
    )


def _end(store: Store, running: Running, state: str, message: str) -> str:
    with store.session() as session:
        running.guard(session)
    # Before the row is written: on a disk that is full this may be the room for it.
    leftovers.unstage(store.settings.data_dir, running.round_id)
    with store.session(write=True) as session:
        running.guard(session)
        close(session, get(session, running.round_id), state, message)
        session.commit()
    return state
