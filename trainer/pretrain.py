"""The story of a round that learns from documents: continued pre-training, judged like any other.

Knows how each part is called, not how it works. The documents were read and frozen before the round
was opened, so that whoever runs it opens no path that somebody named.
"""

import math
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlmodel import Session

from feedback.errors import Invalid
from feedback.settings import FeedbackSettings
from feedback.store import Store
from trainer import (
    augmentation,
    document_answers,
    document_material,
    documents,
    enrichment,
    judging,
    leftovers,
    material,
    opening,
    outcome,
    personal,
    registry,
    selection,
    snapshot,
    starting,
)
from trainer.base_folder import base_hash, resolve
from trainer.candidate import Job, go_part_of_the_way, learn
from trainer.chunks import Chunk
from trainer.evidence import Reading
from trainer.examples import Example
from trainer.material import Sorted
from trainer.models import Adapter, Round
from trainer.progress import Running
from trainer.settings import Plan, TrainerSettings

if TYPE_CHECKING:
    from trainer.policy import Policy

FOLDER = "documents"
"""Where frozen documents lie, within the data folder."""
_START, _DEV = "start", "dev"


def open(session: Session, settings: TrainerSettings, read: Mapping[str, Any]) -> Round:
    """Insert a round that learns from frozen documents. The caller commits.

    Args:
        session: a writing session.
        settings: of the trainer.
        read: about the documents: `sha256` names them, the rest is for whoever looks at the round.

    Raises:
        Conflict: a round is open already.
    """
    opening.vacant(session)
    trigger = f"{opening.DOCUMENTS} (command line)"
    return opening.insert(session, settings, trigger=trigger, counts={"documents": dict(read)})


def run(store: Store, settings: FeedbackSettings, running: Running) -> str:
    """Run an open document round to its end, and return its state.

    Raises:
        Invalid: nothing is left to learn from.
        Cancelled, Conflict: the round should not go on.
    """
    running.stage("claim", "Opening the documents")
    with store.session() as session:
        row = session.get_one(Round, running.round_id)
        plan = Plan.model_validate(row.plan)
        gathered = material.gather(
            session, plan, settings.data_dir, round_id=row.id, incumbent_id=row.incumbent_id
        )
        prompts = document_material.asked(session, settings)
        start = starting.found(session, settings.data_dir, row, plan)
        incumbent = registry.get(session, row.incumbent_id) if row.incumbent_id else None
    gathered = personal.redacted_material(gathered, settings)
    folder = resolve(plan.base_model)
    hashed = base_hash(folder)
    start.check(hashed)
    parent = registry.verify(settings.data_dir, incumbent) if incumbent else None
    job = Job(settings, running, row, plan, folder, hashed, parent, start)
    leftovers.clear_others(settings.data_dir, row.id)

    sorted_ = material.sort(gathered, plan)
    frozen = _frozen_before(job) or _choose(job, gathered, sorted_, prompts)
    counts = frozen.counts
    running.note(snapshot_sha256=frozen.training.sha256, counts=counts)

    learned = counts["documents"]["trained"]
    running.stage("train", f"Learning from {learned} pieces", counts=counts)
    notes: list[str] = []
    candidate, kept = _train(job, frozen, note=notes.append)
    if notes:
        counts["notes"] = notes
        running.note(counts=counts)

    running.stage("evaluate", "Comparing the candidate with the incumbent")
    judged = _judge(job, candidate, sorted_, gathered, snapshot.read(frozen.held_out))

    running.stage("apply", f"The gate says: {judged.report.outcome}")
    with store.session(write=True) as session:
        running.guard(session)
        row = session.get_one(Round, row.id)
        # Its own `training` is old material: what was read is not remembered as feedback is.
        verdict = outcome.Verdict(
            row, plan, candidate, sorted_, judged.report, judged.pairs, judged.compared
        )
        state = outcome.apply(session, verdict)
        session.add_all(adapter for _, adapter in kept)
        row.counts = {**counts, "checkpoints": [{**at, "adapter": a.id} for at, a in kept]}
        session.commit()
    return state


@dataclass(frozen=True)
class _Frozen:
    """What of the documents trains, with what beside it, what judges, what tunes, and the counts."""

    training: snapshot.Snapshot
    held_out: snapshot.Snapshot
    dev: snapshot.Snapshot
    counts: dict[str, Any]


def _frozen_before(job: Job) -> _Frozen | None:
    """What an earlier attempt chose and froze, though people have asked other questions since.

    None where there is none, or somebody whose question was in it was forgotten.
    """
    read = job.row.counts["documents"]
    training = snapshot.intact(
        job.settings.data_dir / "snapshots" / job.row.id, job.row.snapshot_sha256
    )
    held_out = held_out_folder(job.settings, job.row.id)
    held = snapshot.intact(held_out, read.get("held_out_sha256"))
    dev = snapshot.intact(held_out / _DEV, read.get("dev_sha256"))
    if training is None or held is None or dev is None:
        return None
    counts = {name: job.row.counts[name] for name in ("documents", "examples")}
    return _Frozen(training, held, dev, counts)


