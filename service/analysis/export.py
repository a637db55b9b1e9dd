"""Writing a dissection to one file: the published CSV layout, tidy CSV, parquet or JSON."""

import csv
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Literal, TextIO

import numpy as np

from service.analysis.evidence_codec import encode_evidence
from service.domain.concepts import ConceptSet
from service.domain.evidence import NO_CONCEPT, drop_absent_evidence
from service.domain.layers import published_layer
from service.domain.neurons import Dissection, LayerDissection, Neuron, drop_absent_frames, drop_absent_places
from service.domain.reviews import ReviewedNeuron
from service.errors import InvalidInput
from service.files import written_whole

ExportFormat = Literal["published", "csv", "parquet", "json"]
TidyRow = dict[str, object]

PUBLISHED_COLUMNS = ("layer", "unit", "description", "similarity", "images")
TIDY_COLUMNS = (
    "layer",
    "unit",
    "dead",
    "label",
    "significant",
    "p",
    "q",
    "z",
    "stability",
    "verdict",
    "name",
    "level",
    "error",
    "explained",
    "rank",
    "concept",
    "score",
    "category",
    "broad_category",
    "mammographic",
    "activation_mean",
    "activation_std",
    "activation_minimum",
    "activation_maximum",
    "images",
    "where_finding",
    "pointing",
    "pointing_exchanged",
    "pointing_p",
    "iou",
    "iou_exchanged",
    "iou_p",
    "map_auroc",
    "map_auroc_exchanged",
    "map_auroc_p",
)
REVIEW_COLUMNS = ("review", "reviewed_name", "reviewers")
"""Behind the others where neurons of the job are reviewed."""

Reviews = Mapping[tuple[str, int], ReviewedNeuron]
"""By layer and unit."""

_NOT_REVIEWED: Reviews = MappingProxyType({})
_ROWS_PER_GROUP = 50_000


def write_export(
    dissection: Dissection,
    concept_set: ConceptSet,
    path: Path,
    format: ExportFormat,  # noqa: A002 - the caller's word
    reviews: Reviews = _NOT_REVIEWED,
) -> None:
    """Write the whole dissection to `path`, or nothing: a reader never sees half a file.

    `published`: one line a neuron in the layout of Mammo-CLIP Dissect: layer (as `blocks[2]`), unit, its concepts as a
    Python list, its scores and its top images as numpy prints them. As published, images are numbered from 0: by their
    manifest row less 1.
    `csv` and `parquet`: one line for each neuron and rank, a dead neuron one line without a concept.
    `json`: everything, the concept set included.
    reviews: what readers say, as far as whoever exports may see it; all formats but `published` have it where there is
    any.
    Raises InvalidInput for an unknown format and for a file that cannot be written.
    """
    if format not in _WRITERS:
        raise InvalidInput(
            f"There is no export format '{format}'.",
            field="format",
            value=format,
            remedy=f"Formats are {', '.join(_WRITERS)}.",
        )

    try:
        with written_whole(path) as unfinished:
            _WRITERS[format](dissection, concept_set, unfinished, reviews)
    except OSError as error:
        raise InvalidInput(
            f"The export cannot be written: {error.strerror}.",
            field="path",
            value=path,
            remedy="Check folder and rights.",
        ) from None


