"""How images reach a model, as the worker that opened it found."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0014"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("inspections", sa.Column("input", postgresql.JSONB(), nullable=True))


def downgrade() -> None:
    op.drop_column("inspections", "input")
