"""What each piece of feedback counts in the round that holds it.

Revision: 0002
After: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = '0002'
down_revision = '0001'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('receipt', sa.Column('weight', sa.Float(), nullable=True))
    op.add_column('receipt', sa.Column('probability', sa.Float(), nullable=True))


def downgrade() -> None:
    op.drop_column('receipt', 'probability')
    op.drop_column('receipt', 'weight')
