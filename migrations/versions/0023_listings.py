"""Workers list the images of probe sets whose rows are in headers alone; what they list is kept."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0018"
branch_labels = None
depends_on = None

_BEFORE = "'inspect', 'measure', 'fetch'"
_AFTER = f"{_BEFORE}, 'list'"
_CHECKS = "'check', 'tally'"


def upgrade() -> None:
    _allow(_AFTER)
    op.create_table(
        "image_listings",
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_image_listings")),
    )


def downgrade() -> None:
    op.drop_table("image_listings")
    op.execute("DELETE FROM work_items WHERE stage = 'list'")
    # Nothing refers to a set that was not listed, and the release before knows none.
    op.execute("DELETE FROM resources WHERE kind = 'probe_set' AND spec->'listing' = 'null'")
    _allow(_BEFORE)


def _allow(preparations: str) -> None:
    op.drop_constraint(op.f("ck_work_items_preparation"), "work_items")
    op.drop_constraint(op.f("ck_work_items_stage"), "work_items")
    op.create_check_constraint(
        op.f("ck_work_items_stage"), "work_items", f"stage IN ('probe', 'score', 'store', {preparations}, {_CHECKS})"
    )
    op.create_check_constraint(
        op.f("ck_work_items_preparation"), "work_items", f"(stage IN ({preparations})) = (resource_id IS NOT NULL)"
    )
