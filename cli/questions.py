"""`mammodissect coverage | watch-list | compare`: ask a service what its dissections amount to."""

from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from cli.client import path_of
from cli.connection import KEY_FILE, URL, KeyFile, Url, connect

JobId = Annotated[str, typer.Argument(help="Id of a succeeded job.")]


def coverage(job: JobId, url: Url = URL, api_key_file: KeyFile = KEY_FILE) -> None:
    """Say which categories of concepts a network's neurons represent, and which essential concepts they do not."""
    found = connect(url, api_key_file).get(path_of("jobs", job, "coverage"))
    console = Console(markup=False)
    if found["refused"] is not None:
        console.print(f"Nothing is counted: {found['refused']}")
        return
    console.print(f"{found['significant']} of {found['tested']} tested neurons have a significant label.")
    table = Table("category", "concepts represented", "neurons", "by chance")
    for one in found["categories"]:
        share = f"{one['represented']} of {one['concepts']}"
        table.add_row(one["name"], share, str(one["neurons"]), f"{one['expected']:.1f}")
    console.print(table)
    missing = Table("essential concept", "why it has no neuron", "neurons in its category")
    for one in found["missing"]:
        missing.add_row(one["text"], one["reason"], str(one["category_neurons"]))
    console.print(f"{len(found['missing'])} of {found['must_have']} essential concepts have no neuron.")
    console.print(missing)


def watch_list(job: JobId, url: Url = URL, api_key_file: KeyFile = KEY_FILE) -> None:
    """Say which neurons respond to what should not drive a diagnosis."""
    found = connect(url, api_key_file).get(path_of("jobs", job, "watch-list"))
    console = Console(markup=False)
    if found["refused"] is not None:
        console.print(f"Nothing is watched: {found['refused']}")
        return
    console.print(
        f"{found['responding']} of {found['live']} live neurons respond to any of {found['watched']} watched concepts."
    )
    table = Table("watched concept", "neurons", "strongest", "z")
    for one in found["concepts"]:
        first = one["neurons"][0]
        table.add_row(one["text"], str(one["responding"]), f"{first['layer']} {first['unit']}", f"{first['z']:.1f}")
    console.print(table)


def compare(
    jobs: Annotated[list[str], typer.Argument(help="Ids of 2 to 8 succeeded jobs; the first is the reference.")],
    url: Url = URL,
    api_key_file: KeyFile = KEY_FILE,
) -> None:
    """Compare dissections: what the other networks gained and lost against the first."""
    comparison = connect(url, api_key_file).post("/comparisons", {"jobs": jobs})
    console = Console(markup=False)
    console.print(f"Comparison {comparison['id']}")
    for note in comparison["result"]["notes"]:
        console.print(note)
    console.print(changes_table(comparison["result"], [f"job {number}" for number in range(1, len(jobs) + 1)]))
    console.print("Neurons (gain, its 95 % interval). * beyond the noise of the exams.")


def changes_table(result: dict[str, Any], names: Sequence[str]) -> Table:
    """Neurons of each category in the named networks, gains and losses against the first, and how far they differ."""
    table = Table("category", *names)
    for row in result["network"]["categories"]["rows"]:
        cells = map(_change, row["neurons"][1:], row["changes"])
        table.add_row(row["name"], str(row["neurons"][0]), *cells)
    table.add_section()
    for name, measured in _measured(result["network"]):
        table.add_row(name, "", *map(_beside_noise, measured))
    return table


def _change(neurons: int, change: dict[str, Any]) -> str:
    interval = "" if change["low"] is None else f", {change['low']:+.0f} to {change['high']:+.0f}"
    return f"{neurons} ({change['gain']:+.0f}{interval}){_mark(change)}"


def _measured(scope: dict[str, Any]) -> list[tuple[str, list[dict[str, Any] | None]]]:
    return [
        ("divergence (bits)", scope["categories"]["divergence"]),
        ("concepts of one alone", scope["concepts"]),
        ("share of labels changed", [one and one["label"] for one in scope["churn"]]),
        ("change of meaning (1 - cosine)", [one and one["semantic"] for one in scope["churn"]]),
    ]


def _beside_noise(measured: dict[str, Any] | None) -> str:
    if measured is None or measured["value"] is None:
        return "-"
    noise = "" if measured["noise"] is None else f" (noise {measured['noise']:.3g})"
    return f"{measured['value']:.3g}{noise}{_mark(measured)}"


def _mark(found: dict[str, Any]) -> str:
    return " *" if found["exceeds_noise"] else ""
