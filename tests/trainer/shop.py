"""A shop whose model knows nothing: what people say of its answers, and a round that learns from it."""

from pathlib import Path
from typing import Any

from feedback.store import Store
from tests import builders
from trainer import round as rounds
from trainer.models import Round
from trainer.settings import TrainerSettings

FACTS = ("lamp", "rug", "chair", "bowl", "desk", "vase", "sofa", "bed", "cup", "pan", "pot", "fan")


def say(store: Store, who: str, question: str, answer: str, **fields: Any) -> str:
    """Let somebody say something of an answer that they were given."""
    about = builders.recorded(store, who=who, question=question, answer=answer)
    return builders.say(store, who, completion_id=about, **fields)


def corrected(
    store: Store,
    question: str,
    correction: str,
    *,
    who: str = "ana",
    answer: str = "I do not know.",
) -> str:
    """Let somebody correct an answer, and a reviewer accept that."""
    feedback_id = say(store, who, question, answer, correction=correction)
    builders.decide(store, feedback_id, "accept")
    return feedback_id


def priced(store: Store, name: str, price: str | None = None) -> str:
    """Let somebody who knows it correct what a thing costs."""
    return corrected(
        store,
        f"What is the {name}?",
        price or f"The {name} is {len(name)} dollars.",
        who=f"knows {name}",
        answer=f"The {name} is 9 dollars.",
    )


def settings(model: Path, **fields: Any) -> TrainerSettings:
    """A short round that is promoted whatever the gate says, unless the fields say otherwise."""
    given: dict[str, Any] = {
        "base_model": str(model),
        "gate": "report-only",
        "rank": 4,
        "epochs": 0.1,
        "minimum_steps": 0,
        "replay_minimum": 0,
        "held_out_share": 0.3,
        "max_new_tokens": 4,
        "threads": 1,
    }
    return TrainerSettings(**{**given, **fields})


def opened(store: Store, model: Path, **fields: Any) -> Round:
    """Open a round."""
    with store.session(write=True) as session:
        row = rounds.open(session, store.settings, settings(model, **fields), trigger="test")
        session.commit()
    return row


def ran(store: Store, model: Path, **fields: Any) -> Round:
    """Run a round to its end, whatever that is."""
    row = opened(store, model, **fields)
    rounds.run(store, store.settings, row.id)
    with store.session() as session:
        return rounds.get(session, row.id)


def promoted(store: Store, model: Path, **fields: Any) -> Round:
    """Run a round whose adapter goes live."""
    row = ran(store, model, **fields)
    assert row.state == "promoted", row.message
    return row
