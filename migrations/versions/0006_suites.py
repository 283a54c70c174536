"""Suites that people add, and the ledger of what every judged round kept and lost.

Revision: 0006
After: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = '0006'
down_revision = '0005'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        'suite',
        sa.Column('project_id', sa.String(), nullable=False),
        sa.Column('name', sa.String(), nullable=False),
        sa.Column('kind', sa.String(), nullable=False),
        sa.Column('items', sa.JSON(), nullable=False),
        sa.Column('digest', sa.String(), nullable=False),
        sa.Column('created_at', sa.Float(), nullable=False),
        sa.CheckConstraint(
            "kind IN ('protected', 'safety', 'honeypot', 'sycophancy')", name='ck_suite_kind'
        ),
        sa.PrimaryKeyConstraint('project_id', 'name'),
    )
    op.create_table(
        'ledgerentry',
        sa.Column('round_id', sa.String(), nullable=False),
        sa.Column('kind', sa.String(), nullable=False),
        sa.Column('suite', sa.String(), nullable=False),
        sa.Column('item_id', sa.String(), nullable=False),
        sa.Column('project_id', sa.String(), nullable=False),
        sa.Column('incumbent_id', sa.String(), nullable=True),
        sa.Column('adapter_id', sa.String(), nullable=False),
        sa.Column('right_before', sa.Boolean(), nullable=False),
        sa.Column('right_after', sa.Boolean(), nullable=False),
        sa.Column('replay_asked_at', sa.Float(), nullable=True),
        sa.Column('replayed_in', sa.String(), nullable=True),
        sa.ForeignKeyConstraint(['adapter_id'], ['adapter.id']),
        sa.ForeignKeyConstraint(['incumbent_id'], ['adapter.id']),
        sa.ForeignKeyConstraint(['replayed_in'], ['round.id']),
        sa.ForeignKeyConstraint(['round_id'], ['round.id']),
        sa.PrimaryKeyConstraint('round_id', 'kind', 'suite', 'item_id'),
    )
    op.create_index('ix_ledger_item', 'ledgerentry', ['project_id', 'item_id'], unique=False)
    op.create_index(
        'ix_ledger_replay', 'ledgerentry', ['project_id', 'replay_asked_at'], unique=False
    )


def downgrade() -> None:
    op.drop_index('ix_ledger_replay', table_name='ledgerentry')
    op.drop_index('ix_ledger_item', table_name='ledgerentry')
    op.drop_table('ledgerentry')
    op.drop_table('suite')