def tidy_rows(layer: LayerDissection, concept_set: ConceptSet, reviews: Reviews = _NOT_REVIEWED) -> Iterator[TidyRow]:
    """The lines of one layer, with TIDY_COLUMNS as keys, and REVIEW_COLUMNS if any; None is what does not exist.

    label, significant, p, q, z, stability, what the neuron is called (verdict, name, level, error, explained) and what
    is said of where it looks are the neuron's, so they are the same on all its lines. A neuron whose best concept is
    not significant has the label `no concept`. Images are given by their rows of the manifest.
    """
    for neuron in layer.neurons:
        head = {"layer": layer.layer, "unit": neuron.unit, "dead": neuron.dead, **_label_cells(neuron)}
        tail: TidyRow = {f"activation_{name}": value for name, value in asdict(neuron.activation).items()}
        tail["images"] = [image.row for image in neuron.images]
        tail |= _where_cells(neuron)
        if reviews:
            tail |= _review_cells(reviews.get((layer.layer, neuron.unit)))

        for rank, ranked in enumerate(neuron.concepts, start=1):
            concept = concept_set.concepts[ranked.concept]
            yield {
                **head,
                "rank": rank,
                "concept": ranked.text,
                "score": ranked.score,
                "category": concept.category,
                "broad_category": concept.broad_category,
                "mammographic": concept.mammographic,
                **tail,
            }

        if not neuron.concepts:
            yield {**dict.fromkeys(TIDY_COLUMNS), **head, **tail}


def _label_cells(neuron: Neuron) -> TidyRow:
    label = NO_CONCEPT if neuron.label is None else neuron.label.text
    significance = None if neuron.evidence is None else neuron.evidence.significance
    stability = None if neuron.evidence is None else neuron.evidence.stability

    return {
        "label": None if neuron.dead else label,
        "significant": neuron.significant,
        "p": None if significance is None else significance.p,
        "q": None if significance is None else significance.q,
        "z": None if significance is None else significance.z,
        "stability": None if stability is None else stability.label,
        **_name_cells(neuron),
    }


def _name_cells(neuron: Neuron) -> TidyRow:
    verdict = neuron.verdict
    direction = None if neuron.evidence is None else neuron.evidence.direction
    cells: TidyRow = {name: getattr(verdict, name, None) for name in ("name", "level", "error")}
    return {
        "verdict": None if verdict is None else verdict.verdict.value,
        **cells,
        "explained": None if direction is None else direction.explained,
    }


def _review_cells(reviewed: ReviewedNeuron | None) -> TidyRow:
    standing = None if reviewed is None else reviewed.standing
    return {
        "review": None if standing is None else standing.value,
        "reviewed_name": None if reviewed is None else reviewed.name,
        "reviewers": [] if reviewed is None else list(reviewed.readers),
    }


def _columns(reviews: Reviews) -> tuple[str, ...]:
    return (*TIDY_COLUMNS, *REVIEW_COLUMNS) if reviews else TIDY_COLUMNS


def _where_cells(neuron: Neuron) -> TidyRow:
    """Where the neuron looks: of the finding that its label means, or the first that was given."""
    localisations = () if neuron.evidence is None else neuron.evidence.localisations
    first = next(iter(localisations), None)
    figures = {
        "pointing": None if first is None else first.pointing,
        "iou": None if first is None else first.iou,
        "map_auroc": None if first is None else first.auroc,
    }

    cells: TidyRow = {"where_finding": None if first is None else first.finding}
    for name, figure in figures.items():
        cells[name] = None if figure is None else figure.value
        cells[f"{name}_exchanged"] = None if figure is None else figure.exchanged
        cells[f"{name}_p"] = None if figure is None else figure.p
    return cells


def _write_published(dissection: Dissection, _concept_set: ConceptSet, path: Path, _reviews: Reviews) -> None:
    with path.open("x", encoding="utf-8", newline="") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(PUBLISHED_COLUMNS)
        for layer in dissection.layers:
            name = published_layer(layer.layer)
            lines.writerows([name, *_published_cells(neuron)] for neuron in layer.neurons)


def _published_cells(neuron: Neuron) -> tuple[int, str, str, str]:
    return (
        neuron.unit,
        str([ranked.text for ranked in neuron.concepts]),
        _printed([ranked.score for ranked in neuron.concepts], np.float32),
        _printed([image.row - 1 for image in neuron.images], np.int64),
    )


