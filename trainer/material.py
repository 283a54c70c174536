"""What a round works with: gathered from the database and the shop's files, then sorted. No torch.

`gather` reads, `sort` decides; the second is pure, so that what trains, what judges and what is
left out can be tested and explained without a database.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from sqlmodel import Session, col, select

from feedback import harvest
from feedback.forget import parts
from feedback.harvest import Word
from feedback.models import Receipt
from feedback.settings import PROJECT
from feedback.trust import SIGNAL
from feedback.words import content_words
from trainer import (
    anchors,
    contrast,
    examples,
    exposure,
    guarded,
    ledger,
    refresh,
    registry,
    rehearsal,
    replay,
    reservoir,
    splits,
    suites,
)
from trainer.anchors import Anchors
from trainer.examples import Example, turns
from trainer.models import PastExample, Retirement
from trainer.replay import Old
from trainer.settings import Plan
from trainer.suites import Item
from trainer.superseded import superseded

GENERAL_JUDGING_SHARE = 0.5
"""Share of the general material that judges instead of being replayed."""
REHEARSED_WEIGHT = 0.5
"""Praise that counts less is not worth repeating."""


@dataclass(frozen=True)
class Gathered:
    """Everything read for one round, before any decision.

    Attributes:
        personal: ids of feedback that is not learned, since its answer holds personal data, each
            with the placeholders that stand for it.
        superseded: corrections that a reviewer's later decision has made void, and that are not
            among the words, each with the id of the one that counts.
        unfit: ids of feedback that the base model cannot be shown, each with why; of those among
            the words nothing trains and nothing judges.
        ordinary: what the live model could still be asked, where general material is short.
        judged: ids of feedback that has judged a round already, which ended without a promotion.
        first: ids of old material that is replayed before any other.
        anchors: what items were when they were first asked.
    """

    words: tuple[Word, ...]
    past: tuple[Old, ...]
    past_for_judging: tuple[Old, ...]
    general: tuple[Old, ...]
    protected: tuple[Item, ...]
    personal: dict[str, tuple[str, ...]] = field(default_factory=dict)
    superseded: dict[str, str] = field(default_factory=dict)
    unfit: dict[str, str] = field(default_factory=dict)
    ordinary: rehearsal.Material = field(default_factory=rehearsal.Material)
    judged: frozenset[str] = frozenset()
    first: frozenset[str] = frozenset()
    anchors: Anchors = field(default_factory=Anchors)


@dataclass(frozen=True)
class Sorted:
    """What trains, what judges, and what is left out, with the reasons.

    Attributes:
        training: the mixed examples, in the order of the snapshot.
        held_out: corrections that judge the round.
        measured: what else those people said, and what a few others did who only vote: it is not
            learned, and tells how well verdicts are met.
        judging: old material that the candidate must still know.
        retired: ids of old material that a reviewed correction replaces, with that feedback's id.
        conflicts: protected items that a correction contradicts: (item id, feedback id).
        roles: per feedback id that trains, as what.
        contradicted: praise that a reviewed correction contradicts, with that feedback's id.
        silent: ids of feedback that makes no example, such as a preference between answers that
            are nearly alike.
        personal: as gathered.
        superseded: as gathered.
        unfit: as gathered.
        dev: what neither trains nor judges, but tunes; empty where no setting asks for it.
    """

    training: tuple[Example, ...]
    held_out: tuple[Word, ...]
    judging: tuple[Old, ...]
    retired: dict[str, Word]
    conflicts: tuple[tuple[str, str], ...]
    roles: dict[str, str] = field(default_factory=dict)
    contradicted: dict[str, str] = field(default_factory=dict)
    silent: tuple[str, ...] = ()
    personal: dict[str, tuple[str, ...]] = field(default_factory=dict)
    superseded: dict[str, str] = field(default_factory=dict)
    unfit: dict[str, str] = field(default_factory=dict)
    measured: tuple[Word, ...] = ()
    dev: tuple[Example, ...] = ()


def gather(
    session: Session, plan: Plan, data_dir: Path, *, round_id: str, incumbent_id: str | None
) -> Gathered:
    """Read what a round works with. Writes nothing.

    Args:
        session: of the store.
        plan: what is rehearsed, and which files there are.
        data_dir: where the shop's own protected items lie.
        round_id: whose claim it is.
        incumbent_id: what the round continues, with all that was learned on the way to it; None
            for the base model.

    Raises:
        Invalid: the general or the protected file is missing or faulty.
    """
    rounds = {adapter.round_id for adapter in registry.lineage(session, incumbent_id)}
    gone = set(session.exec(select(Retirement.past_id).where(col(Retirement.round_id).in_(rounds))))
    past = [(split, old) for split, old in _past(session, rounds) if old.id not in gone]
    replayed = [old for split, old in past if split == "train"]
    if plan.replay_sampling != "uniform":
        replayed = _trusted(session, replayed)
    ordinary = rehearsal.gather(session, plan, data_dir, incumbent_id, gone=gone)
    words = harvest.words(session, round_id)
    void = superseded(words)
    protected = guarded.items(session, plan, data_dir)
    wished = refresh.wished(
        ledger.wanted(session),
        past=replayed,
        judging=[
            *(old for split, old in past if split == "judge"),
            *filter(_judges, ordinary.olds),
        ],
        general=[old for old in ordinary.olds if not _judges(old)],
        guarded=protected,
    )
    return Gathered(
        words=tuple(word for word in words if word.feedback_id not in void),
        past=wished.past,
        past_for_judging=wished.judging,
        general=ordinary.olds,
        protected=tuple(protected),
        superseded=void,
        ordinary=ordinary,
        judged=ledger.judged(session, [word.feedback_id for word in words]),
        first=wished.first,
        anchors=anchors.found(session, incumbent_id, rounds=plan.anchor_rounds),
    )


def sort(
    gathered: Gathered,
    plan: Plan,
    *,
    losses: replay.Losses | None = None,
    rebase: bool = False,
    held: frozenset[str] | None = None,
) -> Sorted:
    """Decide what trains and what judges. Pure, and the same for the same seed.

    Args:
        gathered: what there is.
        plan: shares and seed.
        losses: how unlikely the live model finds old answers, where the plan asks for surprise.
        rebase: the round starts from a fresh adapter, and so learns all of the past again.
        held: ids of the corrections that judge, where somebody has chosen them.
    """
    reviewed = [word for word in gathered.words if word.correction is not None]
    contradicted = {
        word.feedback_id: other.feedback_id
        for word in gathered.words
        if (other := examples.contradicted(word, reviewed)) is not None
    }
    void = contradicted.keys() | gathered.unfit.keys()
    sound = [word for word in gathered.words if word.feedback_id not in void]
    if held is None:
        held_out = splits.held_out(sound, plan, judged=gathered.judged)
    else:
        held_out = [word for word in sound if word.feedback_id in held]
    measured = splits.measured(sound, held_out, plan, further=held is None)
    held_ids = {word.feedback_id for word in (*held_out, *measured)}
    free = [word for word in sound if word.feedback_id not in held_ids]
    tuning = splits.dev(free, held_out, plan)
    dev_ids = {word.feedback_id for word in tuning}
    learnt = [word for word in free if word.feedback_id not in dev_ids]
    dev = examples.build(tuning, held_out=held_out)
    liked = [_rehearsed(word) for word in learnt if _worth_rehearsing(word)]
    everything = (*gathered.past, *gathered.past_for_judging, *liked, *gathered.general)
    retired = replay.retired(everything, reviewed)
    kept = [old for old in everything if old.id not in retired]
    past = [old for old in gathered.past if old.id not in retired]
    new = examples.build(learnt, held_out=[*held_out, *tuning])
    if plan.contrast:
        still = [old for old in liked if old.id not in retired]
        general = [old for old in gathered.general if old.id not in retired]
        new = contrast.contrasted(new, [*past, *still], general)
    new = exposure.repeated(new, exposures=0 if rebase else plan.new_exposures, epochs=plan.epochs)
    judging_ids = {old.id for old in gathered.past_for_judging} | {
        old.id for old in gathered.general if _judges(old)
    }
    free_olds = [old for old in kept if old.id not in judging_ids]
    if rebase:
        mixed = replay.everything(new, free_olds, share=plan.replay_share, seed=plan.seed)
    else:
        remembered = reservoir.kept(past, size=plan.replay_buffer, seed=plan.seed)
        left = {old.id for old in past} - {old.id for old in remembered}
        mixed = replay.mix(
            new,
            [old for old in free_olds if old.id not in left],
            share=plan.replay_share,
            minimum=plan.replay_minimum,
            seed=plan.seed,
            sampling=plan.replay_sampling,
            losses=losses,
            first=gathered.first,
            passes=math.ceil(plan.epochs),
        )
    said = {each for word in gathered.words for each in (word.feedback_id, *word.also)}
    roles = {name: role for name, role in _roles(new).items() if name in said}
    tuned = _roles(dev)
    return Sorted(
        training=tuple(mixed),
        held_out=tuple(held_out),
        judging=tuple(old for old in kept if old.id in judging_ids),
        retired=retired,
        conflicts=tuple(
            (item.id, word.feedback_id)
            for item in gathered.protected
            for word in reviewed
            if contradicts(item, word.messages, word.correction or "")
        ),
        roles=roles,
        contradicted=contradicted,
        silent=tuple(
            word.feedback_id
            for word in free
            if word.feedback_id not in roles and word.feedback_id not in tuned
        ),
        personal=gathered.personal,
        superseded=gathered.superseded,
        unfit={name: why for name, why in gathered.unfit.items() if name not in contradicted},
        measured=tuple(measured),
        dev=tuple(dev),
    )


def _judges(general: Old) -> bool:
    return general.judges and replay.for_judging(general.id, share=GENERAL_JUDGING_SHARE)


def _roles(new: Iterable[Example]) -> dict[str, str]:
    """Per feedback id, as what it is used."""
    roles: dict[str, str] = {}
    for example in new:
        for feedback_id in example.feedback_ids:
            roles[feedback_id] = ", ".join(
                dict.fromkeys([*filter(None, [roles.get(feedback_id)]), example.role])
            )
    return roles


def _worth_rehearsing(word: Word) -> bool:
    """Whether somebody liked the answer whose word counts; clicks alone are no reason to repeat it."""
    liked = word.rating is not None and word.rating > 0.5
    return liked and word.accepted_by != SIGNAL and word.weight >= REHEARSED_WEIGHT


def _rehearsed(word: Word) -> Old:
    """An answer that somebody liked: what the model says and should go on saying."""
    return Old(
        id=word.feedback_id,
        messages=turns(word.messages),
        target=word.answer,
        cluster=word.person_id,
        origin="past",
        feedback_ids=(word.feedback_id,),
        trust=word.weight if word.right is None else word.right,
    )


def contradicts(item: Item, messages: Sequence[Mapping[str, str]], correction: str) -> bool:
    """Whether a correction answers a protected question otherwise than the shop wants it.

    Questions are taken for the same where they share at least half of their content words.
    """
    ours = content_words(item.messages[-1]["content"])
    theirs = content_words(messages[-1]["content"])
    if item.check == "judge":
        return False  # only a model could tell, and nobody waits for one here
    alike = len(ours & theirs) >= 0.5 * len(ours | theirs) and bool(ours & theirs)
    return alike and not suites.passes(item, correction)


def _past(session: Session, rounds: set[str | None]) -> list[tuple[str, Old]]:
    """What the incumbent's line of descent learned, with its split."""
    query = (
        select(PastExample)
        .where(PastExample.project_id == PROJECT, col(PastExample.round_id).in_(rounds))
        .order_by(col(PastExample.id))
    )
    return [
        (
            row.split,
            Old(
                id=row.id,
                messages=turns(row.messages),
                target=row.target,
                cluster=row.cluster,
                origin="past",
                feedback_ids=tuple(row.feedback_ids),
            ),
        )
        for row in session.exec(query)
    ]


def _trusted(session: Session, olds: Sequence[Old]) -> list[Old]:
    """The same with how likely each is to be right: as likely as the best word for it is."""
    said = {name for old in olds for name in old.feedback_ids}
    trust: dict[str, float] = {}
    for part in parts(said):
        query = select(Receipt.feedback_id, Receipt.probability, Receipt.weight).where(
            col(Receipt.feedback_id).in_(part)
        )
        for name, probability, weight in session.exec(query):
            known = weight if probability is None else probability
            trust[name] = 1.0 if known is None else known
    return [
        replace(old, trust=max((trust.get(name, 1.0) for name in old.feedback_ids), default=1.0))
        for old in olds
    ]
