"""The story of a round that learns from documents: continued pre-training, judged like any other.

Knows how each part is called, not how it works. The documents were read and frozen before the round
was opened, so that whoever runs it opens no path that somebody named.
"""

import math
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlmodel import Session

from feedback.errors import Invalid
from feedback.ids import new_id
from feedback.settings import FeedbackSettings
from feedback.store import Store
from trainer import (
    curve,
    document_answers,
    document_material,
    documents,
    judging,
    material,
    opening,
    outcome,
    personal,
    registry,
    selection,
    snapshot,
    starting,
)
from trainer.answered import Answered
from trainer.base_folder import base_hash, resolve
from trainer.chunks import Chunk
from trainer.evidence import Reading
from trainer.examples import Example
from trainer.material import Sorted
from trainer.models import Adapter, Round
from trainer.progress import Running
from trainer.settings import Plan, TrainerSettings
from trainer.step_search import UNTRIED

if TYPE_CHECKING:
    from trainer.policy import Policy

FOLDER = "documents"
"""Where frozen documents lie, within the data folder."""


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


@dataclass(frozen=True)
class _Job:
    """What stays the same while a round runs."""

    settings: FeedbackSettings
    running: Running
    row: Round
    plan: Plan
    base_folder: Path
    base_hash: str
    start: starting.Start
    incumbent: Path | None

    @property
    def work(self) -> Path:
        """Where adapters are made before they are published."""
        return self.settings.data_dir / "work" / self.row.id

    def policy(self, **adapters: Path | None) -> "Policy":
        """The base model with these adapters, those that there are."""
        from trainer.policy import Policy

        policy = Policy.load(self.base_folder, threads=self.plan.threads)
        for name, folder in adapters.items():
            if folder is not None:
                policy.attach(name, folder)
        return policy

    def remembered(self, digest: str) -> Answered:
        """What an adapter on this base has answered in earlier rounds."""
        return Answered(
            self.settings.data_dir / "answered",
            model=f"{self.base_hash} {digest}",
            max_new_tokens=self.plan.max_new_tokens,
        )


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
        gathered = material.gather(session, row, plan, settings.data_dir)
        prompts = document_material.asked(session, settings)
        start = starting.found(session, settings.data_dir, row, plan)
        incumbent = registry.get(session, row.incumbent_id) if row.incumbent_id else None
    gathered = personal.redacted_material(gathered, settings)
    read = row.counts["documents"]
    sections = documents.thaw(settings.data_dir / FOLDER, read["sha256"])
    folder = resolve(plan.base_model)
    hashed = base_hash(folder)
    start.check(hashed)
    parent = registry.verify(settings.data_dir, incumbent) if incumbent else None
    job = _Job(settings, running, row, plan, folder, hashed, start, parent)

    running.stage("examples", f"{len(sections)} sections become pieces that fit the model")
    policy = job.policy(start=start.folder)
    pieces, personal_sentences = document_material.cut(
        sections,
        policy,
        plan,
        settings,
        report=lambda share, told: running.advance(0.5 * share, told),
    )
    selected = selection.select(
        pieces,
        [each.text for each in prompts],
        plan,
        nats_per_token=partial(_nats, job, policy),
    )
    if not selected.training:
        raise Invalid("Nothing in the documents can be learned from; they hold too little text.")
    sorted_ = material.sort(gathered, plan)
    judging_ids = {old.id for old in sorted_.judging}
    olds = [old for old in (*gathered.past, *gathered.general) if old.id not in judging_ids]
    answers = document_answers.answered(
        selected.training, prompts, least_likeness=plan.document_answer_likeness
    )
    training, general_share = document_material.mixed(
        selected.training, answers, olds, policy, plan
    )
    del policy  # training loads the model anew, and there may be room for one only
    held = document_material.held_out(selected)
    frozen, held_frozen = _freeze(job, training, held)
    counts = {
        "documents": {
            **read,
            **document_material.told(
                selected, pieces, prompts=len(prompts), general_share=general_share
            ),
            "answers": len(answers),
            "personal_sentences": personal_sentences,
            "held_out_sha256": held_frozen.sha256,
        },
        "examples": dict(Counter(f"{each.source} {each.role}" for each in training)),
    }
    _note(store, running, snapshot_sha256=frozen.sha256, counts=counts)

    running.stage("train", f"Learning from {len(selected.training)} pieces", counts=counts)
    candidate, kept = _train(job, frozen)

    running.stage("evaluate", "Comparing the candidate with the incumbent")
    judged = _judge(job, candidate, sorted_, gathered, held)

    running.stage("apply", f"The gate says: {judged.report.outcome}")
    with store.session(write=True) as session:
        running.guard(session)
        row = session.get_one(Round, row.id)
        # Its own `training` is old material: what was read is not remembered as feedback is.
        verdict = outcome.Verdict(row, plan, candidate, sorted_, judged.report, judged.pairs)
        state = outcome.apply(session, verdict)
        session.add_all(adapter for _, adapter in kept)
        row.counts = {**counts, "checkpoints": [{**at, "adapter": a.id} for at, a in kept]}
        session.commit()
    shutil.rmtree(job.work, ignore_errors=True)
    return state


