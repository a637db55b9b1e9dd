"""Nothing lost: work items under leases, artifacts, a history per job, moves of status that the database refuses."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_JSONB = postgresql.JSONB(astext_type=sa.Text())
_MOMENT = sa.DateTime(timezone=True)
_OLD = "'queued', 'running', 'succeeded', 'failed', 'cancelled'"


def upgrade() -> None:
    _change_jobs()
    _refuse_illegal_moves()
    _add_work_items()
    op.create_table(
        "artifacts",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("created_at", _MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.Column("used_at", _MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_artifacts")),
    )
    op.create_index(op.f("ix_artifacts_used_at"), "artifacts", ["used_at"])
    op.create_table(
        "job_artifacts",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_job_artifacts_job_id_jobs"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["key"], ["artifacts.key"], name=op.f("fk_job_artifacts_key_artifacts"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", "key", name=op.f("pk_job_artifacts")),
    )
    op.create_index(op.f("ix_job_artifacts_key"), "job_artifacts", ["key"])
    op.create_table(
        "job_events",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("data", _JSONB, nullable=False),
        sa.Column("at", _MOMENT, server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_job_events_job_id_jobs"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job_events")),
    )
    op.create_index(op.f("ix_job_events_job_id_id"), "job_events", ["job_id", "id"])


def _change_jobs() -> None:
    op.add_column("jobs", sa.Column("replay_of", sa.Uuid(), nullable=True))
    op.create_foreign_key(op.f("fk_jobs_replay_of_jobs"), "jobs", "jobs", ["replay_of"], ["id"])
    # Jobs of before have no work items, so no worker of today can go on with them.
    op.execute("UPDATE jobs SET status = 'cancelled', finished_at = now() WHERE status IN ('queued', 'running')")
    op.execute(
        "UPDATE jobs SET options = options || "
        """'{"batch_size": 8, "shard_size": 256, "queue": "default", "priority": 0}'::jsonb"""
    )
    for column in ("cancel_requested", "progress", "heartbeat_at"):
        op.drop_column("jobs", column)
    op.drop_constraint(op.f("ck_jobs_status"), "jobs")
    op.create_check_constraint(op.f("ck_jobs_status"), "jobs", f"status IN ({_OLD}, 'dead')")


def _refuse_illegal_moves() -> None:
    op.execute(
        """
        CREATE FUNCTION refuse_illegal_job_move() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
          IF TG_OP = 'INSERT' THEN
            IF NEW.status <> 'queued' THEN
              RAISE EXCEPTION 'a job begins queued, not %', NEW.status USING ERRCODE = 'check_violation';
            END IF;
          ELSIF NEW.status <> OLD.status AND (OLD.status, NEW.status) NOT IN (
            ('queued', 'running'), ('queued', 'cancelled'),
            ('running', 'succeeded'), ('running', 'failed'), ('running', 'cancelled'), ('running', 'dead'),
            ('failed', 'queued'), ('dead', 'queued')
          ) THEN
            RAISE EXCEPTION 'a % job cannot become %', OLD.status, NEW.status USING ERRCODE = 'check_violation';
          END IF;
          RETURN NEW;
        END $$
        """
    )
    op.execute(
        "CREATE TRIGGER jobs_legal_moves BEFORE INSERT OR UPDATE OF status ON jobs "
        "FOR EACH ROW EXECUTE FUNCTION refuse_illegal_job_move()"
    )


def _add_work_items() -> None:
    op.create_table(
        "work_items",
        sa.Column("id", sa.Uuid(), server_default=sa.text("uuidv7()"), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("label", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), server_default=sa.text("'ready'"), nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("turn", sa.BigInteger(), nullable=False),
        sa.Column("attempt", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("fence", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("ready_at", _MOMENT, server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("lease_expires_at", _MOMENT, nullable=True),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("started_at", _MOMENT, nullable=True),
        sa.Column("updated_at", _MOMENT, nullable=True),
        sa.Column("done", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("result", _JSONB, nullable=True),
        sa.Column("problem", _JSONB, nullable=True),
        sa.CheckConstraint("status IN ('ready', 'leased', 'done', 'withdrawn')", name=op.f("ck_work_items_status")),
        sa.CheckConstraint("stage IN ('probe', 'score', 'store')", name=op.f("ck_work_items_stage")),
        sa.CheckConstraint(
            "status <> 'leased' OR (lease_expires_at IS NOT NULL AND fence > 0)", name=op.f("ck_work_items_lease")
        ),
        sa.CheckConstraint("(status = 'done') = (result IS NOT NULL)", name=op.f("ck_work_items_result")),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_work_items_job_id_jobs"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_work_items")),
        sa.UniqueConstraint("job_id", "stage", "position", name=op.f("uq_work_items_job_id_stage_position")),
    )
    op.create_index(
        "ix_work_items_ready",
        "work_items",
        [sa.literal_column("priority DESC"), "turn", "id"],
        postgresql_where=sa.text("status = 'ready'"),
    )
    op.create_index(
        "ix_work_items_leased", "work_items", ["lease_expires_at"], postgresql_where=sa.text("status = 'leased'")
    )
    op.create_index(
        "ix_work_items_turns",
        "work_items",
        ["queue", "turn"],
        postgresql_where=sa.text("status IN ('ready', 'leased')"),
    )


def downgrade() -> None:
    op.drop_table("job_events")
    op.drop_table("job_artifacts")
    op.drop_table("artifacts")
    op.drop_table("work_items")
    op.execute("DROP TRIGGER jobs_legal_moves ON jobs")
    op.execute("DROP FUNCTION refuse_illegal_job_move()")
    op.execute("UPDATE jobs SET status = 'failed', finished_at = now() WHERE status IN ('queued', 'running', 'dead')")
    op.drop_constraint(op.f("ck_jobs_status"), "jobs")
    op.create_check_constraint(op.f("ck_jobs_status"), "jobs", f"status IN ({_OLD})")
    op.add_column("jobs", sa.Column("heartbeat_at", _MOMENT, nullable=True))
    op.add_column("jobs", sa.Column("progress", _JSONB, server_default=sa.text("'{}'::jsonb"), nullable=False))
    op.add_column("jobs", sa.Column("cancel_requested", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.drop_constraint(op.f("fk_jobs_replay_of_jobs"), "jobs", type_="foreignkey")
    op.drop_column("jobs", "replay_of")
