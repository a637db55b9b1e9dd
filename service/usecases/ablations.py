"""Ask for ablations of a job, find, list and cancel them."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from service.db import ablations as queries
from service.db.jobs import parts_of
from service.db.session import on_commit
from service.db.work import next_turn
from service.domain.ablations import (
    MOST_EACH,
    Ablation,
    AblationRequest,
    AblationStage,
    AblationStatus,
    Dependence,
    LayerUnits,
    Replacement,
    UnitChoice,
    check_can_be_asked,
    latents_are_beside,
)
from service.domain.autoencoders import latents_of
from service.domain.digests import digest_of
from service.domain.layers import canonical_layer, unknown_layer
from service.domain.pages import Page, Position
from service.domain.resources import Resource
from service.domain.specs import model_spec
from service.errors import Conflict, InvalidInput, NotFound
from service.ports import JobQueue
from service.usecases.evidence import read_watch_list
from service.usecases.jobs import choose_job, find_job
from service.usecases.neurons import list_layers
from service.usecases.trail import annotate
from service.usecases.wake import wake_worker

_UNITS_NAMED = 5
_GOES_ON = (AblationStatus.FAILED, AblationStatus.CANCELLED)


@dataclass(frozen=True, slots=True)
class AblationSubmission:
    """An ablation as posted."""

    choice: UnitChoice
    value: Replacement = "mean"
    each: bool = False


def submit_ablation(
    session: Session,
    queue: JobQueue | None,
    job_id: UUID,
    submission: AblationSubmission,
    *,
    goes_on: bool = True,
) -> Ablation:
    """Have workers hold units of a succeeded job, or find the ablation that was asked for before.

    One that failed or was cancelled goes on where it stopped, unless `goes_on` is False. queue: wakes a worker; None
    where the scheduler does.
    Raises NotFound, Conflict for a job without a result, NoOutputs for targets that are no network that runs here,
    UnknownLayer, and InvalidInput for units that cannot be held or are none.
    """
    choose_job(session, job_id=job_id, model=None)
    target = parts_of(session, job_id).target
    check_can_be_asked(model_spec(target)["architecture"])
    request = _resolve(session, job_id, target, submission)

    ablation_id = queries.add_ablation(session, job_id, request)
    turn = next_turn(session, find_job(session, job_id).request.queue)
    if ablation_id is not None:
        queries.add_shards(session, ablation_id, job_id, AblationStage.OUTPUTS, turn=turn)
        annotate(session, after=_digest(AblationStatus.QUEUED))
        _wake(session, queue, ablation_id)
        return find_ablation(session, job_id, ablation_id)

    known = queries.find_ablation_of(session, job_id, request)
    assert known is not None  # noqa: S101 - ablations go with their jobs alone
    _, status = queries.lock_ablation(session, known)
    if goes_on and status in _GOES_ON:
        queries.restore_ablation_items(session, known, turn=turn)
        queries.move_ablation(session, known, AblationStatus.QUEUED)
        annotate(session, before=_digest(status), after=_digest(AblationStatus.QUEUED))
        _wake(session, queue, known)
    return find_ablation(session, job_id, known)


def find_ablation(session: Session, job_id: UUID, ablation_id: UUID) -> Ablation:
    """An ablation of a job as it stands now, with its result. Raises NotFound."""
    find_job(session, job_id)
    ablation = queries.get_ablation(session, ablation_id)
    if ablation is None or ablation.job != job_id:
        raise NotFound(
            f"Job {job_id} has no ablation {ablation_id}.",
            field="ablation",
            value=ablation_id,
            remedy=f"List them with GET /jobs/{job_id}/ablations.",
        )
    return ablation


def list_ablations(session: Session, job_id: UUID, *, limit: int, after: Position | None) -> Page[Ablation]:
    """A job's ablations, newest first, without their results. Raises NotFound."""
    find_job(session, job_id)
    return queries.list_ablations(session, job_id, limit=limit, after=after)


