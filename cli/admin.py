"""`mammodissect admin`: what an operator does now and then."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from cli.documents import read_document, write_document
from service.errors import InvalidInput, SignatureMismatch
from service.exits import ExitStatus
from service.key_files import read_key_text

if TYPE_CHECKING:
    from service.config import Settings
    from service.db.session import Sessions
    from service.domain.trail import TrailHead

admin = typer.Typer(name="admin", help="Look after a running service.", no_args_is_help=True)

_MOST_BYTES = 16 << 20


@admin.command()
def gc(
    older_than_days: Annotated[
        float, typer.Option(min=0.05, help="Artifacts that were used since then are kept.")
    ] = 30.0,
    results_older_than_days: Annotated[
        float | None,
        typer.Option(min=1, help="Also delete dissections that ended longer ago and that nothing on record refers to."),
    ] = None,
) -> None:
    """Delete intermediate results that no job can need any more. Reads DATABASE_URL and ARTIFACTS_URL."""
    from service.config import read_settings
    from service.db.session import transaction
    from service.domain.digests import digest_of
    from service.domain.trail import COMMAND_LINE
    from service.storage import open_store
    from service.usecases.garbage import collect_garbage, forget_results
    from service.usecases.trail import record

    settings = read_settings()
    store = open_store(settings.artifacts_url)

    with _database(settings) as sessions:
        with transaction(sessions) as session:
            request = {"older_than_days": older_than_days, "results_older_than_days": results_older_than_days}
            digest = digest_of(request)
            record(session, actor=COMMAND_LINE, action="admin gc", subject="artifacts", request=digest)

        if results_older_than_days is not None:
            deleted = forget_results(sessions, older_than=timedelta(days=results_older_than_days))
            print(f"{deleted} dissections deleted")

        collected = collect_garbage(sessions, store, older_than=timedelta(days=older_than_days))

    print(f"{collected.artifacts} artifacts and {collected.orphans} files without a record deleted")


@admin.command()
def trail_head(
    output: Annotated[Path, typer.Option(help="File to write. Keep it where the database's administrators cannot.")],
) -> None:
    """Export the signed head of the trail. Reads DATABASE_URL and SIGNING_KEY."""
    from service.config import read_settings
    from service.db.session import transaction
    from service.signatures import SigningKey
    from service.usecases.trail import export_head

    settings = read_settings()
    if settings.signing_key_path is None:
        raise InvalidInput(
            "SIGNING_KEY is not set.",
            field="signing_key",
            remedy="Name the key's file; `mammodissect up` keeps it as signing-key.pem in its data folder.",
        )

    key = SigningKey.load(settings.signing_key_path)
    with _database(settings) as sessions, transaction(sessions) as session:
        document = export_head(session, key)

    write_document(output, document, field="output")
    print(f"Head of the trail, signed by key {key.public.key_id}, written to {output}")


@admin.command()
def verify_trail(
    head: Annotated[Path | None, typer.Option(help="Signed head that was exported earlier.")] = None,
    public_key: Annotated[
        Path | None, typer.Option(help="PEM file of the public key that signed it, from a copy that you keep.")
    ] = None,
) -> None:
    """Check every entry of the trail. Exits with 0 if it is whole, 1 if it was changed, 2 if it cannot be checked.

    Without a head, the check cannot detect entries that were cut off at the end. Reads DATABASE_URL.
    """
    from service.config import read_settings
    from service.db.session import transaction
    from service.usecases import trail

    try:
        signed = _signed_head(head, public_key)
    except SignatureMismatch as error:
        _tampered(f"The head file was changed: {error.detail}")

    with _database(read_settings()) as sessions, transaction(sessions) as session:
        check = trail.verify_trail(session, signed)

    if check.fault is not None:
        _tampered(f"Entry {check.fault.seq} is the first that was changed. {check.fault.detail}")
    print(f"The trail is whole: {check.entries} entries, the last with hash {check.hash}")
    if signed is None:
        print(
            "Without a signed head, the check cannot detect entries that were cut off at the end: give one with --head."
        )
    else:
        print(f"It contains the head of {signed.at}, which was signed at entry {signed.seq}.")


@contextmanager
def _database(settings: "Settings") -> Iterator["Sessions"]:
    from service.db.session import open_sessions

    sessions = open_sessions(settings.database_url, pool_size=1)
    try:
        yield sessions
    finally:
        sessions.kw["bind"].dispose()


def _signed_head(head: Path | None, public_key: Path | None) -> "TrailHead | None":
    from service.signatures import PublicKey
    from service.usecases.trail import read_head

    if head is None and public_key is None:
        return None
    if head is None or public_key is None:
        raise InvalidInput(
            "A head is checked with the public key that signed it.",
            field="head" if head is None else "public_key",
            remedy="Give both --head and --public-key.",
        )

    remedy = "Give the public key as GET /signing-key returned it."
    pem = read_key_text(public_key, what="public key", field="public_key", remedy=remedy)
    document = read_document(head, field="head", most=_MOST_BYTES)
    return read_head(document, PublicKey.from_pem(pem.encode()))


def _tampered(message: str) -> NoReturn:
    print(message)
    raise typer.Exit(ExitStatus.NO)
