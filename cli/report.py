"""`mammodissect report`: fetch a report from a service."""

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from cli.client import ServiceClient
from service.errors import InvalidInput


def report(
    out: Annotated[Path, typer.Option(help="Result file: .html, or .json for the same without pictures.")],
    job: Annotated[str | None, typer.Option(help="Id of a succeeded job.")] = None,
    comparison: Annotated[str | None, typer.Option(help="Instead of job: id of a comparison.")] = None,
    url: Annotated[str, typer.Option(help="Where the service is.")] = "http://127.0.0.1:8000",
    api_key_file: Annotated[Path, typer.Option(help="File that holds the API key.")] = Path(".stack/api-key"),
) -> None:
    """Fetch the report on a dissection or comparison: one HTML file that needs nothing else."""
    if (job is None) == (comparison is None):
        raise InvalidInput("Say which report is meant.", field="job", remedy="Give either --job or --comparison.")
    path = f"/comparisons/{comparison}/report" if job is None else f"/jobs/{job}/report"
    kind = out.suffix.removeprefix(".")
    if kind not in {"html", "json"}:
        raise InvalidInput(f"'{out.name}' names no format.", field="out", value=out, remedy="End it in .html or .json.")
    with closing(ServiceClient(url, _key(api_key_file))) as client:
        client.download(path, out, format=kind)
    typer.echo(f"Report written to {out}", err=True)


def _key(path: Path) -> str:
    try:
        return path.read_text("utf-8").strip()
    except OSError as error:
        raise InvalidInput(
            f"The API key cannot be read: {error.strerror}.",
            field="api_key_file",
            value=path,
            remedy="Name the file that holds it; `mammodissect up` keeps it in api-key of its data folder.",
        ) from None
