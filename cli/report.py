"""`mammodissect report`: fetch a report from a service."""

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from cli.client import path_of
from cli.connection import KeyFile, ProfileName, Url, connect
from service.errors import InvalidInput


def report(
    out: Annotated[Path, typer.Option(help="Report file: .html, or .json for the same without pictures.")],
    job: Annotated[str | None, typer.Option(help="Id of a succeeded job.")] = None,
    comparison: Annotated[str | None, typer.Option(help="Instead of job: id of a comparison.")] = None,
    url: Url = None,
    api_key_file: KeyFile = None,
    profile: ProfileName = None,
) -> None:
    """Fetch the report on a dissection or comparison: one HTML file that needs nothing else."""
    if (job is None) == (comparison is None):
        raise InvalidInput("Say which report is meant.", field="job", remedy="Give either --job or --comparison.")

    path = path_of("comparisons", comparison, "report") if job is None else path_of("jobs", job, "report")
    form = out.suffix.removeprefix(".")
    if form not in {"html", "json"}:
        raise InvalidInput(
            f"'{out.name}' does not end in a known format.", field="out", value=out, remedy="End it in .html or .json."
        )

    with closing(connect(url, api_key_file, profile)) as client:
        client.download(path, out, format=form)

    typer.echo(f"Report written to {out}", err=True)
