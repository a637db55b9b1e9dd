"""Workers list the images of probe sets whose rows are in headers alone, and read texts that no job has read."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

_BEFORE = "'inspect', 'measure', 'fetch'"
_AFTER = f"{_BEFORE}, 'list', 'read'"
_OTHERS = "'probe', 'score', 'store', 'check', 'tally', 'outputs', 'ablate', 'conclude'"


def upgrade() -> None:
    _allow(_AFTER)
    op.create_table(
        "image_listings",
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_image_listings")),
    )
    op.create_table(
        "header_parts",
        sa.Column("probe_set_id", sa.Uuid(), nullable=False),
        sa.Column("part", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["probe_set_id"],
            ["resources.id"],
            name=op.f("fk_header_parts_probe_set_id_resources"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("probe_set_id", "part", name=op.f("pk_header_parts")),
    )
    op.create_table(
        "text_readings",
        sa.Column("concept_set_id", sa.Uuid(), nullable=False),
        sa.Column("dissector_id", sa.Uuid(), nullable=False),
        sa.Column("cut", postgresql.JSONB(), nullable=True),
        sa.Column("problem", postgresql.JSONB(), nullable=True),
        sa.Column("asked_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["concept_set_id"],
            ["resources.id"],
            name=op.f("fk_text_readings_concept_set_id_resources"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["dissector_id"], ["resources.id"], name=op.f("fk_text_readings_dissector_id_resources"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("concept_set_id", "dissector_id", name=op.f("pk_text_readings")),
    )


def downgrade() -> None:
    op.drop_table("text_readings")
    op.drop_table("header_parts")
    op.drop_table("image_listings")
    op.execute("DELETE FROM work_items WHERE stage IN ('list', 'read')")
    # Nothing refers to a set that was not listed, and the release before knows none.
    op.execute("DELETE FROM resources WHERE kind = 'probe_set' AND spec->'listing' = 'null'")
    _allow(_BEFORE)


def _allow(preparations: str) -> None:
    op.drop_constraint(op.f("ck_work_items_preparation"), "work_items")
    op.drop_constraint(op.f("ck_work_items_stage"), "work_items")
    op.create_check_constraint(op.f("ck_work_items_stage"), "work_items", f"stage IN ({_OTHERS}, {preparations})")
    op.create_check_constraint(
        op.f("ck_work_items_preparation"), "work_items", f"(stage IN ({preparations})) = (resource_id IS NOT NULL)"
    )
