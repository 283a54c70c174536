"""Accounts of the people who use the console, their sessions, and who lately tried to sign in.

Revision: 0010
After: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = '0010'
down_revision = '0009'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        'account',
        sa.Column('id', sa.String(), nullable=False),
        sa.Column('project_id', sa.String(), nullable=False),
        sa.Column('name', sa.String(), nullable=False),
        sa.Column('role', sa.String(), nullable=False),
        sa.Column('password_hash', sa.String(), nullable=False),
        sa.Column('created_at', sa.Float(), nullable=False),
        sa.Column('removed_at', sa.Float(), nullable=True),
        sa.CheckConstraint(
            "role IN ('viewer', 'reviewer', 'operator', 'admin')", name='ck_account_role'
        ),
        sa.PrimaryKeyConstraint('id'),
    )
    op.create_index(
        'ix_account_name',
        'account',
        ['project_id', 'name'],
        unique=True,
        sqlite_where=sa.text('removed_at IS NULL'),
        postgresql_where=sa.text('removed_at IS NULL'),
    )
    op.create_table(
        'consolesession',
        sa.Column('id', sa.String(), nullable=False),
        sa.Column('project_id', sa.String(), nullable=False),
        sa.Column('account_id', sa.String(), nullable=False),
        sa.Column('sha256', sa.String(), nullable=False),
        sa.Column('created_at', sa.Float(), nullable=False),
        sa.Column('expires_at', sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(['account_id'], ['account.id']),
        sa.PrimaryKeyConstraint('id'),
        sa.UniqueConstraint('project_id', 'sha256', name='uq_session_hash'),
    )
    op.create_index('ix_consolesession_account_id', 'consolesession', ['account_id'], unique=False)
    op.create_table(
        'signinattempt',
        sa.Column('id', sa.String(), nullable=False),
        sa.Column('project_id', sa.String(), nullable=False),
        sa.Column('name_sha256', sa.String(), nullable=False),
        sa.Column('address', sa.String(), nullable=False),
        sa.Column('at', sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint('id'),
    )
    op.create_index('ix_attempt_at', 'signinattempt', ['project_id', 'at'], unique=False)


def downgrade() -> None:
    op.drop_index('ix_attempt_at', table_name='signinattempt')
    op.drop_table('signinattempt')
    op.drop_index('ix_consolesession_account_id', table_name='consolesession')
    op.drop_table('consolesession')
    op.drop_index('ix_account_name', table_name='account')
    op.drop_table('account')
