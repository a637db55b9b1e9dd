"""Trail: an append-only log that the database chains, and a role for the service that cannot change it."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.exc import ProgrammingError

from service.errors import Conflict

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_DIGESTS = ("request", "before", "after")

# The role belongs to the cluster: another database of it may hold it already, or be making it at this moment.
_ROLE = """
    DO $$
    BEGIN
      IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'mammodissect_app') THEN
        CREATE ROLE mammodissect_app NOLOGIN;
      END IF;
    EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
    END $$
"""
_MEMBER = """
    DO $$
    BEGIN
      IF NOT pg_has_role(current_user, 'mammodissect_app', 'SET') THEN
        EXECUTE format('GRANT mammodissect_app TO %I WITH INHERIT FALSE, SET TRUE', current_user);
      END IF;
    END $$
"""
_GRANTS = """
    DO $$
    BEGIN
      EXECUTE format('GRANT USAGE ON SCHEMA %I TO mammodissect_app', current_schema());
      EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA %I TO mammodissect_app',
                     current_schema());
      EXECUTE format('GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA %I TO mammodissect_app', current_schema());
      EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA %I '
                     'GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO mammodissect_app', current_schema());
      EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA %I GRANT USAGE, SELECT ON SEQUENCES TO mammodissect_app',
                     current_schema());
    END $$
"""
_NO_GRANTS = """
    DO $$
    BEGIN
      EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA %I REVOKE ALL ON SEQUENCES FROM mammodissect_app',
                     current_schema());
      EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA %I REVOKE ALL ON TABLES FROM mammodissect_app',
                     current_schema());
      EXECUTE format('REVOKE ALL ON ALL SEQUENCES IN SCHEMA %I FROM mammodissect_app', current_schema());
      EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA %I FROM mammodissect_app', current_schema());
      EXECUTE format('REVOKE USAGE ON SCHEMA %I FROM mammodissect_app', current_schema());
    END $$
"""

# The lock makes writers take turns until they commit, so the head that is read is the last one and stays it. Statements
# of a volatile function each see what was committed before them. TG_RELID, because a name could mean a temporary table.
_CHAIN = """
    CREATE FUNCTION chain_trail() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
      head record;
      field text;
      message text := 'mammodissect-trail/1,';
    BEGIN
      PERFORM pg_advisory_xact_lock(hashtextextended('trail', 0));
      EXECUTE format('SELECT seq, hash FROM %s ORDER BY seq DESC LIMIT 1', TG_RELID::regclass) INTO head;
      NEW.seq := coalesce(head.seq, 0) + 1;
      NEW.at := clock_timestamp();
      NEW.previous_hash := coalesce(head.hash, repeat('0', 64));
      FOREACH field IN ARRAY ARRAY[
        NEW.seq::text, to_char(NEW.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        NEW.actor, NEW.action, NEW.subject, NEW.request, NEW.before, NEW.after, NEW.previous_hash
      ] LOOP
        message := message || coalesce(octet_length(convert_to(field, 'UTF8')) || ':' || field, '-') || ',';
      END LOOP;
      NEW.hash := encode(sha256(convert_to(message, 'UTF8')), 'hex');
      RETURN NEW;
    END $$
"""
_REFUSE = """
    CREATE FUNCTION refuse_change_of_trail() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      RAISE EXCEPTION 'the trail is only appended to, % is refused', TG_OP USING ERRCODE = 'insufficient_privilege';
    END $$
"""


def upgrade() -> None:
    op.create_table(
        "trail",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=True) for name in _DIGESTS),
        sa.Column("previous_hash", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        *(sa.CheckConstraint(f"{name} ~ '^[0-9a-f]{{64}}$'", name=op.f(f"ck_trail_{name}")) for name in _DIGESTS),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_trail")),
    )
    op.execute(_CHAIN)
    op.execute("CREATE TRIGGER trail_chain BEFORE INSERT ON trail FOR EACH ROW EXECUTE FUNCTION chain_trail()")
    op.execute(_REFUSE)
    op.execute(
        "CREATE TRIGGER trail_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON trail "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_trail()"
    )
    # Whatever session_replication_role says.
    op.execute("ALTER TABLE trail ENABLE ALWAYS TRIGGER trail_append_only")
    _make_role()
    op.execute(_GRANTS)
    op.execute("REVOKE ALL ON trail FROM mammodissect_app")
    op.execute("GRANT SELECT, INSERT ON trail TO mammodissect_app")
    op.execute("REVOKE INSERT, UPDATE, DELETE ON alembic_version FROM mammodissect_app")


def _make_role() -> None:
    connection = op.get_bind()
    try:
        with connection.begin_nested():
            connection.execute(sa.text(_ROLE))
            connection.execute(sa.text(_MEMBER))
    except ProgrammingError as error:
        if getattr(error.orig, "sqlstate", None) != "42501":
            raise
        login = connection.scalar(sa.text("SELECT current_user"))
        raise Conflict(
            "The database's login may not make the role mammodissect_app, or may not take it.",
            field="database_url",
            remedy="Have an administrator run `CREATE ROLE mammodissect_app NOLOGIN` (once per cluster) and "
            f"`GRANT mammodissect_app TO {login}`, then migrate again.",
        ) from error


def downgrade() -> None:
    op.drop_table("trail")
    op.execute("DROP FUNCTION chain_trail()")
    op.execute("DROP FUNCTION refuse_change_of_trail()")
    # The role stays: other databases of the cluster may use it.
    op.execute(_NO_GRANTS)
