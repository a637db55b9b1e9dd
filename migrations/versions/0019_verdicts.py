"""What neurons are called, beside whether their labels are significant."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("neurons", sa.Column("verdict", sa.Text(), nullable=True))
    op.create_index(op.f("ix_neurons_layer_id_verdict"), "neurons", ["layer_id", "verdict"])
    op.add_column("layers", sa.Column("verdicts", postgresql.JSONB(), nullable=True))


def downgrade() -> None:
    op.drop_column("layers", "verdicts")
    op.drop_index(op.f("ix_neurons_layer_id_verdict"), table_name="neurons")
    op.drop_column("neurons", "verdict")
