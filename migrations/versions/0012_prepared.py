"""Workers open what the API must not: preparations are work items; image sizes and report pictures are kept."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_PREPARATIONS = "'inspect', 'measure'"


def upgrade() -> None:
    op.add_column("work_items", sa.Column("resource_id", sa.Uuid(), nullable=True))
    op.alter_column("work_items", "job_id", nullable=True)
    op.create_foreign_key(
        op.f("fk_work_items_resource_id_resources"),
        "work_items",
        "resources",
        ["resource_id"],
        ["id"],
        ondelete="CASCADE",
    )
    op.create_unique_constraint(op.f("uq_work_items_resource_id_stage"), "work_items", ["resource_id", "stage"])
    op.drop_constraint(op.f("ck_work_items_stage"), "work_items")
    op.create_check_constraint(
        op.f("ck_work_items_stage"), "work_items", f"stage IN ('probe', 'score', 'store', {_PREPARATIONS})"
    )
    op.create_check_constraint(op.f("ck_work_items_owner"), "work_items", "(job_id IS NULL) <> (resource_id IS NULL)")
    op.create_check_constraint(
        op.f("ck_work_items_preparation"),
        "work_items",
        f"(stage IN ({_PREPARATIONS})) = (resource_id IS NOT NULL)",
    )
    op.create_table(
        "image_sizes",
        sa.Column("probe_set", sa.Text(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("probe_set", name=op.f("pk_image_sizes")),
    )
    op.create_table(
        "report_pictures",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("row", sa.Integer(), nullable=False),
        sa.Column("box", postgresql.ARRAY(sa.Integer()), nullable=False),
        sa.Column("jpeg", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name=op.f("fk_report_pictures_job_id_jobs"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", "row", "box", name=op.f("pk_report_pictures")),
    )


def downgrade() -> None:
    op.drop_table("report_pictures")
    op.drop_table("image_sizes")
    op.execute("DELETE FROM work_items WHERE job_id IS NULL")
    # Nothing refers to a probe set that was not measured, and the release before measures it when it is registered.
    op.execute("DELETE FROM resources WHERE kind = 'probe_set' AND spec->'images' = 'null'")
    op.drop_constraint(op.f("ck_work_items_preparation"), "work_items")
    op.drop_constraint(op.f("ck_work_items_owner"), "work_items")
    op.drop_constraint(op.f("ck_work_items_stage"), "work_items")
    op.create_check_constraint(op.f("ck_work_items_stage"), "work_items", "stage IN ('probe', 'score', 'store')")
    op.drop_constraint(op.f("uq_work_items_resource_id_stage"), "work_items")
    op.drop_constraint(op.f("fk_work_items_resource_id_resources"), "work_items", type_="foreignkey")
    op.alter_column("work_items", "job_id", nullable=False)
    op.drop_column("work_items", "resource_id")
