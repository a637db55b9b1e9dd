"""Neurons by z over all layers; jobs by probe set and by time."""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_neurons_layer_id_z", "neurons", ["layer_id", sa.text("z DESC NULLS LAST"), "unit"])
    op.create_index(op.f("ix_jobs_probe_set_id_id"), "jobs", ["probe_set_id", "id"])
    op.create_index(op.f("ix_jobs_created_at"), "jobs", ["created_at"])


def downgrade() -> None:
    op.drop_index(op.f("ix_jobs_created_at"), "jobs")
    op.drop_index(op.f("ix_jobs_probe_set_id_id"), "jobs")
    op.drop_index("ix_neurons_layer_id_z", "neurons")
