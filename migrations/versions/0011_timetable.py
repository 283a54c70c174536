"""The schedule of rounds that an admin chose.

Revision: 0011
After: 0010
"""

import sqlalchemy as sa
from alembic import op

revision = '0011'
down_revision = '0010'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        'timetable',
        sa.Column('project_id', sa.String(), nullable=False),
        sa.Column('cron', sa.String(), nullable=False),
        sa.Column('timezone', sa.String(), nullable=False),
        sa.Column('chosen_by', sa.String(), nullable=False),
        sa.Column('chosen_at', sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint('project_id'),
    )


def downgrade() -> None:
    op.drop_table('timetable')
