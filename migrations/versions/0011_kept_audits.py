"""Audits are a record: what one is of never changes, nothing once it has ended, and the service deletes none."""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_REFUSE = """
    CREATE OR REPLACE FUNCTION refuse_changed_verdict() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      IF (OLD.id, OLD.deployment_id, OLD.trigger, OLD.schedule_id, OLD.fire_time, OLD.target_id, OLD.candidate,
          OLD.policy_id, OLD.policy, OLD.baseline_id, OLD.created_at)
        IS DISTINCT FROM
         (NEW.id, NEW.deployment_id, NEW.trigger, NEW.schedule_id, NEW.fire_time, NEW.target_id, NEW.candidate,
          NEW.policy_id, NEW.policy, NEW.baseline_id, NEW.created_at)
      THEN
        RAISE EXCEPTION 'what an audit is of does not change' USING ERRCODE = 'check_violation';
      END IF;
      IF OLD.status <> 'running' AND
        (OLD.status, OLD.verdict, OLD.facts, OLD.outcomes, OLD.problem, OLD.job_id, OLD.finished_at)
        IS DISTINCT FROM
        (NEW.status, NEW.verdict, NEW.facts, NEW.outcomes, NEW.problem, NEW.job_id, NEW.finished_at)
      THEN
        RAISE EXCEPTION 'an audit that has ended does not change' USING ERRCODE = 'check_violation';
      END IF;
      IF OLD.acknowledgement IS NOT NULL AND OLD.acknowledgement IS DISTINCT FROM NEW.acknowledgement THEN
        RAISE EXCEPTION 'an acknowledgement does not change' USING ERRCODE = 'check_violation';
      END IF;
      RETURN NEW;
    END $$
"""
_REFUSED_BEFORE = """
    CREATE OR REPLACE FUNCTION refuse_changed_verdict() RETURNS trigger LANGUAGE plpgsql AS $$
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


def upgrade() -> None:
    op.execute(_REFUSE)
    op.execute("REVOKE DELETE ON audits FROM mammodissect_app")


def downgrade() -> None:
    op.execute("GRANT DELETE ON audits TO mammodissect_app")
    op.execute(_REFUSED_BEFORE)
