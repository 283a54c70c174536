"""What a round works with: gathered from the database and the shop's files, then sorted. No torch.

`gather` reads, `sort` decides; the second is pure, so that what trains, what judges and what is
left out can be tested and explained without a database.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlmodel import Session, col, select

from feedback import harvest
from feedback.errors import Invalid
from feedback.harvest import Word
from feedback.models import Exchange, Feedback
from feedback.settings import PROJECT
from feedback.trust import SIGNAL
from feedback.words import content_words
from trainer import examples, registry, replay, suites
from trainer.examples import Example, Message
from trainer.models import PastExample, Retirement, Round
from trainer.replay import Old
from trainer.settings import Plan
from trainer.suites import Item

SUITE = Path("suites") / "protected.jsonl"
"""Where a shop keeps what it protects, within the data folder."""
GENERAL_JUDGING_SHARE = 0.5
"""Share of the general material that judges instead of being replayed."""
SELF_SYNTHESISED = 400
"""At most so many of the model's own answers stand in for general material."""
REHEARSED_WEIGHT = 0.5
"""Praise that counts less is not worth repeating."""
SHARED_MINIMUM = 8
"""With fewer held-out corrections that others share, the gate could not tell a gain from luck."""


@dataclass(frozen=True)
class Gathered:
    """Everything read for one round, before any decision.

    Attributes:
        personal: ids of feedback that is not learned, since its answer holds personal data, each
            with the placeholders that stand for it.
    """

    words: tuple[Word, ...]
    past: tuple[Old, ...]
    past_for_judging: tuple[Old, ...]
    general: tuple[Old, ...]
    protected: tuple[Item, ...]
    personal: dict[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Sorted:
    """What trains, what judges, and what is left out, with the reasons.

    Attributes:
        training: the mixed examples, in the order of the snapshot.
        held_out: corrections that judge the round.
        judging: old material that the candidate must still know.
        retired: ids of old material that a reviewed correction replaces, with that feedback's id.
        conflicts: protected items that a correction contradicts: (item id, feedback id).
        roles: per feedback id that trains, as what.
        contradicted: praise that a reviewed correction contradicts, with that feedback's id.
        silent: ids of feedback that makes no example, such as a preference between answers that
            are nearly alike.
        personal: as gathered.
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


def gather(session: Session, round_: Round, plan: Plan, data_dir: Path) -> Gathered:
    """Read what a round works with. Writes nothing.

    Raises:
        Invalid: the general or the protected file is missing or faulty.
    """
    rounds = {adapter.round_id for adapter in registry.lineage(session, round_.incumbent_id)}
    gone = set(session.exec(select(Retirement.past_id).where(col(Retirement.round_id).in_(rounds))))
    past = [(split, old) for split, old in _past(session, rounds) if old.id not in gone]
    general = general_material(plan) or _own_answers(session, round_.incumbent_id)
    return Gathered(
        words=tuple(harvest.words(session, round_.id)),
        past=tuple(old for split, old in past if split == "train"),
        past_for_judging=tuple(old for split, old in past if split == "judge"),
        general=tuple(old for old in general if old.id not in gone),
        protected=tuple(protected_items(plan, data_dir)),
    )


def sort(gathered: Gathered, plan: Plan) -> Sorted:
    """Decide what trains and what judges. Pure, and the same for the same seed."""
    reviewed = [word for word in gathered.words if word.correction is not None]
    contradicted = {
        word.feedback_id: other.feedback_id
        for word in gathered.words
        if (other := examples.contradicted(word, reviewed)) is not None
    }
    sound = [word for word in gathered.words if word.feedback_id not in contradicted]
    held_out = _held_out(sound, plan)
    held_ids = {word.feedback_id for word in held_out}
    learnt = [word for word in sound if word.feedback_id not in held_ids]
    new = examples.build(learnt, held_out=held_out)
    liked = [_rehearsed(word) for word in learnt if _worth_rehearsing(word)]
    everything = (*gathered.past, *gathered.past_for_judging, *liked, *gathered.general)
    retired = replay.retired(everything, reviewed)
    kept = [old for old in everything if old.id not in retired]
    judging_ids = {old.id for old in gathered.past_for_judging} | {
        old.id
        for old in gathered.general
        if old.judges and replay.for_judging(old.id, share=GENERAL_JUDGING_SHARE)
    }
    mixed = replay.mix(
        new,
        [old for old in kept if old.id not in judging_ids],
        share=plan.replay_share,
        minimum=plan.replay_minimum,
        seed=plan.seed,
    )
    roles: dict[str, str] = {}
    for example in new:
        for feedback_id in example.feedback_ids:
            roles[feedback_id] = ", ".join(
                dict.fromkeys([*filter(None, [roles.get(feedback_id)]), example.role])
            )
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
        silent=tuple(word.feedback_id for word in learnt if word.feedback_id not in roles),
        personal=gathered.personal,
    )


def _worth_rehearsing(word: Word) -> bool:
    """Whether somebody liked the answer whose word counts; clicks alone are no reason to repeat it."""
    liked = word.rating is not None and word.rating > 0.5
    return liked and word.accepted_by != SIGNAL and word.weight >= REHEARSED_WEIGHT


def _rehearsed(word: Word) -> Old:
    """An answer that somebody liked: what the model says and should go on saying."""
    return Old(
        id=word.feedback_id,
        messages=_messages(word.messages),
        target=word.answer,
        cluster=word.person_id,
        origin="past",
        feedback_ids=(word.feedback_id,),
    )


def general_material(plan: Plan) -> list[Old]:
    """Return the ordinary questions with their answers that the shop keeps for replay.

    Raises:
        Invalid: the file is missing or a line of it is faulty; names the line.
    """
    rows: list[dict[str, Any]]
    if plan.general_file is not None:
        rows = _lines(Path(plan.general_file), "trainer.general_file")
    elif plan.base_model == "starter":
        from trainer.starter.pool import general_pool

        rows = [{**row} for row in general_pool()]
    else:
        rows = []
    return [
        Old(
            id=str(row["id"]),
            messages=_messages(row["messages"]),
            target=str(row["target"]),
            cluster=str(row["id"]),  # facts are enumerated; what is sampled is the question
            origin="general",
            judges=bool(row.get("judge", True)),
        )
        for row in rows
    ]


def protected_items(plan: Plan, data_dir: Path) -> list[Item]:
    """Return the items that no round may break.

    The setting names their file; else ``suites/protected.jsonl`` in the data folder, where there
    is one; else the starter model brings its own.

    Raises:
        Invalid: the file is missing or a line of it is faulty; names the line.
    """
    kept = data_dir / SUITE
    if plan.protected_file is not None or kept.exists():
        return suites.load(Path(plan.protected_file) if plan.protected_file else kept)
    if plan.base_model != "starter":
        return []
    from trainer.starter.pool import protected_suite

    return [
        Item(
            id=row["id"],
            suite=row["suite"],
            messages=(Message(role="user", content=row["prompt"]),),
            expected=row["expected"],
            check=row["check"],
        )
        for row in protected_suite()
    ]


def contradicts(item: Item, messages: Sequence[Mapping[str, str]], correction: str) -> bool:
    """Whether a correction answers a protected question otherwise than the shop wants it.

    Questions are taken for the same where they share at least half of their content words.
    """
    ours = content_words(item.messages[-1]["content"])
    theirs = content_words(messages[-1]["content"])
    alike = len(ours & theirs) >= 0.5 * len(ours | theirs) and bool(ours & theirs)
    return alike and not suites.passes(item, correction)


def _held_out(words: Sequence[Word], plan: Plan) -> list[Word]:
    """Corrections of a share of the people, by preference those that others also made.

    A correction that nobody shares can either be learned or judge, not both; it is learned, unless
    too few are left to judge by. Of those that several people made at most a quarter judges, so that
    no fact is left with too few to learn it from.
    """
    corrections = [word for word in words if word.correction is not None]
    wanted = int(plan.held_out_share * len(corrections))
    by_person: dict[str, list[Word]] = {}
    for word in corrections:
        by_person.setdefault(word.person_id, []).append(word)
    people = sorted(by_person, key=lambda person: replay.place(f"{plan.seed}:{person}"))
    made = Counter(word.correction for word in corrections)
    held: Counter[str | None] = Counter()
    shared: list[Word] = []
    for person in people:
        if len(shared) >= wanted:
            break
        theirs = Counter(word.correction for word in by_person[person])
        if all(4 * (held[text] + count) <= made[text] for text, count in theirs.items()):
            held += theirs
            shared += by_person[person]
    if len(shared) >= SHARED_MINIMUM:
        chosen = shared
    else:
        chosen = []
        for person in people:
            if len(chosen) < wanted:
                chosen += by_person[person]
    ids = {word.feedback_id for word in chosen}
    return [word for word in corrections if word.feedback_id in ids]


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
                messages=_messages(row.messages),
                target=row.target,
                cluster=row.cluster,
                origin="past",
                feedback_ids=tuple(row.feedback_ids),
            ),
        )
        for row in session.exec(query)
    ]


def _own_answers(session: Session, incumbent_id: str | None) -> list[Old]:
    """The incumbent's answers that nobody remarked on: rehearsal where there is no other material.

    Self-synthesised rehearsal (Huang et al., 2024) needs no corpus: what the model says anyway is
    what it should go on saying.
    """
    query = (
        select(Exchange)
        .join(Feedback, col(Feedback.exchange_id) == Exchange.id, isouter=True)
        .where(
            Exchange.project_id == PROJECT,
            Exchange.origin == "chat",
            Exchange.state == "complete",
            Exchange.adapter_id == (incumbent_id or "base"),
            col(Feedback.id).is_(None),
        )
        .order_by(col(Exchange.id).desc())
        .limit(SELF_SYNTHESISED)
    )
    return [
        Old(
            id=row.id,
            messages=_messages(row.messages),
            target=str(row.choices[0]["text"]),
            cluster=row.person_id,
            origin="general",
        )
        for row in session.exec(query)
    ]


def _lines(path: Path, setting: str) -> list[dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise Invalid(f"{setting} names {path}, which cannot be read: {reason}.") from error
    rows = []
    # Not splitlines(): JSON strings may hold the other characters that it takes for line ends.
    for number, line in enumerate(text.removesuffix("\n").split("\n"), start=1):
        try:
            row = json.loads(line)
            row["id"], _messages(row["messages"])[-1]["content"], row["target"]
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise Invalid(
                f"{path}:{number}: each line is an object with `id`, `messages` and `target`."
            ) from error
        rows.append(row)
    return rows


def _messages(messages: Sequence[Mapping[str, str]]) -> tuple[Message, ...]:
    return tuple(Message(role=each["role"], content=each["content"]) for each in messages)
