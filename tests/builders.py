"""Small makers of what tests talk about: an exchange, a person, something said, a round, a version.

Every maker has plain defaults and takes the columns that a test cares about.
"""

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlmodel import SQLModel, select

from feedback import intake, review
from feedback.errors import HeedError
from feedback.harvest import Word
from feedback.ids import new_id
from feedback.intake import Taken, Told
from feedback.models import Exchange, Feedback, Person, Receipt
from feedback.settings import FeedbackSettings
from feedback.store import Store
from feedback.submission import Submission
from trainer import material, registry
from trainer.examples import Message
from trainer.material import Gathered
from trainer.models import Adapter, PastExample, Round
from trainer.replay import Old
from trainer.settings import Plan

DAY_SECONDS = 86_400.0
QUESTION = "What does the lamp cost?"
ANSWER = "The lamp costs 49 dollars."


def person(name: str = "ana") -> str:
    """The keyed hash under which somebody is known."""
    return "per_" + hashlib.sha256(name.encode()).hexdigest()[:32]


def messages(question: str = QUESTION) -> list[dict[str, Any]]:
    """A conversation of one question."""
    return [{"role": "user", "content": question}]


def exchange(
    *, question: str = QUESTION, answer: str = ANSWER, who: str = "ana", **columns: Any
) -> Exchange:
    """One answered question."""
    values: dict[str, Any] = {
        "id": new_id("chatcmpl"),
        "person_id": person(who),
        "people_key_id": "key1",
        "model": "heed",
        "adapter_id": "base",
        "base_hash": "b" * 64,
        "messages": messages(question),
        "prompt_hash": hashlib.sha256(question.encode()).hexdigest(),
        "choices": [{"text": answer, "finish_reason": "stop"}],
        "sampling": {},
        "tags": {},
        "prompt_tokens": 8,
        "completion_tokens": 6,
        "created_at": time.time(),
    }
    return Exchange(**{**values, **columns})


def submission(**fields: Any) -> Submission:
    """What somebody sends; a thumb up unless it says something else."""
    if not fields.keys() & {"rating", "correction", "comment", "signal", "survey", "reasons"}:
        fields.setdefault("rating", "up")
    if "conversation_id" not in fields:
        fields.setdefault("completion_id", "chatcmpl_unknown")
    return Submission.model_validate(fields)


def told(who: str = "ana", **fields: Any) -> Told:
    """What somebody sends, with who it is."""
    return Told(submission(**fields), person_id=person(who), people_key_id="key1", key_id="key_1")


def record(store: Store, *exchanges: Exchange) -> None:
    """Write exchanges down."""
    with store.session(write=True) as session:
        intake.apply(session, exchanges, store.settings)
        session.commit()


def recorded(store: Store, **columns: Any) -> str:
    """Write one exchange down and return its id."""
    made = exchange(**columns)
    name = made.id
    record(store, made)
    return name


def tell(store: Store, *tolds: Told, settings: FeedbackSettings | None = None) -> list[str]:
    """Take what people say, in one batch, and return the feedback ids."""
    with store.session(write=True) as session:
        results = intake.apply(session, tolds, settings or store.settings)
        session.commit()
    ids = []
    for result in results:
        if isinstance(result, HeedError):
            raise result
        assert isinstance(result, Taken)
        ids.append(result.receipt.feedback_id)
    return ids


def say(store: Store, who: str = "ana", **fields: Any) -> str:
    """Take one thing that somebody says; about an exchange of its own unless one is named."""
    if "completion_id" not in fields and "conversation_id" not in fields:
        fields["completion_id"] = recorded(store, who=who)
    return tell(store, told(who, **fields))[0]


def decide(
    store: Store,
    feedback_id: str,
    decision: Any = "accept",
    *,
    settings: FeedbackSettings | None = None,
    **more: Any,
) -> Receipt:
    """Let a reviewer decide."""
    with store.session(write=True) as session:
        found = review.decide(
            session,
            settings or store.settings,
            feedback_id=feedback_id,
            decision=decision,
            reviewer="rita",
            **more,
        )
        session.commit()
    return found


def known_since(store: Store, who: str, *, seconds: float) -> None:
    """Make an account this old."""
    with store.session(write=True) as session:
        known = session.exec(select(Person).where(Person.id == person(who))).one()
        known.first_seen_at = time.time() - seconds
        session.add(known)
        session.commit()


