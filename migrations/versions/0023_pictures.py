"""Pictures of probe images that workers draw when somebody asks for them, each with a work item of its own."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

_STAGES = (
    "'probe', 'score', 'store', 'inspect', 'measure', 'fetch', 'list', 'read', 'check', 'tally', "
    "'outputs', 'ablate', 'conclude'"
)
_PICTURES = "'draw'"
_OWNERS = "job_id, resource_id, checked_set_id, ablation_id"


def upgrade() -> None:
    op.create_table(
        "pictures",
        sa.Column("id", sa.Uuid(), server_default=sa.text("uuidv7()"), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("request", postgresql.JSONB(), nullable=False),
        sa.Column("request_digest", sa.Text(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=True),
        sa.Column("sha256", sa.Text(), nullable=True),
        sa.Column("size", sa.Integer(), nullable=True),
        sa.Column("problem", postgresql.JSONB(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("num_nonnulls(data, sha256, size) IN (0, 3)", name=op.f("ck_pictures_drawn")),
        sa.CheckConstraint("data IS NULL OR problem IS NULL", name=op.f("ck_pictures_problem")),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_pictures_job_id_jobs"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pictures")),
        sa.UniqueConstraint("job_id", "request_digest", name=op.f("uq_pictures_job_id_request_digest")),
    )
    op.create_index(op.f("ix_pictures_job_id_ended_at"), "pictures", ["job_id", "ended_at"])

    op.add_column("work_items", sa.Column("picture_id", sa.Uuid(), nullable=True))
    op.create_foreign_key(
        op.f("fk_work_items_picture_id_pictures"), "work_items", "pictures", ["picture_id"], ["id"], ondelete="CASCADE"
    )
    op.create_unique_constraint(op.f("uq_work_items_picture_id"), "work_items", ["picture_id"])
    _own(f"{_OWNERS}, picture_id")
    op.create_check_constraint(
        op.f("ck_work_items_picture"), "work_items", f"(stage IN ({_PICTURES})) = (picture_id IS NOT NULL)"
    )
    _allow(f"{_STAGES}, {_PICTURES}")


def downgrade() -> None:
    op.execute("DELETE FROM work_items WHERE picture_id IS NOT NULL")
    _allow(_STAGES)
    op.drop_constraint(op.f("ck_work_items_picture"), "work_items")
    _own(_OWNERS)
    op.drop_constraint(op.f("uq_work_items_picture_id"), "work_items", type_="unique")
    op.drop_constraint(op.f("fk_work_items_picture_id_pictures"), "work_items", type_="foreignkey")
    op.drop_column("work_items", "picture_id")
    op.drop_table("pictures")


def _own(columns: str) -> None:
    op.drop_constraint(op.f("ck_work_items_owner"), "work_items")
    op.create_check_constraint(op.f("ck_work_items_owner"), "work_items", f"num_nonnulls({columns}) = 1")


def _allow(stages: str) -> None:
    op.drop_constraint(op.f("ck_work_items_stage"), "work_items")
    op.create_check_constraint(op.f("ck_work_items_stage"), "work_items", f"stage IN ({stages})")
