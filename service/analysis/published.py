"""Reading result files in the layouts that the published scripts write: Mammo-CLIP Dissect's, and CLIP-Dissect's.

Both have a line for each unit. Mammo-CLIP Dissect writes its best concepts as a Python list and their scores as numpy
prints them; CLIP-Dissect writes the best concept and its score alone.
"""

import itertools
import math
from collections.abc import Sequence
from pathlib import Path

from service.analysis.paper import BestConcept, NamedUnits
from service.domain.layers import canonical_layer
from service.errors import InvalidInput
from service.files import ANYWHERE, DataRoots
from service.tables.cells import NotReadable, listed
from service.tables.read import read_table
from service.tables.table import Row

_COLUMNS = ("layer", "unit", "description", "similarity")
_MOST_UNITS = 1_000_000
_LONGEST = 60
_REMEDY = "Give the file as the published scripts, or `mammodissect dissect --csv-layout published`, write it."


def read_published(path: Path, roots: DataRoots = ANYWHERE, *, network: str, field: str) -> tuple[NamedUnits, int]:
    """The units of a result file, and how many of its lines have no score, as those of dead units: they are left out.

    network: what the result calls it. field: what errors name. Scores are the float64 of the printed decimals.
    Raises InvalidInput naming line and column, also for a unit that occurs twice; FileOutOfReach.
    """
    units: dict[tuple[str, int], BestConcept] = {}
    without_score = 0

    with read_table(path, roots, field=field, error=InvalidInput, noun="result file", known=_COLUMNS) as table:
        missing = [name for name in _COLUMNS if name not in table.header]
        if missing:
            raise InvalidInput(
                f"The result file has no column {', '.join(missing)}; it has {', '.join(table.header[:10])}.",
                field=field,
                value=", ".join(missing),
                remedy=_REMEDY,
            )

        for number, row in table.rows:
            best = _best_concept(row, number, field)
            place = best.layer, best.unit
            if place in units:
                raise _wrong(number, "unit", "repeats a unit of an earlier row", field)
            if len(units) >= _MOST_UNITS:
                raise _wrong(number, "unit", f"is beyond the limit of {_MOST_UNITS:,} units", field)

            units[place] = best
            without_score += math.isnan(best.score)

    scored = tuple(unit for unit in units.values() if not math.isnan(unit.score))
    if not scored:
        raise InvalidInput("No unit of the result file has a score.", field=field, value=path.name, remedy=_REMEDY)
    return NamedUnits(network, scored), without_score


def read_result_files(
    paths: Sequence[Path], roots: DataRoots = ANYWHERE, *, field: str
) -> tuple[list[NamedUnits], list[str]]:
    """The networks of several result files, named after the files, and what is to be said of them.

    Raises what `read_published` raises.
    """
    networks = []
    notes = []
    for path in paths:
        network, without_score = read_published(path, roots, network=path.stem, field=field)
        networks.append(network)
        if without_score:
            notes.append(f"{without_score} units of {path.stem} have no score and are left out.")
    return networks, notes


def _best_concept(row: Row, number: int, field: str) -> BestConcept:
    layer = row.get("layer", "")
    if not layer:
        raise _wrong(number, "layer", "names no layer", field)

    unit = row.get("unit", "")
    if not (unit.isascii() and unit.isdigit() and len(unit) < 10):
        raise _wrong(number, "unit", f"has the unit '{unit[:_LONGEST]}', which is not a whole number from 0", field)

    concepts = _concepts(row.get("description", ""), number, field)
    scores = _scores(row.get("similarity", ""), number, field)
    if len(concepts) != len(scores):
        what = f"has {len(concepts)} concepts and {len(scores)} scores"
        raise _wrong(number, "similarity", what, field)
    if not all(before >= after for before, after in itertools.pairwise(scores) if not math.isnan(after)):
        raise _wrong(number, "similarity", "has scores that are not in order, the greatest first", field)

    return BestConcept(canonical_layer(layer), int(unit), concepts[0], scores[0])


def _concepts(text: str, number: int, field: str) -> tuple[str, ...]:
    try:
        concepts = listed(text)
    except NotReadable:
        raise _wrong(number, "description", "has a list of concepts that cannot be read", field) from None

    if concepts is None:  # CLIP-Dissect writes one as it is
        concepts = (text,)
    if not concepts or not all(concepts):
        raise _wrong(number, "description", "names no concept", field)
    return concepts


def _scores(text: str, number: int, field: str) -> list[float]:
    """The numbers in a text such as `[ 0.33984348 -0.08005124]` or `0.34`; CLIP-Dissect's may say `tensor(0.34)`."""
    bare = text.removeprefix("tensor(").removesuffix(")").strip().removeprefix("[").removesuffix("]")
    try:
        scores = [float(word) for word in bare.replace(",", " ").split()]
    except ValueError:
        scores = []

    if not scores or any(math.isinf(score) for score in scores):
        raise _wrong(number, "similarity", "has scores that are not finite numbers", field)
    return scores


def _wrong(number: int, column: str, what: str, field: str) -> InvalidInput:
    return InvalidInput(
        f"Row {number} of the result file {what}.", field=field, value=f"row {number}, {column}", remedy=_REMEDY
    )