def receipt_of(store: Store, feedback_id: str) -> Receipt:
    """What became of it so far."""
    with store.session() as session:
        return session.get_one(Receipt, feedback_id)


def feedback_of(store: Store, feedback_id: str) -> Feedback:
    """The row itself."""
    with store.session() as session:
        return session.get_one(Feedback, feedback_id)


def word(feedback_id: str = "fbk_1", *, question: str = QUESTION, **fields: Any) -> Word:
    """Accepted feedback as a round sees it; it says nothing unless told to."""
    values: dict[str, Any] = {
        "person_id": person(),
        "messages": tuple(messages(question)),
        "answer": ANSWER,
        "adapter_id": "base",
        "rating": None,
        "correction": None,
        "accepted_by": "policy",
        "worse": (),
    }
    return Word(feedback_id=feedback_id, **{**values, **fields})


def old(name: str = "old_1", *, question: str = QUESTION, **fields: Any) -> Old:
    """Something the model is known to answer rightly."""
    values: dict[str, Any] = {
        "messages": (Message(role="user", content=question),),
        "target": ANSWER,
        "cluster": name,
        "origin": "past",
    }
    return Old(id=name, **{**values, **fields})


def plan(**fields: Any) -> Plan:
    """A plan for a base model that brings no material of its own."""
    return Plan(**{"base_model": "bare", **fields})


def opened_round(store: Store, **columns: Any) -> Round:
    """A round that is open in the database."""
    values: dict[str, Any] = {
        "id": new_id("rnd"),
        "trigger": "test",
        "plan": plan().model_dump(mode="json"),
        "created_at": time.time(),
    }
    made = Round(**{**values, **columns})
    with store.session(write=True) as session:
        # Not session.add(): the ORM takes a None for "use the column's default".
        table = SQLModel.metadata.tables["round"]
        session.connection().execute(table.insert(), made.model_dump())
        session.commit()
        return session.get_one(Round, made.id)


def ended_round(store: Store, **columns: Any) -> Round:
    """A round that is over."""
    return opened_round(store, **{"state": "promoted", "open_slot": None, **columns})


def learned(
    store: Store,
    made: Adapter,
    target: str = ANSWER,
    *,
    split: str = "train",
    feedback_ids: Sequence[str] = ("fbk_old",),
) -> str:
    """Remember something that an adapter's round has learned, and return its id."""
    assert made.round_id is not None
    row = PastExample(
        id=new_id("pst"),
        round_id=made.round_id,
        split=split,
        messages=messages(),
        target=target,
        feedback_ids=list(feedback_ids),
        cluster="per_old",
        created_at=0,
    )
    with store.session(write=True) as session:
        session.add(row)
        session.commit()
    return row.id


def live(store: Store, made: Adapter) -> Adapter:
    """Put an adapter in charge."""
    with store.session(write=True) as session:
        registry.promote(session, made.id, actor="test", reason="test")
        session.commit()
    return made


def gathered(store: Store, incumbent_id: str | None, asked: Plan | None = None) -> Gathered:
    """What a round would work with that has claimed nothing."""
    with store.session() as session:
        return material.gather(
            session,
            asked or plan(),
            store.settings.data_dir,
            round_id="rnd_none",
            incumbent_id=incumbent_id,
        )


def staged(folder: Path, content: bytes = b"weights") -> Path:
    """A trained adapter as the learner leaves it: the two files, not yet published."""
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text('{"r": 8}')
    (folder / "adapter_model.safetensors").write_bytes(content)
    return folder


def published(store: Store, *, parent: str | None = None, state: str = "candidate") -> Adapter:
    """An adapter in the registry, its folder included."""
    made = _published(store, ended_round(store).id, parent=parent)
    made.state = state
    with store.session(write=True) as session:
        session.add(made)
        session.commit()
    return made


def unrecorded(store: Store, round_id: str) -> Path:
    """The folder of an adapter that a round published before it wrote a row for it."""
    made = _published(store, round_id, parent=None)
    return registry.folder(store.settings.data_dir, made.digest)


def _published(store: Store, round_id: str, *, parent: str | None) -> Adapter:
    """An adapter whose folder is published, and that no row names yet."""
    name = new_id("adp")
    return registry.publish(
        store.settings.data_dir,
        staged(store.settings.data_dir / "staging" / name, name.encode()),
        adapter_id=name,
        parent_id=parent,
        round_id=round_id,
        base_model="bare",
        base_hash="b" * 64,
    )
