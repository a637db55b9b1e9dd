"""The images of a probe set are checked before any job, by work items that are the set's own."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

_STAGES = "'probe', 'score', 'store', 'inspect', 'measure', 'fetch'"
_CHECKS = "'check', 'tally'"


def upgrade() -> None:
    op.add_column("work_items", sa.Column("checked_set_id", sa.Uuid(), nullable=True))
    op.create_foreign_key(
        op.f("fk_work_items_checked_set_id_resources"),
        "work_items",
        "resources",
        ["checked_set_id"],
        ["id"],
        ondelete="CASCADE",
    )
    op.create_unique_constraint(
        op.f("uq_work_items_checked_set_id_stage_position"), "work_items", ["checked_set_id", "stage", "position"]
    )
    op.drop_constraint(op.f("ck_work_items_owner"), "work_items")
    op.create_check_constraint(
        op.f("ck_work_items_owner"), "work_items", "num_nonnulls(job_id, resource_id, checked_set_id) = 1"
    )
    op.create_check_constraint(
        op.f("ck_work_items_check"), "work_items", f"(stage IN ({_CHECKS})) = (checked_set_id IS NOT NULL)"
    )
    _allow(f"{_STAGES}, {_CHECKS}")
    op.create_table(
        "probe_set_checks",
        sa.Column("probe_set_id", sa.Uuid(), nullable=False),
        sa.Column("result", postgresql.JSONB(), nullable=False),
        sa.Column("checked_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["probe_set_id"],
            ["resources.id"],
            name=op.f("fk_probe_set_checks_probe_set_id_resources"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("probe_set_id", name=op.f("pk_probe_set_checks")),
    )


def downgrade() -> None:
    op.drop_table("probe_set_checks")
    op.execute("DELETE FROM work_items WHERE checked_set_id IS NOT NULL")
    # Jobs that wait for a check wait for nothing then.
    op.execute("UPDATE work_items SET ready_at = clock_timestamp() WHERE ready_at = 'infinity'")
    _allow(_STAGES)
    op.drop_constraint(op.f("ck_work_items_check"), "work_items")
    op.drop_constraint(op.f("ck_work_items_owner"), "work_items")
    op.create_check_constraint(op.f("ck_work_items_owner"), "work_items", "(job_id IS NULL) <> (resource_id IS NULL)")
    op.drop_constraint(op.f("uq_work_items_checked_set_id_stage_position"), "work_items")
    op.drop_constraint(op.f("fk_work_items_checked_set_id_resources"), "work_items", type_="foreignkey")
    op.drop_column("work_items", "checked_set_id")


def _allow(stages: str) -> None:
    op.drop_constraint(op.f("ck_work_items_stage"), "work_items")
    op.create_check_constraint(op.f("ck_work_items_stage"), "work_items", f"stage IN ({stages})")
