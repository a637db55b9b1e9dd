"""`mammodissect coverage | watch-list | compare`: ask a service what its dissections amount to."""

from collections.abc import Sequence
from typing import Annotated, Any

import typer
from pydantic import TypeAdapter
from rich.console import Console
from rich.table import Table

from cli.client import path_of
from cli.connection import KEY_FILE, URL, KeyFile, Url, connect
from service.domain.comparisons import Change, Comparison, Judged, Measured, Scope, beyond_noise

CHANGES_LEGEND = "Neurons (gain, its 95 % interval). * beyond the noise of the exams."

_COMPARISON = TypeAdapter(Comparison)

JobId = Annotated[str, typer.Argument(help="Id of a succeeded job.")]


def coverage(job: JobId, url: Url = URL, api_key_file: KeyFile = KEY_FILE) -> None:
    """Say which categories of concepts a network's neurons represent, and which essential concepts they do not."""
    found = connect(url, api_key_file).get(path_of("jobs", job, "coverage"))
    console = Console(markup=False)
    if found["refused"] is not None:
        console.print(f"Nothing was counted: {found['refused']}")
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
    result = read_comparison(comparison["result"])
    console = Console(markup=False)
    console.print(f"Comparison {comparison['id']}")
    for note in result.notes:
        console.print(note)
    console.print(changes_table(result, [f"job {number}" for number in range(1, len(jobs) + 1)]))
    console.print(CHANGES_LEGEND)


def read_comparison(answer: dict[str, Any]) -> Comparison:
    """What was found, from the service's answer."""
    return _COMPARISON.validate_python(answer)


def changes_table(result: Comparison, names: Sequence[str]) -> Table:
    """Neurons of each category in the named networks, gains and losses against the first, and how far they differ.

    Broad categories come first, as in the report.
    """
    table = Table("category", *names)
    for composition, kind in ((result.network.broad_categories, " (broad)"), (result.network.categories, "")):
        for row in composition.rows:
            cells = map(_change, row.neurons[1:], row.changes)
            table.add_row(f"{row.name}{kind}", str(row.neurons[0]), *cells)
        table.add_section()
    for name, figures in _measured(result.network):
        table.add_row(name, "", *map(_beside_noise, figures))
    return table


def _change(neurons: int, change: Change) -> str:
    interval = "" if change.low is None or change.high is None else f", {change.low:+.0f} to {change.high:+.0f}"
    return f"{neurons} ({change.gain:+.0f}{interval}){_mark(change)}"


def _measured(scope: Scope) -> list[tuple[str, list[Measured | None]]]:
    return [
        ("divergence (bits)", list(scope.categories.divergence)),
        ("concepts in one network only", list(scope.concepts)),
        ("share of labels changed", [None if churn is None else churn.label for churn in scope.churn]),
        ("change of meaning (1 - cosine)", [None if churn is None else churn.semantic for churn in scope.churn]),
    ]


def _beside_noise(figure: Measured | None) -> str:
    if figure is None or figure.value is None:
        return "-"
    noise = "" if figure.noise is None else f" (noise {figure.noise:.3g})"
    return f"{figure.value:.3g}{noise}{_mark(figure)}"


def _mark(figure: Judged) -> str:
    return " *" if beyond_noise(figure) else ""
