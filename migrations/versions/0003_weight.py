"""What each piece of feedback counts in the round that holds it.

Revision: 0003
After: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = '0003'
down_revision = '0002'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('receipt', sa.Column('weight', sa.Float(), nullable=True))
    op.add_column('receipt', sa.Column('probability', sa.Float(), nullable=True))


def downgrade() -> None:
    op.drop_column('receipt', 'probability')
    op.drop_column('receipt', 'weight')
