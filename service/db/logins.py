"""The login that API, workers and schedulers use: it can do what the service's role can, and cannot become more."""

import psycopg
from psycopg import errors as sqlstates
from psycopg import sql

from service.db.session import APP_ROLE, parse_database_url
from service.errors import Conflict, InvalidInput, Unavailable

_FIELD = "service_database_url"
_ATTRIBUTES = "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS"
_LOCK = 0x6C6F67696E  # "login"
# Only attributes that it has are taken away: to mention the others needs a superuser.
_EXISTING = """
    SELECT rolsuper OR rolname = current_user, array_remove(ARRAY[
        CASE WHEN rolcreatedb THEN 'CREATEDB' END,
        CASE WHEN rolcreaterole THEN 'CREATEROLE' END,
        CASE WHEN rolreplication THEN 'REPLICATION' END,
        CASE WHEN rolbypassrls THEN 'BYPASSRLS' END
    ], NULL)
    FROM pg_roles WHERE rolname = %(login)s
"""
_MOST_NAMED = 5

_MEMBERSHIPS = """
    WITH RECURSIVE reached (role) AS (
        SELECT oid FROM pg_roles WHERE rolname IN (%(login)s, %(app_role)s)
        UNION
        SELECT roleid FROM pg_auth_members JOIN reached ON member = role
    )
    SELECT 'role ' || quote_ident(rolname) FROM reached JOIN pg_roles ON oid = role
    WHERE rolname NOT IN (%(login)s, %(app_role)s)
    ORDER BY 1
"""
# Owned things and rights that were given to the login itself, in every database. Rights on a database are harmless:
# an administrator may want to give CONNECT to single logins.
_BELONGINGS = """
    SELECT DISTINCT CASE
        WHEN dbid IN (0, current_database.oid) THEN pg_describe_object(classid, objid, 0)
        ELSE 'something in database ' || quote_ident(others.datname)
    END
    FROM pg_shdepend
    JOIN pg_database current_database ON current_database.datname = current_database()
    LEFT JOIN pg_database others ON others.oid = dbid
    WHERE refclassid = 'pg_authid'::regclass
    AND refobjid = (SELECT oid FROM pg_roles WHERE rolname = %(login)s)
    AND (deptype = 'o' OR deptype = 'a' AND classid <> 'pg_database'::regclass)
    ORDER BY 1
"""


def admit_login(owner_url: str, service_url: str) -> None:
    """Make the login of `service_url`, or give it that URL's password, with the rights of the service's role alone.

    owner_url: the migrated database, with a login that may make roles.
    Raises InvalidInput for what is no URL of Postgres and where the login is not fit for it, Conflict where the owner
    may not make it, or Unavailable.
    """
    owner = parse_database_url(owner_url)
    service = parse_database_url(service_url, field=_FIELD)
    if not service.username or not service.password:
        raise InvalidInput(
            "SERVICE_DATABASE_URL does not contain a user and a password.",
            field=_FIELD,
            remedy="Write it like DATABASE_URL, with another user and a password.",
        )

    try:
        with psycopg.connect(owner.set(drivername="postgresql").render_as_string(hide_password=False)) as connection:
            _admit(connection, service.username, service.password)
    except sqlstates.InsufficientPrivilege as error:
        raise Conflict(
            "The database login is not allowed to create other logins.",
            field="database_url",
            remedy=f"Have an administrator run `CREATE ROLE {service.username} {_ATTRIBUTES} PASSWORD '...'` and "
            f"`GRANT {APP_ROLE} TO {service.username}`, and unset SERVICE_DATABASE_URL.",
        ) from error
    except psycopg.OperationalError as error:
        raise Unavailable("The database cannot be reached.", remedy="Check DATABASE_URL.") from error


def _admit(connection: psycopg.Connection, login: str, password: str) -> None:
    connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
    existing_login = connection.execute(_EXISTING, {"login": login}).fetchone()
    is_too_mighty, attributes = (False, []) if existing_login is None else existing_login
    if is_too_mighty:
        raise InvalidInput(
            "The login of SERVICE_DATABASE_URL owns the database, or is an administrator.",
            field=_FIELD,
            value=login,
            remedy="Give it a separate user.",
        )

    _refuse_more(connection, login)

    name = sql.Identifier(login)
    if existing_login is None:
        connection.execute(sql.SQL("CREATE ROLE {}").format(name))

    # What the server gets, and may log, is a verifier; nobody can log in with it.
    verifier = connection.pgconn.encrypt_password(password.encode(), login.encode(), b"scram-sha-256").decode()
    changes = sql.SQL(" ").join([sql.SQL("LOGIN"), *(sql.SQL(f"NO{attribute}") for attribute in attributes)])
    connection.execute(sql.SQL("ALTER ROLE {} {} PASSWORD {}").format(name, changes, sql.Literal(verifier)))

    grant = sql.SQL("GRANT {} TO {} WITH ADMIN FALSE, INHERIT TRUE, SET TRUE")
    connection.execute(grant.format(sql.Identifier(APP_ROLE), name))


def _refuse_more(connection: psycopg.Connection, login: str) -> None:
    """Raise InvalidInput for a login that has, or could take, any right but those of the service's role."""
    values = {"login": login, "app_role": APP_ROLE}
    memberships = [role for (role,) in connection.execute(_MEMBERSHIPS, values)]
    belongings = [belonging for (belonging,) in connection.execute(_BELONGINGS, values)]
    if not memberships and not belongings:
        return

    named = ", ".join([*memberships, *belongings][:_MOST_NAMED])
    raise InvalidInput(
        f"The login of SERVICE_DATABASE_URL has rights that the service must not have: {named}.",
        field=_FIELD,
        value=login,
        remedy="Give it a separate user, or have an administrator revoke these roles and rights and give what it owns "
        "to another login.",
    )
