"""Schedules and their fires."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "schedules",
        sa.Column("id", sa.Uuid(), server_default=sa.text("uuidv7()"), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("deployment_id", sa.Uuid(), nullable=False),
        sa.Column("cron", sa.Text(), nullable=False),
        sa.Column("zone", sa.Text(), nullable=False),
        sa.Column("catch_up", sa.Text(), nullable=False),
        sa.Column("catch_up_max", sa.Integer(), nullable=True),
        sa.Column("grace_s", sa.Integer(), nullable=True),
        sa.Column("overlap", sa.Text(), nullable=False),
        sa.Column("paused", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("looked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("next_fire_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.CheckConstraint("catch_up IN ('none', 'latest', 'all')", name=op.f("ck_schedules_catch_up")),
        sa.CheckConstraint("overlap IN ('skip', 'queue', 'cancel_old')", name=op.f("ck_schedules_overlap")),
        sa.CheckConstraint("(catch_up = 'all') = (catch_up_max IS NOT NULL)", name=op.f("ck_schedules_catch_up_all")),
        sa.CheckConstraint("catch_up_max BETWEEN 1 AND 100", name=op.f("ck_schedules_catch_up_max")),
        sa.CheckConstraint("grace_s > 0", name=op.f("ck_schedules_grace_s")),
        sa.CheckConstraint("NOT paused OR next_fire_at IS NULL", name=op.f("ck_schedules_paused")),
        sa.ForeignKeyConstraint(
            ["deployment_id"], ["deployments.id"], name=op.f("fk_schedules_deployment_id_deployments")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_schedules")),
        sa.UniqueConstraint("name", name=op.f("uq_schedules_name")),
    )
    op.create_index(op.f("ix_schedules_next_fire_at"), "schedules", ["next_fire_at"])
    op.create_index(op.f("ix_schedules_deployment_id_id"), "schedules", ["deployment_id", "id"])
    op.create_table(
        "fires",
        sa.Column("schedule_id", sa.Uuid(), nullable=False),
        sa.Column("fire_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("audit_id", sa.Uuid(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("manual", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.CheckConstraint(
            "outcome IN ('started', 'skipped-overlap', 'queued', 'missed')", name=op.f("ck_fires_outcome")
        ),
        sa.CheckConstraint("(outcome = 'started') = (audit_id IS NOT NULL)", name=op.f("ck_fires_audit_id")),
        sa.CheckConstraint("outcome = 'started' OR reason IS NOT NULL", name=op.f("ck_fires_reason")),
        sa.ForeignKeyConstraint(
            ["schedule_id"], ["schedules.id"], name=op.f("fk_fires_schedule_id_schedules"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("schedule_id", "fire_time", name=op.f("pk_fires")),
    )
    op.create_index(
        "ix_fires_waiting", "fires", ["schedule_id"], unique=True, postgresql_where=sa.text("outcome = 'queued'")
    )


def downgrade() -> None:
    op.drop_table("fires")
    op.drop_table("schedules")
