"""The tables of what the model learned. Rules live in constraints, with the reason beside them.

Times are Unix seconds.
"""

from typing import Any, Literal

from sqlalchemy import JSON, CheckConstraint, Index, UniqueConstraint
from sqlmodel import Field, SQLModel

from feedback.settings import PROJECT

RoundState = Literal["open", "pending", "promoted", "refused", "abstained", "failed", "cancelled"]
AdapterState = Literal["candidate", "canary", "live", "retired", "rejected"]
DeploymentMode = Literal["canary", "ab"]


class Round(SQLModel, table=True):
    """One attempt to learn: its frozen plan, where it stands, and how it was judged.

    A ``pending`` round has been judged and waits for reviewers (`trainer.pending`): it has no slot,
    so that another may open, and holds its feedback until it is decided.
    """

    __table_args__ = (
        # One open round per project: `open_slot` holds the project while the round is open and is
        # NULL after, and NULLs never collide.
        UniqueConstraint("open_slot", name="uq_round_open"),
        CheckConstraint("(state = 'open') = (open_slot IS NOT NULL)", name="ck_round_open"),
        Index("ix_round_created", "project_id", "created_at"),
    )

    id: str = Field(primary_key=True)
    project_id: str = PROJECT
    state: str = "open"
    open_slot: str | None = PROJECT
    stage: str = "queued"
    progress: float = 0.0
    trigger: str
    plan: dict[str, Any] = Field(sa_type=JSON)
    incumbent_id: str | None = None
    candidate_id: str | None = None
    snapshot_sha256: str | None = None
    counts: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)
    report: dict[str, Any] | None = Field(default=None, sa_type=JSON)
    pending: dict[str, Any] | None = Field(default=None, sa_type=JSON)
    message: str = ""
    attempts: int = 0
    cancel_requested: bool = False
    created_at: float
    started_at: float | None = None
    ended_at: float | None = None

    @property
    def shown_report(self) -> dict[str, Any] | None:
        """The report as anybody may see it: while reviewers judge blind, without quoted answers.

        Those say which model answered how.
        """
        if self.state != "pending" or self.report is None:
            return self.report
        return {**self.report, "caught": []}


class RoundEvent(SQLModel, table=True):
    """One line of a round's progress, in order."""

    __table_args__ = (Index("ix_round_event", "round_id", "id"),)

    id: int | None = Field(default=None, primary_key=True)
    project_id: str = PROJECT
    round_id: str = Field(foreign_key="round.id")
    stage: str
    progress: float
    message: str
    data: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)
    at: float


class Lease(SQLModel, table=True):
    """Who may act on something. The fence grows with every holder, so a late one is recognised."""

    name: str = Field(primary_key=True)
    project_id: str = Field(default=PROJECT, primary_key=True)
    holder: str
    fence: int
    expires_at: float


class Adapter(SQLModel, table=True):
    """One learned version; its folder is named by the digest of its manifest."""

    __table_args__ = (
        UniqueConstraint("project_id", "digest", name="uq_adapter_digest"),
        CheckConstraint(
            "state IN ('candidate', 'canary', 'live', 'retired', 'rejected')",
            name="ck_adapter_state",
        ),
    )

    id: str = Field(primary_key=True)
    project_id: str = PROJECT
    state: str = "candidate"
    parent_id: str | None = Field(default=None, foreign_key="adapter.id")
    round_id: str | None = Field(default=None, foreign_key="round.id")
    digest: str
    base_model: str
    base_hash: str
    created_at: float


class Deployment(SQLModel, table=True):
    """Which adapter answers whom; the row with the highest generation is in force.

    `mode` says what a second version beside the live one is there for: a ``canary`` goes or stays by
    itself, an ``ab`` comparison is only watched.
    """

    __table_args__ = (
        # Two people promoting at once: the second sees a conflict, not a lost update.
        UniqueConstraint("project_id", "generation", name="uq_deployment_generation"),
        CheckConstraint("mode IN ('canary', 'ab')", name="ck_deployment_mode"),
    )

    id: str = Field(primary_key=True)
    project_id: str = PROJECT
    generation: int
    live_id: str | None = Field(default=None, foreign_key="adapter.id")
    canary_id: str | None = Field(default=None, foreign_key="adapter.id")
    canary_share: float = 0.0
    mode: str = Field(default="canary", sa_column_kwargs={"server_default": "canary"})
    reason: str
    actor: str
    created_at: float


