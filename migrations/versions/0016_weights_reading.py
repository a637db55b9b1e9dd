"""How a model's weights were read is kept beside its layers."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("inspections", sa.Column("reading", postgresql.JSONB(), nullable=True))


def downgrade() -> None:
    op.drop_column("inspections", "reading")
