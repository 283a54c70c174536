"""The tables of the serving side. Times are Unix seconds."""

from sqlalchemy import CheckConstraint, Index, UniqueConstraint
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
