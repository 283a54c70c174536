"""What is measured of the version that answers, and the alerts that follow.

Revision: 0007
After: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = '0007'
down_revision = '0006'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        'watchedversion',
        sa.Column('id', sa.String(), nullable=False),
        sa.Column('project_id', sa.String(), nullable=False),
        sa.Column('deployment_id', sa.String(), nullable=False),
        sa.Column('adapter_id', sa.String(), nullable=False),
        sa.Column('since', sa.Float(), nullable=False),
        sa.Column('reference_id', sa.String(), nullable=True),
        sa.Column('reference_until', sa.Float(), nullable=False),
        sa.Column('own', sa.Boolean(), nullable=False),
        sa.Column('read_until', sa.Float(), nullable=False),
        sa.Column('read_id', sa.String(), nullable=False),
        sa.Column('usual', sa.JSON(), nullable=True),
        sa.Column('measures', sa.JSON(), nullable=False),
        sa.Column('revision', sa.Integer(), nullable=False),
        sa.Column('updated_at', sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint('id'),
        sa.UniqueConstraint('project_id', 'deployment_id', name='uq_watched_deployment'),
    )
    op.create_index('ix_watched_since', 'watchedversion', ['project_id', 'since'], unique=False)
    op.create_table(
        'alert',
        sa.Column('id', sa.String(), nullable=False),
        sa.Column('project_id', sa.String(), nullable=False),
        sa.Column('watched_id', sa.String(), nullable=False),
        sa.Column('adapter_id', sa.String(), nullable=False),
        sa.Column('measure', sa.String(), nullable=False),
        sa.Column('direction', sa.String(), nullable=False),
        sa.Column('harmful', sa.Boolean(), nullable=False),
        sa.Column('at', sa.Float(), nullable=False),
        sa.Column('since', sa.Float(), nullable=False),
        sa.Column('evidence', sa.Float(), nullable=False),
        sa.Column('needed', sa.Float(), nullable=False),
        sa.Column('before', sa.JSON(), nullable=False),
        sa.Column('after', sa.JSON(), nullable=False),
        sa.Column('message', sa.String(), nullable=False),
        sa.Column('state', sa.String(), nullable=False),
        sa.Column('acknowledged_by', sa.String(), nullable=True),
        sa.Column('acknowledged_at', sa.Float(), nullable=True),
        sa.Column('resolved_at', sa.Float(), nullable=True),
        sa.Column('rolled_back_to', sa.String(), nullable=True),
        sa.Column('rollback', sa.String(), nullable=False),
        sa.Column('delivery', sa.String(), nullable=False),
        sa.Column('attempts', sa.Integer(), nullable=False),
        sa.Column('next_attempt_at', sa.Float(), nullable=True),
        sa.Column('delivered_at', sa.Float(), nullable=True),
        sa.Column('delivery_error', sa.String(), nullable=True),
        sa.CheckConstraint(
            "state IN ('open', 'acknowledged', 'resolved')", name='ck_alert_state'
        ),
        sa.CheckConstraint(
            "delivery IN ('none', 'due', 'delivered', 'failed')", name='ck_alert_delivery'
        ),
        sa.ForeignKeyConstraint(['watched_id'], ['watchedversion.id']),
        sa.PrimaryKeyConstraint('id'),
    )
    op.create_index(
        'uq_alert_open',
        'alert',
        ['project_id', 'adapter_id', 'measure'],
        unique=True,
        sqlite_where=sa.text("state = 'open'"),
        postgresql_where=sa.text("state = 'open'"),
    )
    op.create_index(
        'ix_alert_due',
        'alert',
        ['next_attempt_at'],
        unique=False,
        sqlite_where=sa.text("delivery = 'due'"),
        postgresql_where=sa.text("delivery = 'due'"),
    )
    op.create_index('ix_alert_state', 'alert', ['project_id', 'state', 'id'], unique=False)


def downgrade() -> None:
    op.drop_table('alert')
    op.drop_table('watchedversion')
