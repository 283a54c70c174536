"""The tables behind the review queue: what waits in which lane, and what reviewers do around it.

What a decision does to a piece of feedback is its Receipt's business (`feedback.models`); here is
what makes finding, sharing and undoing one fast. Knows no reviewer's screen. Times are Unix seconds.
"""

from typing import Any, Literal

from sqlalchemy import JSON, CheckConstraint, Index, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from feedback.settings import PROJECT

Lane = Literal["waiting", "accepted", "edited", "refused", "disagreement", "gone"]
LANES: tuple[Lane, ...] = ("waiting", "accepted", "edited", "refused", "disagreement", "gone")
"""``gone`` is what was withdrawn or forgotten: nobody lists it."""
ItemKind = Literal["rating", "correction", "preference", "comment", "signal"]


class ReviewItem(SQLModel, table=True):
    """One piece of feedback as the review queue knows it, with what it is found and ordered by.

    The database makes the row when a receipt first says ``review``, and moves it between lanes when
    the receipt's status changes (triggers of migration 0009), whoever changes it. What has to be
    worked out (words, language, cluster, rank) follows; until then the row is `stale`.

    `rank` is minus what a decision would change (`feedback.review_order`): the smallest comes first.
    `words` is what the full-text index holds: everything that was said, as words alone. `version`
    counts decisions, so that one made on an older sight is noticed.
    """

    __table_args__ = (
        UniqueConstraint("feedback_id", name="uq_review_item_feedback"),
        CheckConstraint(f"lane IN {LANES}", name="ck_review_item_lane"),
        # One index for each order in which a lane is walked; pages never sort.
        Index("ix_review_item_best", "project_id", "lane", "rank", "feedback_id"),
        Index("ix_review_item_oldest", "project_id", "lane", "feedback_id"),
        Index("ix_review_item_topic", "project_id", "lane", "topic", "rank", "feedback_id"),
        Index("ix_review_item_adapter", "project_id", "lane", "adapter_id", "rank", "feedback_id"),
        Index("ix_review_item_person", "person_id"),
        Index("ix_review_item_cluster", "cluster", "lane", "feedback_id"),
        # Few are stale, and few are held by anybody, at any moment.
        Index(
            "ix_review_item_stale",
            "feedback_id",
            sqlite_where=text("stale = 1"),
            postgresql_where=text("stale"),
        ),
        Index(
            "ix_review_item_reserved",
            "reserved_by",
            sqlite_where=text("reserved_by IS NOT NULL"),
            postgresql_where=text("reserved_by IS NOT NULL"),
        ),
    )

    # A number of its own: the full-text index of SQLite names rows by it, and others may change.
    id: int | None = Field(default=None, primary_key=True)
    project_id: str = PROJECT
    feedback_id: str = Field(foreign_key="feedback.id")
    lane: str = "waiting"
    kind: str
    rating: float | None = None
    person_id: str
    adapter_id: str | None = None
    received_at: float
    language: str | None = None
    topic: str | None = None
    trust: float | None = None
    cluster: str | None = None
    rank: float = Field(default=0.0, sa_column_kwargs={"server_default": "0"})
    why: str = Field(default="", sa_column_kwargs={"server_default": ""})
    words: str = Field(default="", sa_column_kwargs={"server_default": ""})
    stale: bool = Field(default=True, sa_column_kwargs={"server_default": text("true")})
    version: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    reserved_by: str | None = None
    reserved_until: float | None = None


class ReviewAction(SQLModel, table=True):
    """One decision as it can be undone: what it found. Those of one `batch` were made together."""

    __table_args__ = (
        Index("ix_review_action_feedback", "feedback_id", "id"),
        Index("ix_review_action_batch", "batch"),
        Index("ix_review_action_reviewer", "project_id", "reviewer", "id"),
        Index("ix_review_action_at", "project_id", "at"),
    )

    id: str = Field(primary_key=True)
    project_id: str = PROJECT
    batch: str
    feedback_id: str = Field(foreign_key="feedback.id")
    reviewer: str
    decision: str
    before: dict[str, Any] = Field(sa_type=JSON)
    after: str
    at: float
    undone_at: float | None = None
    undone_by: str | None = None


class ReviewDraft(SQLModel, table=True):
    """An edit as somebody types it; everybody has their own, and it stays until they decide."""

    __table_args__ = (Index("ix_review_draft_reviewer", "project_id", "reviewer", "feedback_id"),)

    feedback_id: str = Field(primary_key=True, foreign_key="feedback.id")
    reviewer: str = Field(primary_key=True)
    project_id: str = PROJECT
    correction: str | None = None
    reason: str | None = None
    version: int = 1
    updated_at: float


class ReviewVerdict(SQLModel, table=True):
    """What one of several reviewers said, hidden from the others until all have."""

    feedback_id: str = Field(primary_key=True, foreign_key="feedback.id")
    reviewer: str = Field(primary_key=True)
    project_id: str = PROJECT
    decision: str
    correction: str | None = None
    reason: str | None = None
    at: float


class ReviewComment(SQLModel, table=True):
    """What reviewers say to each other about a piece of feedback."""

    __table_args__ = (Index("ix_review_comment_feedback", "feedback_id", "id"),)

    id: str = Field(primary_key=True)
    project_id: str = PROJECT
    feedback_id: str = Field(foreign_key="feedback.id")
    reviewer: str
    text: str
    at: float


class ReviewTag(SQLModel, table=True):
    """A tag that reviewers gave, or a reason that came with the feedback: what is filtered by."""

    __table_args__ = (
        CheckConstraint("kind IN ('tag', 'reason')", name="ck_review_tag_kind"),
        Index("ix_review_tag_name", "project_id", "kind", "name", "feedback_id"),
    )

    feedback_id: str = Field(primary_key=True, foreign_key="feedback.id")
    kind: str = Field(primary_key=True)
    name: str = Field(primary_key=True)
    project_id: str = PROJECT
    reviewer: str | None = None


class ReviewQueue(SQLModel, table=True):
    """Filters saved under a name, for everybody or for their owner alone."""

    __table_args__ = (UniqueConstraint("project_id", "owner", "name", name="uq_review_queue_name"),)

    id: str = Field(primary_key=True)
    project_id: str = PROJECT
    name: str
    owner: str
    shared: bool = False
    filters: dict[str, Any] = Field(sa_type=JSON)
    created_at: float
