"""Models come from sources that workers fetch; what follows a registry waits for that, and tells it."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_BEFORE = "'inspect', 'measure'"
_AFTER = "'inspect', 'measure', 'fetch'"


def upgrade() -> None:
    _allow(_AFTER)
    op.create_table(
        "registry_followings",
        sa.Column("id", sa.Uuid(), server_default=sa.text("uuidv7()"), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("alias", sa.Text(), nullable=True),
        sa.Column("deployment_id", sa.Uuid(), nullable=False),
        sa.Column("target_id", sa.Uuid(), nullable=True),
        sa.Column("audit_id", sa.Uuid(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "status IN ('waiting', 'audited', 'told', 'dropped')", name=op.f("ck_registry_followings_status")
        ),
        sa.ForeignKeyConstraint(
            ["deployment_id"],
            ["deployments.id"],
            name=op.f("fk_registry_followings_deployment_id_deployments"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["target_id"], ["resources.id"], name=op.f("fk_registry_followings_target_id_resources"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["audit_id"], ["audits.id"], name=op.f("fk_registry_followings_audit_id_audits"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_registry_followings")),
    )
    op.create_index(
        "ix_registry_followings_open",
        "registry_followings",
        ["status", "next_at"],
        postgresql_where=sa.text("status IN ('waiting', 'audited')"),
    )
    op.create_index(op.f("ix_registry_followings_name_version"), "registry_followings", ["name", "version"])


def downgrade() -> None:
    op.drop_table("registry_followings")
    op.execute("DELETE FROM work_items WHERE stage = 'fetch'")
    # Nothing refers to a model that was not fetched, and the release before knows none.
    op.execute("DELETE FROM resources WHERE kind = 'model' AND spec->'sha256' = 'null'")
    _allow(_BEFORE)


def _allow(preparations: str) -> None:
    op.drop_constraint(op.f("ck_work_items_preparation"), "work_items")
    op.drop_constraint(op.f("ck_work_items_stage"), "work_items")
    op.create_check_constraint(
        op.f("ck_work_items_stage"), "work_items", f"stage IN ('probe', 'score', 'store', {preparations})"
    )
    op.create_check_constraint(
        op.f("ck_work_items_preparation"), "work_items", f"(stage IN ({preparations})) = (resource_id IS NOT NULL)"
    )
