"""`mammodissect check`: what the images of a manifest are, before any job and without any server."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console

from cli.progress import CHECKING, ProgressBars
from service.domain.jobs import Progress, Stage
from service.exits import ExitStatus

if TYPE_CHECKING:
    from service.domain.checks import SetCheck
    from service.domain.findings import FindingsEntry
    from service.domain.probes import ProbeSet

_ROWS_SHOWN = 10


def check(
    manifest: Annotated[Path, typer.Argument(help="The manifest of images, as docs/probe-sets.md describes it.")],
    on_unreadable: Annotated[
        Literal["fail", "skip"], typer.Option(help="What a job would do with an image that cannot be read.")
    ] = "fail",
    frames: Annotated[
        Literal["middle", "all", "projection"] | None, typer.Option(help="What is taken of images with several frames.")
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Write the report on the images to this HTML file.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON, as GET /probe-sets/{name}/check shows it.")
    ] = False,
) -> None:
    """Decode every image of a manifest once, and list by row and reason what is to be known before a dissection.

    Ends with status 1 where images cannot be read and are not skipped.
    """
    from datetime import UTC, datetime

    from service.probes.checking.whole import check_images
    from service.probes.grouping import grouped
    from service.probes.manifest import read_manifest
    from service.reports.probe_set import probe_set_html, report_probe_set

    listed = read_manifest(manifest, name=manifest.stem, on_unreadable=on_unreadable, frames=frames)
    probe_set = grouped(listed, None)
    images = len(probe_set.items)
    console = Console(stderr=True, markup=False)
    for note in probe_set.table_notes:
        console.print(f"About the manifest: {note}")
    with ProgressBars(console, CHECKING) as bars:
        result = check_images(probe_set, lambda done: bars(Progress(Stage.PROBE, done, images)))

    meanings = _meanings(probe_set)
    if report is not None:
        now = datetime.now(UTC)
        content = report_probe_set(
            manifest.name, result, on_unreadable=on_unreadable, checked_at=now, meanings=meanings
        )
        report.write_text(probe_set_html(content), "utf-8")
    if as_json:
        typer.echo(json.dumps(result, indent=1))
    else:
        _print(result, on_unreadable, meanings)
    if result["unreadable"] and on_unreadable == "fail":
        raise typer.Exit(ExitStatus.NO)


def _meanings(probe_set: "ProbeSet") -> "tuple[str, FindingsEntry] | None":
    """What the findings mean among the built-in concepts; None where the manifest names none."""
    from service.concepts.builtin import builtin_concept_set
    from service.concepts.findings import match_findings
    from service.domain.findings import count_findings, findings_entry
    from service.usecases.findings import VOCABULARY

    counts = count_findings(probe_set.items)
    if counts is None:
        return None
    concepts = builtin_concept_set(VOCABULARY)
    return VOCABULARY, findings_entry(match_findings(concepts, counts), concepts.texts)


def _print(result: "SetCheck", on_unreadable: str, meanings: "tuple[str, FindingsEntry] | None") -> None:
    from service.reports.probe_set import summary_of

    for sentence in summary_of(result, on_unreadable, meanings):
        typer.echo(sentence)
    for entry in result["reasons"]:
        typer.echo(f"\n{entry['reason']} ({entry['count']:,})")
        for row in entry["rows"][:_ROWS_SHOWN]:
            typer.echo(f"  row {row['row']}: {row['why']}")
        more = entry["count"] - len(entry["rows"][:_ROWS_SHOWN])
        if more > 0:
            typer.echo(f"  and {more:,} more: --json or --report names the first {len(entry['rows'])}")