def _printed(values: Sequence[float], dtype: type[np.generic]) -> str:
    """The values as numpy prints an array by default, whatever print options this process has."""
    return np.array2string(
        np.array(values, dtype=dtype),
        max_line_width=75,
        precision=8,
        suppress_small=False,
        threshold=sys.maxsize,
        sign="-",
        floatmode="maxprec",
    )


def _write_csv(dissection: Dissection, concept_set: ConceptSet, path: Path, reviews: Reviews) -> None:
    with path.open("x", encoding="utf-8", newline="") as file:
        lines = csv.DictWriter(file, _columns(reviews), lineterminator="\n")
        lines.writeheader()
        for layer in dissection.layers:
            lines.writerows(_csv_cells(row) for row in tidy_rows(layer, concept_set, reviews))


def _csv_cells(row: TidyRow) -> TidyRow:
    truths = {name: str(value).lower() for name, value in row.items() if isinstance(value, bool)}
    lists = {name: " ".join(map(str, value)) for name, value in row.items() if isinstance(value, list)}
    return {**row, **truths, **lists}


def _write_parquet(dissection: Dissection, concept_set: ConceptSet, path: Path, reviews: Reviews) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    types: dict[str, pa.DataType] = {
        **dict.fromkeys(TIDY_COLUMNS, pa.float64()),
        **dict.fromkeys(
            ("layer", "label", "verdict", "name", "level", "concept", "category", "broad_category", "where_finding"),
            pa.string(),
        ),
        **dict.fromkeys(("unit", "rank"), pa.int32()),
        **dict.fromkeys(("dead", "significant", "mammographic"), pa.bool_()),
        "images": pa.list_(pa.int64()),
    }
    if reviews:
        types |= {"review": pa.string(), "reviewed_name": pa.string(), "reviewers": pa.list_(pa.string())}
    schema = pa.schema(types.items(), metadata={"concept_set": concept_set.name, "concepts": concept_set.digest})

    with parquet.ParquetWriter(path, schema) as writer:
        for layer in dissection.layers:
            rows = tidy_rows(layer, concept_set, reviews)
            while chunk := list(islice(rows, _ROWS_PER_GROUP)):
                writer.write_table(pa.Table.from_pylist(chunk, schema=schema))


def _write_json(dissection: Dissection, concept_set: ConceptSet, path: Path, reviews: Reviews) -> None:
    head = {
        "concept_set": {
            "name": concept_set.name,
            "digest": concept_set.digest,
            "concepts": [concept.as_dict() for concept in concept_set.concepts],
        },
        "images_used": dissection.images_used,
        "rows_skipped": list(dissection.images_skipped),
        "evidence": encode_evidence(dissection.evidence),
    }

    # Written neuron by neuron, so that a large dissection need not be in memory a second time as JSON.
    with path.open("x", encoding="utf-8") as file:
        file.write(_json(head).removesuffix("}") + ', "layers": [')
        for number, layer in enumerate(dissection.layers):
            file.write(",\n" if number else "\n")
            _write_layer_json(layer, file, reviews)
        file.write("]}\n")


def _write_layer_json(layer: LayerDissection, file: TextIO, reviews: Reviews) -> None:
    file.write(f'{{"layer": {_json(layer.layer)}, "neurons": [')
    for number, neuron in enumerate(layer.neurons):
        file.write(",\n" if number else "\n")
        fields = asdict(neuron)
        drop_absent_frames(fields["images"])
        drop_absent_places(fields["images"])
        if fields["evidence"] is not None:
            drop_absent_evidence(fields["evidence"])
        if reviews:
            fields |= _review_cells(reviews.get((layer.layer, neuron.unit)))
        file.write(_json(fields))

    null = None if layer.null is None else asdict(layer.null)
    file.write(f'], "null": {_json(null)}}}')


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


_WRITERS: dict[str, Callable[[Dissection, ConceptSet, Path, Reviews], None]] = {
    "published": _write_published,
    "csv": _write_csv,
    "parquet": _write_parquet,
    "json": _write_json,
}
