"""An index of what waits for review, in the order of the queue.

Revision: 0002
After: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = '0002'
down_revision = '0001'
branch_labels = None
depends_on = None

IN_REVIEW = sa.text("status = 'review'")


def upgrade() -> None:
    op.create_index(
        'ix_receipt_queue',
        'receipt',
        ['project_id', 'feedback_id'],
        unique=False,
        sqlite_where=IN_REVIEW,
        postgresql_where=IN_REVIEW,
    )


def downgrade() -> None:
    op.drop_index('ix_receipt_queue', table_name='receipt')
