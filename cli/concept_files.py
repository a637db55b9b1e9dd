"""The concept set that a command names: a built-in one, or a file, with the categories of another file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from service.domain.concepts import ConceptSet
from service.domain.specs import CategoriesSpec

HELP = "Name of a built-in set, or a .txt, .csv, .tsv, .json, .jsonl, .yaml, .parquet or .xlsx file."

CategoriesOption = Annotated[
    Path | None,
    typer.Option(help="Table of the concepts' categories: three columns, or a workbook with a sheet each."),
]
ControlOption = Annotated[
    list[str] | None, typer.Option(help="Broad category of everyday things in that table; repeat it for more.")
]


def read_concepts(
    name: str, categories: Path | None, control: Sequence[str] | None
) -> tuple[ConceptSet, CategoriesSpec | None]:
    """The concept set, and how the table of categories fits it. Raises InvalidConceptSet, NotFound, InvalidInput."""
    from service.concepts.builtin import builtin_concept_set
    from service.concepts.categories import categorised
    from service.concepts.parse import read_concept_set

    path = Path(name)
    concept_set = read_concept_set(path) if path.suffix else builtin_concept_set(name)
    return categorised(concept_set, categories, control=control or ())