class PastExample(SQLModel, table=True):
    """A demonstration that a promoted round learned, for replay or for judging later rounds.

    It counts while its round is in the live adapter's line of descent and the round that retired
    it, if any, is not.
    """

    __table_args__ = (Index("ix_past_round", "project_id", "round_id"),)

    id: str = Field(primary_key=True)
    project_id: str = PROJECT
    round_id: str = Field(foreign_key="round.id")
    split: str
    messages: list[dict[str, Any]] = Field(sa_type=JSON)
    target: str
    feedback_ids: list[str] = Field(sa_type=JSON)
    cluster: str
    created_at: float


class Retirement(SQLModel, table=True):
    """A past example that a later round's reviewed correction replaced."""

    past_id: str = Field(primary_key=True)
    round_id: str = Field(primary_key=True, foreign_key="round.id")
    project_id: str = PROJECT
    new_target: str


class Suite(SQLModel, table=True):
    """A suite that somebody added: its items as lines of a suite file, whole or not at all.

    Items are read and written together, and no query looks into one; so they are one column.
    """

    __table_args__ = (
        CheckConstraint(
            "kind IN ('protected', 'safety', 'honeypot', 'sycophancy')", name="ck_suite_kind"
        ),
    )

    project_id: str = Field(default=PROJECT, primary_key=True)
    name: str = Field(primary_key=True)
    kind: str
    items: list[dict[str, Any]] = Field(sa_type=JSON)
    digest: str
    created_at: float


class LedgerEntry(SQLModel, table=True):
    """One item that judged a round, right or wrong under both adapters.

    It quotes nobody: what was asked is looked up where it is kept. Somebody may ask for a forgotten
    item to be rehearsed; the round that was promoted with it takes the wish off.
    """

    __table_args__ = (
        Index("ix_ledger_item", "project_id", "item_id"),
        Index("ix_ledger_replay", "project_id", "replay_asked_at"),
    )

    round_id: str = Field(primary_key=True, foreign_key="round.id")
    kind: str = Field(primary_key=True)
    suite: str = Field(primary_key=True)
    item_id: str = Field(primary_key=True)
    project_id: str = PROJECT
    incumbent_id: str | None = Field(default=None, foreign_key="adapter.id")
    adapter_id: str = Field(foreign_key="adapter.id")
    right_before: bool
    right_after: bool
    replay_asked_at: float | None = None
    replayed_in: str | None = Field(default=None, foreign_key="round.id")


class RoundPair(SQLModel, table=True):
    """One prompt that candidate and incumbent answered differently, for people to compare.

    `secret` decides which answer a reviewer sees on the left; it leaves the database by no route.
    A pair whose prompt may be kept no longer is emptied, and its verdicts still count.
    """

    __table_args__ = (
        UniqueConstraint("round_id", "source", "suite", "item_id", name="uq_round_pair_item"),
    )

    id: str = Field(primary_key=True)
    project_id: str = PROJECT
    round_id: str = Field(foreign_key="round.id")
    source: str
    suite: str
    item_id: str
    cluster: str
    messages: list[dict[str, Any]] = Field(sa_type=JSON)
    incumbent_answer: str
    candidate_answer: str
    secret: str
    created_at: float


class PairVerdict(SQLModel, table=True):
    """What one reviewer said of one pair, and which side the candidate was on."""

    __table_args__ = (
        CheckConstraint("verdict IN ('left', 'right', 'tie', 'both_bad')", name="ck_pair_verdict"),
        Index("ix_pair_verdict_round", "round_id"),
    )

    # One verdict of each reviewer on each pair: the key says so.
    pair_id: str = Field(primary_key=True, foreign_key="roundpair.id")
    reviewer: str = Field(primary_key=True)
    project_id: str = PROJECT
    round_id: str = Field(foreign_key="round.id")
    verdict: str
    candidate_left: bool
    decided_at: float


class Timetable(SQLModel, table=True):
    """The schedule of rounds that an admin chose; without a row the one of the settings holds."""

    project_id: str = Field(default=PROJECT, primary_key=True)
    cron: str
    timezone: str
    chosen_by: str
    chosen_at: float