def cancel_ablation(session: Session, job_id: UUID, ablation_id: UUID) -> Ablation:
    """End an ablation now. Raises NotFound, and Conflict where it has ended otherwise."""
    find_ablation(session, job_id, ablation_id)
    _, status = queries.lock_ablation(session, ablation_id)
    if status is not AblationStatus.CANCELLED:
        if status not in queries.OPEN:
            raise Conflict(f"Ablation {ablation_id} has ended: {status}.", field="ablation", value=ablation_id)
        queries.withdraw_ablation_items(session, ablation_id)
        queries.move_ablation(session, ablation_id, AblationStatus.CANCELLED)
        annotate(session, before=_digest(status), after=_digest(AblationStatus.CANCELLED))
    return find_ablation(session, job_id, ablation_id)


def dependences_of(session: Session, job_id: UUID) -> dict[tuple[str, int], Dependence]:
    """How much the outputs depend on each unit that an ablation of the job took by itself, by layer and unit.

    The newest ablation counts, those that held it at its mean before all others.
    """
    dependences: dict[tuple[str, int], Dependence] = {}
    ablations = queries.results_of(session, job_id)
    for ablation in sorted(ablations, key=lambda ablation: ablation.request.value != "mean"):
        assert ablation.result is not None  # noqa: S101 - they have succeeded
        for unit in ablation.result.units:
            dependence = Dependence(ablation.id, unit.layer, unit.unit, ablation.request.value, unit.effect.most)
            dependences.setdefault((unit.layer, unit.unit), dependence)
    return dependences


def newest_result(session: Session, job_id: UUID) -> datetime | None:
    """When the last of a job's ablations has succeeded; None where none has. `dependences_of` follows from those."""
    return queries.newest_result(session, job_id)


def _resolve(session: Session, job_id: UUID, target: Resource, submission: AblationSubmission) -> AblationRequest:
    choice = submission.choice
    units_of_layer = {layer.layer: layer.units for layer in list_layers(session, job_id)}
    layer = None if choice.layer is None else _known_layer(choice.layer, units_of_layer)
    latents = _latents(target)
    if layer is not None and layer == latents:
        raise latents_are_beside(layer)

    left_out = 0
    if choice.units is not None:
        layers = [_named_units(session, job_id, _given(layer, "units"), choice.units, units_of_layer)]
    else:
        of_any_layer = _chosen(session, job_id, choice, layer)
        chosen = [unit for unit in of_any_layer if unit[0] != latents]
        if of_any_layer and not chosen:
            raise latents_are_beside(of_any_layer[0][0])
        if choice.watched:
            chosen, left_out = chosen[:MOST_EACH], max(0, len(chosen) - MOST_EACH)
        layers = _by_layer(chosen, list(units_of_layer))
    if not layers or not layers[0].units:
        raise _nothing_chosen(choice, layer)

    request = AblationRequest(choice, tuple(layers), submission.value, submission.each or choice.watched, left_out)
    _check_bounds(request)
    return request


def _check_bounds(request: AblationRequest) -> None:
    """Raises InvalidInput for too many units by themselves."""
    count = request.count
    if not request.each or count <= MOST_EACH:
        return
    raise InvalidInput(
        f"{count} units are chosen, and at most {MOST_EACH} are held each by itself.",
        field="each",
        value=count,
        remedy=f"Name {MOST_EACH} units or fewer, or leave `each` out.",
    )


def _known_layer(layer: str, known: dict[str, int]) -> str:
    """The layer as the job names it. Raises UnknownLayer."""
    wanted = canonical_layer(layer)
    for name in known:
        if canonical_layer(name) == wanted:
            return name
    raise unknown_layer(layer, known)


def _given(layer: str | None, what: str) -> str:
    if layer is None:
        raise InvalidInput(
            f"Nothing says of which layer the {what} are.", field="layer", remedy="Give `layer`, one of the job's."
        )
    return layer