def _choose(
    job: Job,
    gathered: material.Gathered,
    sorted_: Sorted,
    prompts: Sequence[document_answers.Asked],
) -> _Frozen:
    """Cut the documents, select, mix and freeze."""
    read = job.row.counts["documents"]
    sections = documents.thaw(job.settings.data_dir / FOLDER, read["sha256"])
    job.running.stage("examples", f"{len(sections)} sections become pieces that fit the model")
    policy = _starting(job)
    pieces, personal_sentences = document_material.cut(
        sections,
        policy,
        job.plan,
        job.settings,
        report=lambda share, told: job.running.advance(0.5 * share, told),
    )
    selected = selection.select(
        pieces,
        [each.text for each in prompts],
        job.plan,
        nats_per_token=partial(_nats, job, policy),
    )
    if not selected.training:
        raise Invalid("Nothing in the documents can be learned from; they hold too little text.")
    judging_ids = {old.id for old in sorted_.judging}
    olds = [old for old in (*gathered.past, *gathered.general) if old.id not in judging_ids]
    answers = document_answers.answered(
        selected.answering, prompts, least_likeness=job.plan.document_answer_likeness
    )
    shown, note = augmentation.augmented(
        answers,
        job.plan,
        service=enrichment.paraphraser(job.plan),
        should_stop=lambda: job.running.stopping is not None,
        judging=enrichment.judging_questions(sorted_, gathered),
    )
    training, general_share = document_material.mixed(
        selected.training, shown, olds, policy, job.plan
    )
    frozen, held, dev = _freeze(job, training, *document_material.kept_aside(selected))
    told = document_material.told(
        selected, pieces, prompts=len(prompts), general_share=general_share
    )
    counts = {
        "documents": {
            **read,
            **told,
            "notes": [*told["notes"], *filter(None, [note])],
            "answers": len(answers),
            "personal_sentences": personal_sentences,
            "held_out_sha256": held.sha256,
            "dev_sha256": dev.sha256,
        },
        "examples": dict(Counter(f"{each.source} {each.role}" for each in training)),
    }
    return _Frozen(frozen, held, dev, counts)


def _starting(job: Job) -> "Policy":
    """The base model with what training starts from."""
    from trainer.policy import Policy

    adapters = {_START: job.start.folder}
    return Policy.load(job.base_folder, threads=job.plan.threads, adapters=adapters)


def _nats(job: Job, policy: "Policy", pieces: Sequence[Chunk]) -> list[float]:
    """How unlikely the model finds each piece before it learns from it."""
    return document_material.nats_per_token(
        pieces,
        policy,
        adapter=_START if job.start.folder is not None else None,
        report=lambda share, told: job.running.advance(0.5 + 0.5 * share, told),
    )


def _freeze(
    job: Job, training: Sequence[Example], held: Sequence[Example], dev: Sequence[Example]
) -> tuple[snapshot.Snapshot, snapshot.Snapshot, snapshot.Snapshot]:
    about = {"round": job.row.id, "parent": job.start.adapter_id, "plan": job.row.plan}
    held_out = held_out_folder(job.settings, job.row.id)
    return (
        snapshot.freeze(job.settings.data_dir / "snapshots" / job.row.id, training, about=about),
        snapshot.freeze(held_out, held, about=about),
        snapshot.freeze(held_out / _DEV, dev, about=about),
    )


def held_out_folder(settings: FeedbackSettings, round_id: str) -> Path:
    """Return where a document round's held-out pieces lie."""
    return settings.data_dir / FOLDER / round_id


def _train(
    job: Job, frozen: _Frozen, *, note: Callable[[str], None]
) -> tuple[Adapter, list[tuple[dict[str, Any], Adapter]]]:
    """The candidate, and the checkpoints on the way to it with the share of the steps they took."""
    from trainer.interpolation import interpolate

    plan = job.plan.model_copy(update={"epochs": job.plan.document_epochs})
    dev = snapshot.read(frozen.dev)

    def place(step: int) -> Path:
        return job.staging / f"step-{step}"

    def share_at(step: int, steps: int) -> float | None:
        """Which of the plan's shares ends with this step."""
        shares = job.plan.document_checkpoints
        return next((s for s in shares if step == math.ceil(s * steps) and step < steps), None)

    out = job.staging / "candidate"
    shutil.rmtree(out, ignore_errors=True)  # what an earlier attempt left half done
    trained = learn(
        job,
        plan,
        snapshot.read(frozen.training),
        dev,
        start=job.start.folder,
        out=out,
        note=note,
        keep_at=lambda step, steps: place(step) if share_at(step, steps) is not None else None,
    )
    gone = go_part_of_the_way(job, plan, job.start.folder, out, dev=dev, note=note)
    kept = []
    for done in trained.curve:  # the steps before an interruption included
        if (share := share_at(done.step, done.steps)) is not None:
            copy = job.staging / "kept"  # whoever takes the round up again needs the first one
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(place(done.step), copy)
            interpolate(job.start.folder, copy, share=gone)
            at = {"share": share, "step": done.step, "steps": done.steps}
            kept.append((at, job.publish(copy, parent_id=job.start.adapter_id)))
    return job.publish(out, parent_id=job.start.adapter_id), kept


def _judge(
    job: Job,
    candidate: Adapter,
    sorted_: Sorted,
    gathered: material.Gathered,
    held: Sequence[Example],
) -> judging.Judged:
    policy = job.policy(candidate=registry.folder(job.settings.data_dir, candidate.digest))
    texts = [example.target for example in held]
    before = policy.text_likelihoods(texts, adapter=job.incumbent)
    after = policy.text_likelihoods(texts, adapter="candidate")
    return judging.judge(
        policy,
        job.plan,
        incumbent=job.incumbent,
        remembered=(job.remembered(job.digest), job.remembered(candidate.digest)),
        protected=gathered.protected,
        sorted_=sorted_,
        report=job.running.reporter("Answers compared:"),
        anchors=gathered.anchors,
        readings=[
            Reading(example.cluster, was.tokens, -was.per_token, -now.per_token)
            for example, was, now in zip(held, before, after, strict=True)
        ],
    )
