"""Storing and querying the neurons of a dissection."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict
from typing import Literal
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Row,
    Select,
    Text,
    and_,
    case,
    cast,
    column,
    func,
    insert,
    or_,
    select,
    tuple_,
)
from sqlalchemy.dialects.postgresql import JSONB, JSONPATH, aggregate_order_by
from sqlalchemy.orm import InstrumentedAttribute, Session

from service.db.columns import ColumnValues
from service.db.tables import LayerRow, NeuronRow
from service.domain.concepts import Concept
from service.domain.evidence import NO_CONCEPT, LayerNull, drop_absent_evidence
from service.domain.neurons import (
    WATCHED_IN_LISTS,
    EvidenceFigures,
    LabelledNeuron,
    LayerDissection,
    LayerSummary,
    ListedNeuron,
    Neuron,
    NeuronFilter,
    drop_absent_frames,
    drop_absent_places,
)
from service.domain.pages import Page, Position
from service.domain.verdicts import VerdictCounts

Sort = Literal["-score", "-z", "unit"]

_ROWS_PER_INSERT = 1_000
_NEURON = TypeAdapter(Neuron)
_FIGURES = TypeAdapter(EvidenceFigures)
_NULL = TypeAdapter(LayerNull)
_COUNTS = TypeAdapter(VerdictCounts)


def add_layer(
    session: Session,
    job_id: UUID,
    *,
    position: int,
    summary: LayerSummary,
    neurons: Sequence[Neuron],
    concepts: Sequence[Concept],
) -> None:
    """Store a layer's summary and all its neurons; the neurons' concept indices point into `concepts`."""
    layer = LayerRow(
        job_id=job_id,
        name=summary.layer,
        position=position,
        units=summary.units,
        dead_units=summary.dead_units,
        mean_top_score=summary.mean_top_score,
        threshold_met=summary.threshold_met,
        top_categories=[list(pair) for pair in summary.top_categories],
        significant=summary.significant,
        null=None if summary.null is None else asdict(summary.null),
        verdicts=None if summary.verdicts is None else asdict(summary.verdicts),
    )
    session.add(layer)
    session.flush()

    for start in range(0, len(neurons), _ROWS_PER_INSERT):
        chunk = neurons[start : start + _ROWS_PER_INSERT]
        session.execute(insert(NeuronRow), [_values(layer.id, neuron, concepts) for neuron in chunk])


def list_layers(session: Session, job_id: UUID) -> list[LayerSummary]:
    """The layers of a job, in the order of the dissection."""
    rows = session.scalars(select(LayerRow).where(LayerRow.job_id == job_id).order_by(LayerRow.position))
    return [
        LayerSummary(
            layer=row.name,
            units=row.units,
            dead_units=row.dead_units,
            mean_top_score=row.mean_top_score,
            threshold_met=row.threshold_met,
            top_categories=tuple((name, count) for name, count in row.top_categories),
            significant=row.significant,
            null=None if row.null is None else _NULL.validate_python(row.null),
            verdicts=None if row.verdicts is None else _COUNTS.validate_python(row.verdicts),
        )
        for row in rows
    ]


def read_layers(session: Session, job_id: UUID) -> Iterator[LayerDissection]:
    """Every layer of a job with all its neurons and what was resampled, in the order of the dissection."""
    for summary in list_layers(session, job_id):
        query = _neurons(job_id, summary.layer).add_columns(NeuronRow.resampled, NeuronRow.halves)
        rows = session.execute(query.order_by(NeuronRow.unit))
        yield LayerDissection(summary.layer, tuple(_neuron(row) for row in rows), summary.null)


def list_neurons(
    session: Session,
    job_id: UUID,
    layer: str,
    *,
    where: NeuronFilter,
    sort: Sort,
    limit: int,
    after: Position | None,
) -> Page[ListedNeuron]:
    """Neurons of one layer in brief, by unit or by descending top score or z (those without one last), page by page."""
    query = select(*LISTED).where(_in_layer(job_id, layer), *conditions_of(where)).limit(limit + 1)
    if sort == "unit":
        query = query.order_by(NeuronRow.unit)
    else:
        query = query.order_by(sorted_by(sort).desc().nulls_last(), NeuronRow.unit)
    if after is not None:
        query = query.where(_behind(after, sort))

    rows = session.execute(query).all()
    neurons = tuple(listed_neuron(layer, row) for row in rows[:limit])
    if len(rows) <= limit:
        return Page(neurons)

    last_row = rows[limit - 1]
    if sort == "unit":
        return Page(neurons, (last_row.unit,))
    return Page(neurons, (getattr(last_row, sort.removeprefix("-")), last_row.unit))


def find_neuron(session: Session, job_id: UUID, layer: str, unit: int) -> LabelledNeuron | None:
    """One neuron with everything that is known of it."""
    row = session.execute(_neurons(job_id, layer).where(NeuronRow.unit == unit)).first()
    return None if row is None else _labelled(layer, row)


def read_neurons(session: Session, job_id: UUID, places: Collection[tuple[str, int]]) -> list[LabelledNeuron]:
    """The neurons at these places, layer and unit, in the same order, with everything that is known of them."""
    query = select(LayerRow.name.label("layer"), *_COLUMNS).join(LayerRow, LayerRow.id == NeuronRow.layer_id)
    at_places = tuple_(LayerRow.name, NeuronRow.unit).in_(places)
    rows = session.execute(query.where(LayerRow.job_id == job_id, at_places))
    neurons = {(row.layer, row.unit): _labelled(row.layer, row) for row in rows}
    return [neurons[place] for place in places]


_COLUMNS = (
    NeuronRow.unit,
    NeuronRow.dead,
    NeuronRow.score,
    NeuronRow.z,
    NeuronRow.category,
    NeuronRow.broad_category,
    NeuronRow.activation,
    NeuronRow.concepts,
    NeuronRow.images,
    NeuronRow.evidence,
)


_RESPONSES = func.jsonb_array_elements(NeuronRow.evidence["watched"]).table_valued(column("value", JSONB))
_RESPONSE = _RESPONSES.c.value
_BY_STRENGTH = func.jsonb_agg(aggregate_order_by(_RESPONSE, _RESPONSE["z"].desc(), _RESPONSE["concept"]), type_=JSONB)
_STRONGEST = select(
    func.jsonb_path_query_array(
        func.coalesce(_BY_STRENGTH, cast([], JSONB)), cast(f"$[0 to {WATCHED_IN_LISTS - 1}]", JSONPATH)
    )
).scalar_subquery()

LISTED = (
    NeuronRow.unit,
    NeuronRow.dead,
    NeuronRow.concept,
    NeuronRow.category,
    NeuronRow.broad_category,
    NeuronRow.score,
    NeuronRow.z,
    NeuronRow.significant,
    # Most of a row are watched concepts, which would be sent and parsed for nothing. No evidence is JSON's null.
    case(
        (
            func.jsonb_typeof(NeuronRow.evidence) == "object",
            func.jsonb_set(
                NeuronRow.evidence.delete_path(["stability", "prediction_set"])
                .delete_path(["localisations"])
                .delete_path(["direction", "rivals"])
                .delete_path(["direction", "parts"])
                .delete_path(["direction", "decoys_ahead"]),
                cast(["watched"], ARRAY(Text)),
                _STRONGEST,
            ),
        ),
    ).label("figures"),
)
"""What lists show of a neuron: the columns that `listed_neuron` reads."""


def _neurons(job_id: UUID, layer: str) -> Select[*tuple[object, ...]]:
    return select(*_COLUMNS).where(_in_layer(job_id, layer))


def _in_layer(job_id: UUID, layer: str) -> ColumnElement[bool]:
    layer_id = select(LayerRow.id).where(LayerRow.job_id == job_id, LayerRow.name == layer).scalar_subquery()
    return NeuronRow.layer_id == layer_id


def conditions_of(where: NeuronFilter) -> list[ColumnElement[bool]]:
    """What a neuron's row has to fulfil."""
    conditions: list[ColumnElement[bool]] = [
        getattr(NeuronRow, name) == value
        for name in ("concept", "category", "broad_category", "dead", "significant")
        if (value := getattr(where, name)) is not None
    ]
    if where.min_score is not None:
        conditions.append(NeuronRow.score >= where.min_score)
    if where.verdicts is not None:
        conditions.append(NeuronRow.verdict.in_(where.verdicts))
    return conditions


