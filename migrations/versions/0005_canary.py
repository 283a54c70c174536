"""How long an answer took, and what a second version beside the live one is there for.

Revision: 0005
After: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = '0005'
down_revision = '0004'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('exchange', sa.Column('seconds', sa.Float(), nullable=True))
    # As SQL: SQLite adds a column with its check, and no check afterwards.
    op.execute(
        "ALTER TABLE deployment ADD COLUMN mode VARCHAR DEFAULT 'canary' NOT NULL "
        "CONSTRAINT ck_deployment_mode CHECK (mode IN ('canary', 'ab'))"
    )


def downgrade() -> None:
    op.drop_column('deployment', 'mode')
    op.drop_column('exchange', 'seconds')
