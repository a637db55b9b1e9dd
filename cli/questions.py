"""`mammodissect coverage | watch-list | compare`: ask a service what its dissections amount to."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from pydantic import TypeAdapter
from rich.console import Console
from rich.table import Table

from cli.client import path_of
from cli.connection import KeyFile, ProfileName, Url, connect
from service.domain.comparisons import Change, Comparison, Judged, Measured, Scope, beyond_noise
from service.domain.json_values import JsonObject

CHANGES_LEGEND = "Neurons (gain, its 95 % interval). * beyond the noise."

_COMPARISON = TypeAdapter(Comparison)

JobId = Annotated[str, typer.Argument(help="Id of a succeeded job.")]


def coverage(job: JobId, url: Url = None, api_key_file: KeyFile = None, profile: ProfileName = None) -> None:
    """Say which categories of concepts a network's neurons represent, and which essential concepts they do not."""
    answer = connect(url, api_key_file, profile).get(path_of("jobs", job, "coverage"))
    console = Console(markup=False)
    if answer["refused"] is not None:
        console.print(f"Nothing was counted: {answer['refused']}")
        return

    console.print(f"{answer['significant']} of {answer['tested']} tested neurons have a significant label.")
    if answer["named"] is not None:
        console.print(f"{answer['named']} are named; these alone count here.")

    expected = "wrong as estimated" if answer["counted"] == "named" else "by chance"
    table = Table("category", "concepts represented", "neurons", expected)
    for category in answer["categories"]:
        share = f"{category['represented']} of {category['concepts']}"
        table.add_row(category["name"], share, str(category["neurons"]), f"{category['expected']:.1f}")

    console.print(table)

    missing = Table("essential concept", "why it has no neuron", "neurons in its category")
    for concept in answer["missing"]:
        missing.add_row(concept["text"], _why(concept), str(concept["category_neurons"]))

    console.print(f"{len(answer['missing'])} of {answer['must_have']} essential concepts have no neuron.")
    console.print(missing)


def _why(concept: Mapping[str, Any]) -> str:
    """The reason, with the findings that may mean the concept."""
    findings = concept.get("findings")
    return f"{concept['reason']}: {', '.join(findings)}" if findings else str(concept["reason"])


def watch_list(job: JobId, url: Url = None, api_key_file: KeyFile = None, profile: ProfileName = None) -> None:
    """Say which neurons respond to what should not drive a diagnosis."""
    answer = connect(url, api_key_file, profile).get(path_of("jobs", job, "watch-list"))
    console = Console(markup=False)
    if answer["refused"] is not None:
        console.print(f"Nothing is watched: {answer['refused']}")
        return

    responding = f"{answer['responding']} of {answer['live']} live neurons"
    console.print(f"{responding} respond to any of {answer['watched']} watched concepts that could be looked for.")
    not_looked_for = sum(len(answer[reason]) for reason in ("unknown", "rare", "unseen"))
    if not_looked_for:
        console.print(f"{not_looked_for} could not be: no image is known to show them, or the dissector cannot tell.")

    table = Table("watched concept", "neurons", "strongest", "z")
    for concept in answer["concepts"]:
        strongest = concept["neurons"][0]
        neuron = f"{strongest['layer']} {strongest['unit']}"
        table.add_row(concept["text"], str(concept["responding"]), neuron, f"{strongest['z']:.1f}")

    console.print(table)


def compare(
    jobs: Annotated[list[str], typer.Argument(help="Ids of 2 to 8 succeeded jobs; the first is the reference.")],
    url: Url = None,
    api_key_file: KeyFile = None,
    profile: ProfileName = None,
) -> None:
    """Compare dissections: what the other networks gained and lost against the first."""
    comparison = connect(url, api_key_file, profile).post("/comparisons", {"jobs": jobs})
    result = read_comparison(comparison["result"])
    networks = [f"job {number}" for number in range(1, len(jobs) + 1)]

    console = Console(markup=False)
    console.print(f"Comparison {comparison['id']}")
    for note in result.notes:
        console.print(note)

    console.print(changes_table(result, networks))
    console.print(CHANGES_LEGEND)


def read_comparison(answer: JsonObject) -> Comparison:
    """What was found, from the service's answer."""
    return _COMPARISON.validate_python(answer)


def changes_table(result: Comparison, networks: Sequence[str]) -> Table:
    """Neurons of each category in the named networks, gains and losses against the first, and how far they differ.

    Broad categories come first, as in the report.
    """
    table = Table("category", *networks)
    compositions = ((result.network.broad_categories, " (broad)"), (result.network.categories, ""))
    for composition, suffix in compositions:
        for row in composition.rows:
            cells = map(_change, row.neurons[1:], row.changes)
            table.add_row(f"{row.name}{suffix}", str(row.neurons[0]), *cells)
        table.add_section()

    for name, figures in _measured(result.network):
        table.add_row(name, "", *map(_beside_noise, figures))

    return table


def _change(neurons: int, change: Change) -> str:
    interval = ""
    if change.low is not None and change.high is not None:
        interval = f", {change.low:+.0f} to {change.high:+.0f}"
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
