"""The invented result tables of tests/golden (section F of its README) as dissections."""

import ast
import csv
import json
from collections import defaultdict
from pathlib import Path
from typing import Any, Literal

from service.concepts.categories import CategoryRow, with_categories
from service.domain.concepts import Concept, ConceptSet
from service.domain.layers import canonical_layer
from service.domain.neurons import ActivationSummary, Dissection, LayerDissection, Neuron, RankedConcept, TopImage

GOLDEN = Path(__file__).parents[1] / "golden"
Network = Literal["mammo", "general"]
NETWORKS: tuple[Network, ...] = ("mammo", "general")


def raw_table(network: Network) -> Path:
    return GOLDEN / f"F_invented_{network}_raw.csv"


def expected() -> dict[str, Any]:
    values: dict[str, Any] = json.loads((GOLDEN / "F_invented_expected.json").read_text())
    return values


def category_rows() -> list[CategoryRow]:
    table = expected()["category_table"]["rows"]
    return [CategoryRow(concept, column, sheet) for sheet, column, concepts in table for concept in concepts]


def concept_set() -> ConceptSet:
    """Every word of both tables, categorised; `Environmental_and_Natural` is the control group."""
    texts = {text for network in NETWORKS for row in _rows(network) for text in ast.literal_eval(row["description"])}
    plain = ConceptSet("invented", tuple(Concept(text) for text in sorted(texts)))
    return with_categories(plain, category_rows(), control={"Environmental_and_Natural"})


def dissection(network: Network, concepts: ConceptSet) -> Dissection:
    """The table as a dissection, similarities as the float64 of their printed decimals."""
    index = {text: number for number, text in enumerate(concepts.texts)}
    layers: dict[str, list[Neuron]] = defaultdict(list)
    for row in _rows(network):
        scores = map(float, row["similarity"].strip("[]").split())
        ranked = zip(ast.literal_eval(row["description"]), scores, strict=True)
        neuron = Neuron(
            unit=int(row["unit"]),
            dead=False,
            activation=ActivationSummary(0.5, 0.25, 0.0, 1.0),
            concepts=tuple(RankedConcept(index[text], text, score) for text, score in ranked),
            images=tuple(TopImage(f"i{number}", int(number) + 1, 1.0) for number in row["images"].strip("[]").split()),
        )
        layers[canonical_layer(row["layer"])].append(neuron)
    return Dissection(tuple(LayerDissection(name, tuple(units)) for name, units in layers.items()), 1_000, ())


def _rows(network: Network) -> list[dict[str, str]]:
    with raw_table(network).open(newline="") as file:
        return list(csv.DictReader(file))
