"""First light: resources, jobs, layers, neurons."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "resources",
        sa.Column("id", sa.Uuid(), server_default=sa.text("uuidv7()"), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("spec", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "kind IN ('model', 'dissector', 'probe_set', 'concept_set')", name=op.f("ck_resources_kind")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_resources")),
        sa.UniqueConstraint("kind", "name", "digest", name=op.f("uq_resources_kind_name_digest")),
        sa.UniqueConstraint("kind", "name", "version", name=op.f("uq_resources_kind_name_version")),
    )
    op.create_table(
        "inspections",
        sa.Column("model_id", sa.Uuid(), nullable=False),
        sa.Column("layers", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("problem", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("inspected_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["model_id"], ["resources.id"], name=op.f("fk_inspections_model_id_resources"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("model_id", name=op.f("pk_inspections")),
    )
    op.create_table(
        "jobs",
        sa.Column("id", sa.Uuid(), server_default=sa.text("uuidv7()"), nullable=False),
        sa.Column("target_id", sa.Uuid(), nullable=False),
        sa.Column("dissector_id", sa.Uuid(), nullable=False),
        sa.Column("probe_set_id", sa.Uuid(), nullable=False),
        sa.Column("concept_set_id", sa.Uuid(), nullable=False),
        sa.Column("options", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("status", sa.Text(), server_default=sa.text("'queued'"), nullable=False),
        sa.Column("cancel_requested", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column(
            "progress", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column("manifest", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("problem", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("idempotency_key", sa.Text(), nullable=True),
        sa.Column("request_digest", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("heartbeat_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "status IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')", name=op.f("ck_jobs_status")
        ),
        sa.ForeignKeyConstraint(["concept_set_id"], ["resources.id"], name=op.f("fk_jobs_concept_set_id_resources")),
        sa.ForeignKeyConstraint(["dissector_id"], ["resources.id"], name=op.f("fk_jobs_dissector_id_resources")),
        sa.ForeignKeyConstraint(["probe_set_id"], ["resources.id"], name=op.f("fk_jobs_probe_set_id_resources")),
        sa.ForeignKeyConstraint(["target_id"], ["resources.id"], name=op.f("fk_jobs_target_id_resources")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
        sa.UniqueConstraint("idempotency_key", name=op.f("uq_jobs_idempotency_key")),
    )
    op.create_index(op.f("ix_jobs_status_id"), "jobs", ["status", "id"], unique=False)
    op.create_index(op.f("ix_jobs_target_id_id"), "jobs", ["target_id", "id"], unique=False)
    op.create_table(
        "layers",
        sa.Column("id", sa.Uuid(), server_default=sa.text("uuidv7()"), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("units", sa.Integer(), nullable=False),
        sa.Column("dead_units", sa.Integer(), nullable=False),
        sa.Column("mean_top_score", sa.Double(), nullable=True),
        sa.Column("threshold_met", sa.Integer(), nullable=False),
        sa.Column("top_categories", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_layers_job_id_jobs"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_layers")),
        sa.UniqueConstraint("job_id", "name", name=op.f("uq_layers_job_id_name")),
    )
    op.create_table(
        "neurons",
        sa.Column("layer_id", sa.Uuid(), nullable=False),
        sa.Column("unit", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("dead", sa.Boolean(), nullable=False),
        sa.Column("concept", sa.Text(), nullable=True),
        sa.Column("category", sa.Text(), nullable=True),
        sa.Column("broad_category", sa.Text(), nullable=True),
        sa.Column("score", sa.Float(precision=53), nullable=True),
        sa.Column("activation", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("concepts", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("images", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.ForeignKeyConstraint(
            ["layer_id"], ["layers.id"], name=op.f("fk_neurons_layer_id_layers"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("layer_id", "unit", name=op.f("pk_neurons")),
    )
    op.create_index(op.f("ix_neurons_layer_id_concept"), "neurons", ["layer_id", "concept"], unique=False)
    op.create_index(
        "ix_neurons_layer_id_score",
        "neurons",
        ["layer_id", sa.literal_column("score DESC NULLS LAST"), "unit"],
        unique=False,
    )


def downgrade() -> None:
    op.drop_index("ix_neurons_layer_id_score", table_name="neurons")
    op.drop_index(op.f("ix_neurons_layer_id_concept"), table_name="neurons")
    op.drop_table("neurons")
    op.drop_table("layers")
    op.drop_index(op.f("ix_jobs_target_id_id"), table_name="jobs")
    op.drop_index(op.f("ix_jobs_status_id"), table_name="jobs")
    op.drop_table("jobs")
    op.drop_table("inspections")
    op.drop_table("resources")
