"""What is stated of registered things: their licence, and what they may be used for."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("resources", sa.Column("licence", sa.Text(), nullable=True))
    op.add_column("resources", sa.Column("allowed_purposes", postgresql.ARRAY(sa.Text()), nullable=True))


def downgrade() -> None:
    op.drop_column("resources", "allowed_purposes")
    op.drop_column("resources", "licence")
