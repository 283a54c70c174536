"""Answers that reviewers compare blind, their verdicts, and rounds that wait for those.

Revision: 0008
After: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("round", sa.Column("pending", sa.JSON(), nullable=True))
    op.create_table(
        "roundpair",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("project_id", sa.String(), nullable=False),
        sa.Column("round_id", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("suite", sa.String(), nullable=False),
        sa.Column("item_id", sa.String(), nullable=False),
        sa.Column("cluster", sa.String(), nullable=False),
        sa.Column("messages", sa.JSON(), nullable=False),
        sa.Column("incumbent_answer", sa.String(), nullable=False),
        sa.Column("candidate_answer", sa.String(), nullable=False),
        sa.Column("secret", sa.String(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["round_id"], ["round.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("round_id", "source", "suite", "item_id", name="uq_round_pair_item"),
    )
    op.create_table(
        "pairverdict",
        sa.Column("pair_id", sa.String(), nullable=False),
        sa.Column("reviewer", sa.String(), nullable=False),
        sa.Column("project_id", sa.String(), nullable=False),
        sa.Column("round_id", sa.String(), nullable=False),
        sa.Column("verdict", sa.String(), nullable=False),
        sa.Column("candidate_left", sa.Boolean(), nullable=False),
        sa.Column("decided_at", sa.Float(), nullable=False),
        sa.CheckConstraint(
            "verdict IN ('left', 'right', 'tie', 'both_bad')", name="ck_pair_verdict"
        ),
        sa.ForeignKeyConstraint(["pair_id"], ["roundpair.id"]),
        sa.ForeignKeyConstraint(["round_id"], ["round.id"]),
        sa.PrimaryKeyConstraint("pair_id", "reviewer"),
    )
    op.create_index("ix_pair_verdict_round", "pairverdict", ["round_id"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_pair_verdict_round", table_name="pairverdict")
    op.drop_table("pairverdict")
    op.drop_table("roundpair")
    op.drop_column("round", "pending")
