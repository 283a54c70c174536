"""The tables of the serving side. Times are Unix seconds."""

from typing import Any

from sqlalchemy import JSON, CheckConstraint, Index, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from feedback.settings import PROJECT


class ApiKey(SQLModel, table=True):
    """A key as Heed knows it: its hash. The key itself is shown once and kept nowhere."""

    __table_args__ = (
        UniqueConstraint("project_id", "sha256", name="uq_api_key_hash"),
        CheckConstraint("role IN ('client', 'reviewer', 'admin')", name="ck_api_key_role"),
    )

    id: str = Field(primary_key=True)
    project_id: str = PROJECT
    role: str
    name: str
    sha256: str
    created_at: float
    revoked_at: float | None = None


class Account(SQLModel, table=True):
    """Somebody who signs in to the console. Removed ones stay, since the audit log names them."""

    __table_args__ = (
        CheckConstraint(
            "role IN ('viewer', 'reviewer', 'operator', 'admin')", name="ck_account_role"
        ),
        # A name is free again once its account is removed.
        Index(
            "ix_account_name",
            "project_id",
            "name",
            unique=True,
            sqlite_where=text("removed_at IS NULL"),
            postgresql_where=text("removed_at IS NULL"),
        ),
    )

    id: str = Field(primary_key=True)
    project_id: str = PROJECT
    name: str
    role: str
    password_hash: str
    created_at: float
    removed_at: float | None = None


class ConsoleSession(SQLModel, table=True):
    """A signed-in browser, known by the hash of what its cookie holds."""

    __table_args__ = (UniqueConstraint("project_id", "sha256", name="uq_session_hash"),)

    id: str = Field(primary_key=True)
    project_id: str = PROJECT
    account_id: str = Field(foreign_key="account.id", index=True)
    sha256: str
    created_at: float
    expires_at: float


class SignInAttempt(SQLModel, table=True):
    """A password that is being tried or was wrong; kept for the minutes in which they are counted.

    The name is hashed: people type their password there by mistake.
    """

    __table_args__ = (Index("ix_attempt_at", "project_id", "at"),)

    id: str = Field(primary_key=True)
    project_id: str = PROJECT
    name_sha256: str
    address: str
    at: float


class AuditEntry(SQLModel, table=True):
    """Who did what to what: decisions, deployments, keys."""

    __table_args__ = (Index("ix_audit_at", "project_id", "at"),)

    id: str = Field(primary_key=True)
    project_id: str = PROJECT
    actor: str
    action: str
    subject: str
    detail: str = ""
    at: float


class ReplicaState(SQLModel, table=True):
    """Which deployment a replica serves, as it last said itself."""

    replica_id: str = Field(primary_key=True)
    project_id: str = Field(default=PROJECT, primary_key=True)
    generation: int
    live_id: str | None = None
    error: str | None = None
    acknowledged_at: float


class WatchedVersion(SQLModel, table=True):
    """A time during which one version was live, and what is measured of it.

    Only sums are kept, of nobody's words. Whoever writes counts `revision` up from what was read, so
    that of two processes that read the same answers one has counted them.
    """

    __table_args__ = (
        # One for each time that a version went live, whichever process sees it first.
        UniqueConstraint("project_id", "deployment_id", name="uq_watched_deployment"),
        Index("ix_watched_since", "project_id", "since"),
    )

    id: str = Field(primary_key=True)
    project_id: str = PROJECT
    deployment_id: str
    adapter_id: str
    since: float
    # The version of the time before, and when that was; the last answers of it are the reference.
    reference_id: str | None = None
    reference_until: float = 0.0
    own: bool = False
    read_until: float
    read_id: str = ""
    usual: dict[str, Any] | None = Field(default=None, sa_type=JSON)
    measures: dict[str, Any] = Field(sa_type=JSON)
    revision: int = 0
    updated_at: float


class Alert(SQLModel, table=True):
    """A measure of a version has changed: by what evidence, who knows, and what followed."""

    __table_args__ = (
        CheckConstraint("state IN ('open', 'acknowledged', 'resolved')", name="ck_alert_state"),
        CheckConstraint(
            "delivery IN ('none', 'due', 'delivered', 'failed')", name="ck_alert_delivery"
        ),
        # Whoever was told of it need not be told again.
        Index(
            "uq_alert_open",
            "project_id",
            "adapter_id",
            "measure",
            unique=True,
            sqlite_where=text("state = 'open'"),
            postgresql_where=text("state = 'open'"),
        ),
        Index(
            "ix_alert_due",
            "next_attempt_at",
            sqlite_where=text("delivery = 'due'"),
            postgresql_where=text("delivery = 'due'"),
        ),
        Index("ix_alert_state", "project_id", "state", "id"),
    )

    id: str = Field(primary_key=True)
    project_id: str = PROJECT
    watched_id: str = Field(foreign_key="watchedversion.id")
    # A version's id, or `base`, which is no adapter.
    adapter_id: str
    measure: str
    direction: str
    harmful: bool
    at: float
    since: float
    evidence: float
    needed: float
    before: dict[str, Any] = Field(sa_type=JSON)
    after: dict[str, Any] = Field(sa_type=JSON)
    message: str
    state: str = "open"
    acknowledged_by: str | None = None
    acknowledged_at: float | None = None
    resolved_at: float | None = None
    rolled_back_to: str | None = None
    rollback: str = ""
    delivery: str = "none"
    attempts: int = 0
    next_attempt_at: float | None = None
    delivered_at: float | None = None
    delivery_error: str | None = None
