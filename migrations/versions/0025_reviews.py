"""Readers review labels; what they said stays, and goes only with its job."""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "reviews",
        sa.Column("id", sa.Uuid(), server_default=sa.text("uuidv7()"), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("layer_id", sa.Uuid(), nullable=False),
        sa.Column("unit", sa.Integer(), nullable=False),
        sa.Column("reader", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("decision", sa.Text(), nullable=False),
        sa.Column("stance", sa.Text(), nullable=True),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("name_in_set", sa.Boolean(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("blind", sa.Boolean(), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.CheckConstraint("decision IN ('accept', 'reject', 'rename', 'comment')", name=op.f("ck_reviews_decision")),
        sa.CheckConstraint("(decision = 'comment') = (stance IS NULL)", name=op.f("ck_reviews_stance")),
        sa.CheckConstraint("(decision = 'rename') = (name IS NOT NULL)", name=op.f("ck_reviews_name")),
        sa.CheckConstraint("(name IS NULL) = (name_in_set IS NULL)", name=op.f("ck_reviews_name_in_set")),
        sa.CheckConstraint("version >= 1", name=op.f("ck_reviews_version")),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_reviews_job_id_jobs"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["layer_id", "unit"],
            ["neurons.layer_id", "neurons.unit"],
            name=op.f("fk_reviews_layer_id_unit_neurons"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reviews")),
        sa.UniqueConstraint(
            "layer_id", "unit", "reader", "version", name=op.f("uq_reviews_layer_id_unit_reader_version")
        ),
    )
    op.create_index(op.f("ix_reviews_job_id_id"), "reviews", ["job_id", "id"])
    # Whatever deletes a job deletes its reviews with the rights of the tables' owner.
    op.execute("REVOKE UPDATE, DELETE ON reviews FROM mammodissect_app")


def downgrade() -> None:
    op.drop_table("reviews")
