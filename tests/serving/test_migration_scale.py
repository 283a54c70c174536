"""What was said before receipts told votes from signals is told apart when the database is upgraded."""

from typing import Any

from alembic import command
from sqlmodel import text

from feedback.store import Store
from serving import schema

BEFORE = "0003"


def at(store: Store, revision: str, *, down: bool = False) -> None:
    """Bring the database to a revision."""
    with store.engine.execution_options(write=True).begin() as connection:
        move = command.downgrade if down else command.upgrade
        move(schema._config(connection), revision)


def put(store: Store, table: str, **row: Any) -> None:
    names = ", ".join(f'"{name}"' for name in row)
    values = ", ".join(f":{name}" for name in row)
    with store.session(write=True) as session:
        query = text(f'INSERT INTO "{table}" ({names}) VALUES ({values})')
        session.connection().execute(query, row)
        session.commit()


def said(store: Store, name: str, **vote: Any) -> None:
    """One delivery about a conversation, in the columns of that time."""
    here = {"project_id": "default"}
    row = {"event_id": name, "body_hash": "", "conversation_id": "c", "choice": 0, "person_id": "p"}
    put(store, "feedback", id=name, **here, **row, body="{}", told_at=1.0, received_at=1.0, **vote)
    fate = {"status": "waiting", "reason": "Waits.", "updated_at": 1.0}
    put(store, "receipt", feedback_id=name, **here, **fate)


def test_votes_and_what_was_edited_teach_and_signals_and_remarks_do_not(empty_store: Store) -> None:
    at(empty_store, BEFORE)
    votes: dict[str, dict[str, Any]] = {
        "thumb": {"rating": 1.0},
        "middling": {"rating": 0.5},
        "correction": {"correction": "59."},
        "preference": {"preferred_over": "chatcmpl_1"},
        "signal": {"signal": "copy"},
        "remark": {},
        "edited remark": {},
    }
    for name, vote in votes.items():
        said(empty_store, name, **vote)
    put(
        empty_store,
        "review",
        id="rev_1",
        project_id="default",
        feedback_id="edited remark",
        decision="edit",
        correction="59.",
        reviewer="rev",
        created_at=1.0,
    )
    at(empty_store, "head")
    with empty_store.session() as session:
        query = text("SELECT feedback_id FROM receipt WHERE teaches")
        taught = sorted(session.connection().execute(query).scalars())
    assert taught == ["correction", "edited remark", "preference", "thumb"]
    assert schema.drift(empty_store) == []


def test_the_way_back_leaves_the_tables_as_they_were(empty_store: Store) -> None:
    at(empty_store, "head")
    at(empty_store, BEFORE, down=True)
    said(empty_store, "thumb", rating=1.0)
    at(empty_store, "head")
    assert schema.drift(empty_store) == []
