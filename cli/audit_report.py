"""`mammodissect audit-report`: fetch the report on an audit with its signature."""

from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated
from uuid import UUID

import typer

from cli.client import ServiceClient
from cli.connection import KeyFile, ProfileName, Url, connect
from service.domain.digests import digest_of_file
from service.errors import Conflict, InvalidInput

_TRIES = 3


def audit_report(
    audit: Annotated[UUID, typer.Argument(help="Id of an audit that has ended.")],
    output_dir: Annotated[Path, typer.Option(help="Folder for the files; created if it does not exist.")],
    signed: Annotated[
        bool, typer.Option("--signed/--unsigned", help="Without a signature, for a service that has no signing key.")
    ] = True,
    url: Url = None,
    api_key_file: KeyFile = None,
    profile: ProfileName = None,
) -> None:
    """Fetch the report on an audit: HTML to read, JSON to keep, and the detached signature of the JSON.

    All files are written, or none.
    """
    try:
        output_dir.mkdir(parents=True, exist_ok=True)
        unfinished = TemporaryDirectory(dir=output_dir, prefix=".unfinished-")
    except OSError as error:
        raise InvalidInput(
            f"The folder cannot be written: {error.strerror}.",
            field="output_dir",
            value=output_dir,
            remedy="Check the folder and its permissions.",
        ) from None

    with unfinished as folder, closing(connect(url, api_key_file, profile)) as client:
        for file in _fetch(client, audit, Path(folder), signed=signed):
            moved = file.replace(output_dir / file.name)
            typer.echo(f"Written: {moved}", err=True)


def _fetch(client: ServiceClient, audit: UUID, folder: Path, *, signed: bool) -> list[Path]:
    """An acknowledgement between two answers changes the report, so they are asked for again until they agree."""
    page, twin, signature = (folder / f"audit-{audit}.{end}" for end in ("html", "json", "signature.json"))
    for _ in range(_TRIES):
        if signed:
            client.download(f"/audits/{audit}/report/signature", signature)
        client.download(f"/audits/{audit}/report", twin, format="json")
        client.download(f"/audits/{audit}/report", page, format="html")

        files = [page, twin, signature] if signed else [page, twin]
        digest = digest_of_file(twin)
        if all(digest in file.read_text("utf-8") for file in files if file != twin):
            return files

    raise Conflict(
        f"The report on audit {audit} changes while it is being fetched.",
        field="audit",
        value=audit,
        remedy="Try again.",
    )
