"""Votes told apart from signals on their receipts, and indexes in the order of what is looked for.

Revision: 0004
After: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = '0004'
down_revision = '0003'
branch_labels = None
depends_on = None

ASKED = ['project_id', 'prompt_hash', 'person_id']
VOTES = {'sqlite_where': sa.text('teaches = 1'), 'postgresql_where': sa.text('teaches')}
CLAIMABLE = {
    'sqlite_where': sa.text("teaches = 1 AND status = 'waiting' AND round_id IS NULL"),
    'postgresql_where': sa.text("teaches AND status = 'waiting' AND round_id IS NULL"),
}
HELD = {
    'sqlite_where': sa.text('round_id IS NOT NULL'),
    'postgresql_where': sa.text('round_id IS NOT NULL'),
}


def upgrade() -> None:
    op.add_column(
        'receipt',
        sa.Column('teaches', sa.Boolean(), server_default=sa.false(), nullable=False),
    )
    op.execute(
        """
        UPDATE receipt SET teaches = true
        WHERE EXISTS (
            SELECT 1 FROM feedback WHERE feedback.id = receipt.feedback_id AND (
                feedback.rating <> 0.5
                OR feedback.correction IS NOT NULL
                OR feedback.preferred_over IS NOT NULL
            )
        ) OR EXISTS (
            SELECT 1 FROM review
            WHERE review.feedback_id = receipt.feedback_id AND review.decision = 'edit'
        )
        """
    )
    op.drop_index('ix_exchange_prompt', table_name='exchange')
    op.create_index(
        'ix_exchange_prompt', 'exchange', [*ASKED, 'created_at'], unique=False
    )
    op.drop_index('ix_receipt_status', table_name='receipt')
    op.drop_index('ix_receipt_round', table_name='receipt')
    op.create_index('ix_receipt_status', 'receipt', ['project_id', 'status'], unique=False)
    op.create_index('ix_receipt_round', 'receipt', ['round_id'], unique=False, **HELD)
    op.create_index(
        'ix_receipt_vote', 'receipt', ['project_id', 'feedback_id'], unique=False, **VOTES
    )
    op.create_index(
        'ix_receipt_claimable',
        'receipt',
        ['project_id', 'status', 'feedback_id'],
        unique=False,
        **CLAIMABLE,
    )


def downgrade() -> None:
    for name in ('ix_receipt_claimable', 'ix_receipt_vote', 'ix_receipt_round', 'ix_receipt_status'):
        op.drop_index(name, table_name='receipt')
    op.drop_index('ix_exchange_prompt', table_name='exchange')
    op.create_index('ix_exchange_prompt', 'exchange', ASKED, unique=False)
    op.create_index('ix_receipt_round', 'receipt', ['round_id'], unique=False)
    op.create_index(
        'ix_receipt_status', 'receipt', ['project_id', 'status', 'round_id'], unique=False
    )
    op.drop_column('receipt', 'teaches')