def sorted_by(sort: Sort) -> InstrumentedAttribute[float | None]:
    """The column of a sort by figures."""
    return NeuronRow.z if sort == "-z" else NeuronRow.score


def _behind(after: Position, sort: Sort) -> ColumnElement[bool]:
    if sort == "unit":
        (unit,) = after
        return NeuronRow.unit > unit

    value, unit = after
    behind_unit = NeuronRow.unit > unit
    column = sorted_by(sort)
    if value is None:
        return and_(column.is_(None), behind_unit)
    return or_(column < value, and_(column == value, behind_unit), column.is_(None))


def _values(layer_id: UUID, neuron: Neuron, concepts: Sequence[Concept]) -> ColumnValues:
    label = None if neuron.label is None else concepts[neuron.label.concept]
    evidence = None if neuron.evidence is None else asdict(neuron.evidence)
    if evidence is not None:
        drop_absent_evidence(evidence)
    images = [asdict(image) for image in neuron.images]
    drop_absent_frames(images)
    drop_absent_places(images)
    significance = None if neuron.evidence is None else neuron.evidence.significance

    concept = None if neuron.dead else NO_CONCEPT
    if label is not None:
        concept = label.text

    return {
        "layer_id": layer_id,
        "unit": neuron.unit,
        "dead": neuron.dead,
        "concept": concept,
        "category": None if label is None else label.category,
        "broad_category": None if label is None else label.broad_category,
        "score": neuron.concepts[0].score if neuron.concepts else None,
        "z": None if significance is None else significance.z,
        "significant": neuron.significant,
        "verdict": None if neuron.verdict is None else neuron.verdict.verdict,
        "activation": asdict(neuron.activation),
        "concepts": [asdict(ranked) for ranked in neuron.concepts],
        "images": images,
        "resampled": None if evidence is None else list(evidence.pop("resampled")),
        "halves": None if evidence is None else list(evidence.pop("halves")),
        "evidence": evidence,
    }


def listed_neuron(layer: str, row: Row[*tuple[object, ...]]) -> ListedNeuron:
    """The neuron of a row with the columns LISTED."""
    return ListedNeuron(
        layer=layer,
        unit=row.unit,
        dead=row.dead,
        concept=row.concept,
        category=row.category,
        broad_category=row.broad_category,
        score=row.score,
        significant=row.significant,
        evidence=None if row.figures is None else _FIGURES.validate_python(row.figures),
    )


def _labelled(layer: str, row: Row[*tuple[object, ...]]) -> LabelledNeuron:
    return LabelledNeuron(layer, _neuron(row), row.category, row.broad_category)


def _neuron(row: Row[*tuple[object, ...]]) -> Neuron:
    stored = {name: getattr(row, name) for name in ("unit", "dead", "activation", "concepts", "images")}
    evidence = row.evidence
    if evidence is not None and "resampled" in row._fields:
        evidence = {**evidence, "resampled": row.resampled, "halves": row.halves}
    return _NEURON.validate_python({**stored, "evidence": evidence})
