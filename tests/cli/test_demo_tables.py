"""The demo's tables, of answers as the service gives them."""

from typing import Any, cast

from rich.console import Console

from cli.client import ServiceClient
from cli.demo_tables import strongest_neurons

LAYER = {"layer": "blocks.0", "units": 12, "significant": None}
JOB = {"id": "1", "target": "general@1", "probe_set": "mammograms@1"}
REFUSED = "Only 2 exams: with fewer than 20 nothing is inferred."


class Answering:
    """A client that has one layer."""

    def __init__(self, neurons: list[dict[str, Any]], refused: str | None) -> None:
        self._layers = {"items": [LAYER], "judged_by": {"refused": refused}}
        self._neurons = {"items": neurons}

    def get(self, path: str, **asked: object) -> dict[str, Any]:
        if path == "/layers":
            return self._layers

        items = [neuron for neuron in self._neurons["items"] if asked.get("verdict") in (None, neuron["verdict"])]
        return {"items": items}


def shown(neurons: list[dict[str, Any]], refused: str | None) -> str:
    console = Console(width=120, record=True)
    console.print(strongest_neurons(cast("ServiceClient", Answering(neurons, refused)), JOB))
    return console.export_text()


NEURON = {
    "unit": 7,
    "score": 0.5,
    "name": None,
    "concept": "round mass",
    "category": "mass shape",
    "broad_category": "findings",
    "verdict": None,
}


def test_where_no_neuron_can_be_named_the_table_says_why() -> None:
    table = shown([NEURON], REFUSED)
    assert "(round mass)" in table
    assert f"No neuron has a verdict. {REFUSED}" in table


def test_a_neuron_without_a_name_is_not_shown_by_what_no_mammogram_shows() -> None:
    table = shown([{**NEURON, "concept": "kitchen sink", "broad_category": "non-medical"}], None)
    assert "kitchen sink" not in table


def test_a_neuron_stands_with_its_name() -> None:
    table = shown([{**NEURON, "name": "mass shape", "verdict": "named"}], None)
    assert "mass shape" in table
    assert "round mass" not in table
    assert "No neuron has a verdict" not in table
