"""Ablations of jobs: units held at one value, and work items that are an ablation's own."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

_STAGES = "'probe', 'score', 'store', 'inspect', 'measure', 'fetch', 'check', 'tally'"
_ABLATIONS = "'outputs', 'ablate', 'conclude'"
_STATUSES = "'queued', 'running', 'succeeded', 'failed', 'cancelled'"


def upgrade() -> None:
    op.create_table(
        "ablations",
        sa.Column("id", sa.Uuid(), server_default=sa.text("uuidv7()"), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("request", postgresql.JSONB(), nullable=False),
        sa.Column("request_digest", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), server_default=sa.text("'queued'"), nullable=False),
        sa.Column("result", postgresql.JSONB(), nullable=True),
        sa.Column("problem", postgresql.JSONB(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(f"status IN ({_STATUSES})", name=op.f("ck_ablations_status")),
        sa.CheckConstraint("(status = 'succeeded') = (result IS NOT NULL)", name=op.f("ck_ablations_result")),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_ablations_job_id_jobs"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ablations")),
        sa.UniqueConstraint("job_id", "request_digest", name=op.f("uq_ablations_job_id_request_digest")),
    )
    op.create_index(op.f("ix_ablations_job_id_id"), "ablations", ["job_id", "id"])

    op.add_column("work_items", sa.Column("ablation_id", sa.Uuid(), nullable=True))
    op.create_foreign_key(
        op.f("fk_work_items_ablation_id_ablations"),
        "work_items",
        "ablations",
        ["ablation_id"],
        ["id"],
        ondelete="CASCADE",
    )
    op.create_unique_constraint(
        op.f("uq_work_items_ablation_id_stage_position"), "work_items", ["ablation_id", "stage", "position"]
    )
    _own("job_id, resource_id, checked_set_id, ablation_id")
    op.create_check_constraint(
        op.f("ck_work_items_ablation"), "work_items", f"(stage IN ({_ABLATIONS})) = (ablation_id IS NOT NULL)"
    )
    _allow(f"{_STAGES}, {_ABLATIONS}")


def downgrade() -> None:
    op.execute("DELETE FROM work_items WHERE ablation_id IS NOT NULL")
    _allow(_STAGES)
    op.drop_constraint(op.f("ck_work_items_ablation"), "work_items")
    _own("job_id, resource_id, checked_set_id")
    op.drop_constraint(op.f("uq_work_items_ablation_id_stage_position"), "work_items", type_="unique")
    op.drop_constraint(op.f("fk_work_items_ablation_id_ablations"), "work_items", type_="foreignkey")
    op.drop_column("work_items", "ablation_id")
    op.drop_table("ablations")


def _own(columns: str) -> None:
    op.drop_constraint(op.f("ck_work_items_owner"), "work_items")
    op.create_check_constraint(op.f("ck_work_items_owner"), "work_items", f"num_nonnulls({columns}) = 1")


def _allow(stages: str) -> None:
    op.drop_constraint(op.f("ck_work_items_stage"), "work_items")
    op.create_check_constraint(op.f("ck_work_items_stage"), "work_items", f"stage IN ({stages})")