def _named_units(
    session: Session, job_id: UUID, layer: str, units: Sequence[int], units_of_layer: dict[str, int]
) -> LayerUnits:
    count = units_of_layer[layer]
    unknown = sorted({unit for unit in units if not 0 <= unit < count})
    if unknown:
        named = ", ".join(map(str, unknown[:_UNITS_NAMED])) + (", ..." if len(unknown) > _UNITS_NAMED else "")
        raise InvalidInput(
            f"Layer '{layer}' has {count} units, counted from 0: there is no unit {named}.",
            field="units",
            value=named,
            remedy=f"Name units from 0 to {count - 1}.",
        )
    repeated = next((unit for unit, times in Counter(units).items() if times > 1), None)
    if repeated is not None:
        raise InvalidInput(
            f"Unit {repeated} is named more than once.", field="units", value=repeated, remedy="Name it once."
        )

    dead = set(queries.dead_units(session, job_id, layer))
    return LayerUnits(layer, tuple(sorted(units)), tuple(sorted(dead.intersection(units))))


def _chosen(session: Session, job_id: UUID, choice: UnitChoice, layer: str | None) -> list[tuple[str, int, bool]]:
    if choice.concept is not None:
        return queries.units_labelled(session, job_id, choice.concept, layer)
    if choice.verdict is not None:
        within = _given(layer, "units")
        if not queries.has_verdicts(session, job_id, within):
            raise InvalidInput(
                f"No unit of layer '{within}' has a verdict in job {job_id}.",
                field="verdict",
                value=choice.verdict,
                remedy="Dissect the network with evidence by this release, or name `units`.",
            )
        return queries.units_with_verdict(session, job_id, choice.verdict, within)
    return _watched(session, job_id, layer)


def _watched(session: Session, job_id: UUID, layer: str | None) -> list[tuple[str, int, bool]]:
    """The units that respond to watched concepts, strongest first; none of them is dead."""
    neurons = read_watch_list(session, job_id).neurons
    return [(neuron.layer, neuron.unit, False) for neuron in neurons if layer in {None, neuron.layer}]


def _by_layer(units: Iterable[tuple[str, int, bool]], order: Sequence[str]) -> list[LayerUnits]:
    """The units by layer, in that order of the layers."""
    chosen: dict[str, list[int]] = {}
    dead: dict[str, list[int]] = {}
    for layer, unit, is_dead in units:
        chosen.setdefault(layer, []).append(unit)
        if is_dead:
            dead.setdefault(layer, []).append(unit)
    return [
        LayerUnits(layer, tuple(sorted(chosen[layer])), tuple(sorted(dead.get(layer, ()))))
        for layer in order
        if layer in chosen
    ]


def _nothing_chosen(choice: UnitChoice, layer: str | None) -> InvalidInput:
    where = "of the job" if layer is None else f"of layer '{layer}'"
    if choice.concept is not None:
        return InvalidInput(
            f"No unit {where} has the label '{choice.concept}'.",
            field="concept",
            value=choice.concept,
            remedy="GET /jobs/{id}/coverage lists the concepts that units have.",
        )
    if choice.verdict is not None:
        return InvalidInput(f"No unit {where} is {choice.verdict}.", field="verdict", value=choice.verdict)
    if choice.units is not None:
        return InvalidInput("No unit is named.", field="units", value="[]", remedy="Name at least one unit.")
    return InvalidInput(
        f"No unit {where} responds to watched concepts.", field="watched", value=True, remedy="There is nothing to do."
    )


def _latents(target: Resource) -> str | None:
    reading = model_spec(target).get("latents")
    return None if reading is None else latents_of(reading["layer"])


def _digest(status: AblationStatus) -> str:
    return digest_of({"status": status})


def _wake(session: Session, queue: JobQueue | None, ablation_id: UUID) -> None:
    if queue is not None:
        on_commit(session, lambda: wake_worker(queue, ablation_id))
