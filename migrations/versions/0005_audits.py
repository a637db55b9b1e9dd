"""Policies, deployments and audits."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_JSONB = postgresql.JSONB(astext_type=sa.Text())
_MOMENT = sa.DateTime(timezone=True)
_KINDS = "'model', 'dissector', 'probe_set', 'concept_set'"


def upgrade() -> None:
    _set_kinds(f"{_KINDS}, 'policy'")
    _add_deployments()
    _add_audits()
    _keep_verdicts()


def downgrade() -> None:
    for table in ("registry_versions", "audit_strata", "audits", "deployments"):
        op.drop_table(table)
    op.execute("DROP FUNCTION refuse_changed_verdict()")
    op.execute("DELETE FROM resources WHERE kind = 'policy'")
    _set_kinds(_KINDS)


def _set_kinds(kinds: str) -> None:
    op.drop_constraint(op.f("ck_resources_kind"), "resources")
    op.create_check_constraint(op.f("ck_resources_kind"), "resources", f"kind IN ({kinds})")


def _id(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.Uuid(), nullable=nullable)


def _foreign_key(table: str, column: str, other: str, ondelete: str | None = None) -> sa.ForeignKeyConstraint:
    name = op.f(f"fk_{table}_{column}_{other}")
    return sa.ForeignKeyConstraint([column], [f"{other}.id"], name=name, ondelete=ondelete)


def _add_deployments() -> None:
    op.create_table(
        "deployments",
        sa.Column("id", sa.Uuid(), server_default=sa.text("uuidv7()"), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        *map(_id, ("target_id", "dissector_id", "probe_set_id", "concept_set_id")),
        sa.Column("options", _JSONB, nullable=False),
        _id("policy_id"),
        _id("baseline_id", nullable=True),
        sa.Column("registered_model", sa.Text(), nullable=True),
        sa.Column("alert_budget", sa.Integer(), nullable=True),
        sa.Column("snooze", _JSONB, nullable=True),
        sa.Column("created_at", _MOMENT, server_default=sa.text("now()"), nullable=False),
        *(
            _foreign_key("deployments", column, "resources")
            for column in ("target_id", "dissector_id", "probe_set_id", "concept_set_id", "policy_id")
        ),
        _foreign_key("deployments", "baseline_id", "jobs"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deployments")),
        sa.UniqueConstraint("name", name=op.f("uq_deployments_name")),
    )
    op.create_index(op.f("ix_deployments_registered_model"), "deployments", ["registered_model"])


def _add_audits() -> None:
    op.create_table(
        "audits",
        sa.Column("id", sa.Uuid(), server_default=sa.text("uuidv7()"), nullable=False),
        _id("deployment_id"),
        sa.Column("trigger", sa.Text(), nullable=False),
        _id("schedule_id", nullable=True),
        sa.Column("fire_time", _MOMENT, nullable=True),
        _id("target_id"),
        sa.Column("candidate", sa.Boolean(), nullable=False),
        _id("policy_id"),
        sa.Column("policy", _JSONB, nullable=False),
        _id("baseline_id", nullable=True),
        _id("job_id", nullable=True),
        sa.Column("status", sa.Text(), server_default=sa.text("'running'"), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=True),
        sa.Column("facts", _JSONB, nullable=True),
        sa.Column("outcomes", _JSONB, nullable=True),
        sa.Column("problem", _JSONB, nullable=True),
        sa.Column("acknowledgement", _JSONB, nullable=True),
        sa.Column("created_at", _MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.Column("finished_at", _MOMENT, nullable=True),
        sa.CheckConstraint("status IN ('running', 'judged', 'error', 'cancelled')", name=op.f("ck_audits_status")),
        sa.CheckConstraint("(status = 'judged') = (verdict IS NOT NULL)", name=op.f("ck_audits_verdict")),
        _foreign_key("audits", "deployment_id", "deployments"),
        _foreign_key("audits", "target_id", "resources"),
        _foreign_key("audits", "policy_id", "resources"),
        _foreign_key("audits", "baseline_id", "jobs"),
        _foreign_key("audits", "job_id", "jobs"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audits")),
        sa.UniqueConstraint("job_id", name=op.f("uq_audits_job_id")),
    )
    op.create_index(op.f("ix_audits_deployment_id_id"), "audits", ["deployment_id", "id"])
    op.create_index(op.f("ix_audits_schedule_id"), "audits", ["schedule_id"])
    op.create_index("ix_audits_running", "audits", ["id"], postgresql_where=sa.text("status = 'running'"))
    op.create_table(
        "audit_strata",
        _id("audit_id"),
        sa.Column("stratum", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("exams", sa.Integer(), nullable=False),
        _id("job_id", nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        _foreign_key("audit_strata", "audit_id", "audits", "CASCADE"),
        _foreign_key("audit_strata", "job_id", "jobs"),
        sa.PrimaryKeyConstraint("audit_id", "stratum", "value", name=op.f("pk_audit_strata")),
    )
    op.create_table(
        "registry_versions",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", "version", name=op.f("pk_registry_versions")),
    )


def _keep_verdicts() -> None:
    op.execute(
        """
        CREATE FUNCTION refuse_changed_verdict() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
          IF OLD.status <> 'running' AND
            (OLD.status, OLD.verdict, OLD.facts, OLD.outcomes, OLD.policy, OLD.target_id, OLD.job_id, OLD.baseline_id)
            IS DISTINCT FROM
            (NEW.status, NEW.verdict, NEW.facts, NEW.outcomes, NEW.policy, NEW.target_id, NEW.job_id, NEW.baseline_id)
          THEN
            RAISE EXCEPTION 'an audit that has ended does not change' USING ERRCODE = 'check_violation';
          END IF;
          RETURN NEW;
        END $$
        """
    )
    op.execute(
        "CREATE TRIGGER audits_keep_verdict BEFORE UPDATE ON audits "
        "FOR EACH ROW EXECUTE FUNCTION refuse_changed_verdict()"
    )
