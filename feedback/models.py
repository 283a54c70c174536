"""The tables of what people said. Rules live in constraints, with the reason beside them.

Times are Unix seconds. Feedback rows are never changed: what became of one is its Receipt, what a
reviewer said of it its Reviews, and the vote in force is derived (`feedback.votes`).
"""

from typing import Any, Literal

from sqlalchemy import JSON, CheckConstraint, Index, UniqueConstraint, false, text
from sqlmodel import Field, SQLModel

from feedback.settings import PROJECT

Status = Literal["waiting", "review", "used", "held_out", "refused", "withdrawn", "forgotten"]
STATUSES: tuple[Status, ...] = (
    "waiting",
    "review",
    "used",
    "held_out",
    "refused",
    "withdrawn",
    "forgotten",
)
Decision = Literal["accept", "refuse", "edit", "reopen"]
_FREE = "status = 'waiting' AND round_id IS NULL"


class Exchange(SQLModel, table=True):
    """One logged prompt and its answer; the id is the completion id that the client holds."""

    __table_args__ = (
        # Session signals name a conversation; regenerated answers share a prompt.
        Index("ix_exchange_conversation", "project_id", "conversation_id"),
        Index("ix_exchange_prompt", "project_id", "prompt_hash", "person_id", "created_at"),
        Index("ix_exchange_created", "project_id", "created_at"),
    )

    id: str = Field(primary_key=True)
    project_id: str = PROJECT
    conversation_id: str | None = None
    turn: int = 0
    origin: str = "chat"
    group: str | None = None
    key_id: str | None = None
    person_id: str = Field(index=True)
    people_key_id: str = ""
    model: str
    adapter_id: str = Field(index=True)
    base_hash: str
    messages: list[dict[str, Any]] = Field(sa_type=JSON)
    prompt_hash: str
    choices: list[dict[str, Any]] = Field(sa_type=JSON)
    sampling: dict[str, Any] = Field(sa_type=JSON)
    tags: dict[str, Any] = Field(sa_type=JSON)
    prompt_tokens: int
    completion_tokens: int
    state: str = "complete"
    # From being admitted to the answer's end; unknown for what was imported, or answered before.
    seconds: float | None = None
    created_at: float


class Person(SQLModel, table=True):
    """An account, known only by a keyed hash; the id of the key is beside it for rotation."""

    id: str = Field(primary_key=True)
    project_id: str = Field(default=PROJECT, primary_key=True)
    key_id: str
    first_seen_at: float


class Feedback(SQLModel, table=True):
    """One delivery of what a person said of one exchange (or of a conversation)."""

    __table_args__ = (
        # A doubled delivery is the same event: the database, not the caller, makes it one.
        UniqueConstraint("project_id", "event_id", name="uq_feedback_event"),
        # Feedback is about something that Heed knows.
        CheckConstraint(
            "exchange_id IS NOT NULL OR conversation_id IS NOT NULL", name="ck_feedback_subject"
        ),
        Index("ix_feedback_vote", "exchange_id", "choice", "person_id"),
    )

    id: str = Field(primary_key=True)
    project_id: str = PROJECT
    event_id: str
    body_hash: str
    exchange_id: str | None = Field(default=None, foreign_key="exchange.id")
    conversation_id: str | None = Field(default=None, index=True)
    choice: int = 0
    person_id: str = Field(index=True)
    key_id: str | None = None
    rating: float | None = None
    correction: str | None = None
    preferred_over: str | None = None
    signal: str | None = None
    body: dict[str, Any] = Field(sa_type=JSON)
    told_at: float
    received_at: float


class Receipt(SQLModel, table=True):
    """What became of one piece of feedback: the only row about it that changes.

    While a round holds it, `status` is still ``waiting`` and `round_id` names the round. `weight`
    is what it counts in that round, from 0 to 1, and `probability` that it is right (of a signal:
    that the person was satisfied), where anything tells. `teaches` tells votes, and what a reviewer
    edited, from signals and remarks, of which there may be a hundred for each vote and which wait
    for ever: whoever looks for votes must not walk past them.
    """

    __table_args__ = (
        CheckConstraint(f"status IN {STATUSES}", name="ck_receipt_status"),
        Index("ix_receipt_status", "project_id", "status"),
        # Few are in a round; every delivery would be written here otherwise.
        Index(
            "ix_receipt_round",
            "round_id",
            sqlite_where=text("round_id IS NOT NULL"),
            postgresql_where=text("round_id IS NOT NULL"),
        ),
        # The newest votes, in their order.
        Index(
            "ix_receipt_vote",
            "project_id",
            "feedback_id",
            sqlite_where=text("teaches = 1"),
            postgresql_where=text("teaches"),
        ),
        # What a round could claim now: `claims.claimable` asks for it in these words.
        Index(
            "ix_receipt_claimable",
            "project_id",
            "status",
            "feedback_id",
            sqlite_where=text(f"teaches = 1 AND {_FREE}"),
            postgresql_where=text(f"teaches AND {_FREE}"),
        ),
        # The review queue in its order. Of those in review alone: everything else is written often.
        Index(
            "ix_receipt_queue",
            "project_id",
            "feedback_id",
            sqlite_where=text("status = 'review'"),
            postgresql_where=text("status = 'review'"),
        ),
    )

    feedback_id: str = Field(primary_key=True, foreign_key="feedback.id")
    project_id: str = PROJECT
    status: str
    reason: str
    accepted_by: str | None = None
    round_id: str | None = None
    adapter_id: str | None = None
    role: str | None = None
    weight: float | None = None
    probability: float | None = None
    teaches: bool = Field(default=False, sa_column_kwargs={"server_default": false()})
    updated_at: float


class Review(SQLModel, table=True):
    """One decision of a reviewer; the last one on a piece of feedback is in force."""

    __table_args__ = (Index("ix_review_feedback", "feedback_id", "id"),)

    id: str = Field(primary_key=True)
    project_id: str = PROJECT
    feedback_id: str = Field(foreign_key="feedback.id")
    decision: str
    correction: str | None = None
    reason: str | None = None
    reviewer: str
    created_at: float