def _nats(job: _Job, policy: "Policy", pieces: Sequence[Chunk]) -> list[float]:
    """How unlikely the model finds each piece before it learns from it."""
    return document_material.nats_per_token(
        pieces,
        policy,
        adapter="start" if job.start.folder is not None else None,
        report=lambda share, told: job.running.advance(0.5 + 0.5 * share, told),
    )


def _freeze(
    job: _Job, training: Sequence[Example], held: Sequence[Example]
) -> tuple[snapshot.Snapshot, snapshot.Snapshot]:
    about = {"round": job.row.id, "parent": job.start.adapter_id, "plan": job.row.plan}
    return (
        snapshot.freeze(job.settings.data_dir / "snapshots" / job.row.id, training, about=about),
        snapshot.freeze(held_out_folder(job.settings, job.row.id), held, about=about),
    )


def held_out_folder(settings: FeedbackSettings, round_id: str) -> Path:
    """Return where a document round's held-out pieces lie."""
    return settings.data_dir / FOLDER / round_id


def _train(
    job: _Job, frozen: snapshot.Snapshot
) -> tuple[Adapter, list[tuple[dict[str, Any], Adapter]]]:
    """The candidate, and the checkpoints on the way to it with the share of the steps they took."""
    from trainer import learner
    from trainer.interpolation import interpolate

    shutil.rmtree(job.work, ignore_errors=True)  # what an earlier attempt left half done
    job.work.mkdir(parents=True)
    places: dict[Path, dict[str, Any]] = {}

    def keep_at(step: int, steps: int) -> Path | None:
        for share in job.plan.document_checkpoints:
            if step == math.ceil(share * steps) and step < steps:
                place = job.work / f"step-{step}"
                places[place] = {"share": share, "step": step, "steps": steps}
                return place
        return None

    drawn = curve.CurveFile(curve.place(job.settings.data_dir, job.row.id))

    def report(step: curve.Progress) -> None:
        drawn.add(step)
        job.running.advance(
            step.step / step.steps,
            f"Step {step.step}/{step.steps}, loss {step.loss:.3f}",
            **asdict(step),
        )

    trained = learner.train(
        job.plan.model_copy(update={"epochs": job.plan.document_epochs}),
        job.base_folder,
        snapshot.read(frozen),
        parent=job.start.folder,
        out=job.work / "candidate",
        report=report,
        should_stop=lambda: job.running.stopping is not None,
        keep_at=keep_at,
    )
    for told in trained.notes:
        job.running.advance(1.0, told)
    wanted = job.plan.step_share
    made = []
    for place in (*places, job.work / "candidate"):
        interpolate(job.start.folder, place, share=UNTRIED if wanted == "search" else wanted)
        made.append(
            registry.publish(
                job.settings.data_dir,
                place,
                adapter_id=new_id("adp"),
                parent_id=job.start.adapter_id,
                round_id=job.row.id,
                base_model=job.plan.base_model,
                base_hash=job.base_hash,
            )
        )
    return made[-1], list(zip(places.values(), made[:-1], strict=True))


def _judge(
    job: _Job,
    candidate: Adapter,
    sorted_: Sorted,
    gathered: material.Gathered,
    held: Sequence[Example],
) -> judging.Judged:
    folder = registry.folder(job.settings.data_dir, candidate.digest)
    policy = job.policy(incumbent=job.incumbent, candidate=folder)
    incumbent = "incumbent" if job.incumbent is not None else None
    texts = [example.target for example in held]
    before = policy.text_log_likelihood(texts, adapter=incumbent)
    after = policy.text_log_likelihood(texts, adapter="candidate")
    return judging.judge(
        policy,
        job.plan,
        incumbent=incumbent,
        remembered=(
            job.remembered(job.incumbent.name if job.incumbent is not None else "base"),
            job.remembered(candidate.digest),
        ),
        protected=gathered.protected,
        sorted_=sorted_,
        report=job.running.reporter("Answers compared:"),
        readings=[
            Reading(example.cluster, tokens, -was, -now)
            for example, tokens, was, now in zip(
                held, policy.count_tokens(texts), before, after, strict=True
            )
        ],
    )


def _note(store: Store, running: Running, **values: Any) -> None:
    with store.session(write=True) as session:
        running.guard(session)
        row = session.get_one(Round, running.round_id)
        for name, value in values.items():
            setattr(row, name, value)
        session.add(row)
        session.commit()
