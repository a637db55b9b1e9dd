"""The part of an audit that shows the images again: do the outputs depend on units that respond to watched concepts?

It is asked for only where a rule of the policy wants it, once the dissection has succeeded; the audit is judged after.
"""

from uuid import UUID

from sqlalchemy.orm import Session

from service.db.ablations import OPEN
from service.domain.ablations import Ablation, AblationStatus, UnitChoice
from service.domain.audit_facts import DependenceFacts, UnitDependence
from service.domain.policies import Policy, WatchedDependence
from service.errors import InvalidInput
from service.usecases.ablations import AblationSubmission, submit_ablation
from service.usecases.evidence import read_watch_list

_WATCHED = AblationSubmission(UnitChoice(watched=True), each=True)


def begin_ablation(session: Session, policy: Policy, job_id: UUID) -> bool:
    """Have workers hold the units that respond to watched concepts; True where the audit has to wait for that.

    False where no rule asks for it, where it cannot be asked, and where it has ended, however that was.
    """
    if not _asks(policy):
        return False
    try:
        ablation = _ablation(session, job_id)
    except InvalidInput:  # `dependence_facts` says why
        return False
    return ablation.status in OPEN


def dependence_facts(session: Session, policy: Policy, job_id: UUID) -> DependenceFacts | None:
    """How much the outputs depend on each unit that responds to watched concepts; None where no rule asks for it."""
    if not _asks(policy):
        return None

    watch_list = read_watch_list(session, job_id)
    if not watch_list.neurons:
        return DependenceFacts(ablation=None, refused=watch_list.refused)
    try:
        ablation = _ablation(session, job_id)
    except InvalidInput as error:
        return DependenceFacts(ablation=None, refused=error.detail)
    if ablation.result is None:
        return DependenceFacts(ablation=ablation.id, refused=_why_not(ablation))

    concepts = {
        (neuron.layer, neuron.unit): tuple(response.text for response in neuron.responses)
        for neuron in watch_list.neurons
    }
    units = []
    for unit in ablation.result.units:
        most = unit.effect.most
        units.append(
            UnitDependence(
                layer=unit.layer,
                unit=unit.unit,
                concepts=concepts.get((unit.layer, unit.unit), ()),
                output=None if most is None else most.output,
                absolute=None if most is None else most.absolute,
                low=None if most is None else most.absolute_low,
            )
        )
    return DependenceFacts(ablation.id, None, tuple(units), ablation.request.left_out)


def _asks(policy: Policy) -> bool:
    return any(isinstance(rule, WatchedDependence) for rule in policy.rules)


def _ablation(session: Session, job_id: UUID) -> Ablation:
    """The scheduler, which asks for it, wakes workers for what waits."""
    return submit_ablation(session, None, job_id, _WATCHED, goes_on=False)


def _why_not(ablation: Ablation) -> str:
    if ablation.status is AblationStatus.CANCELLED:
        return "The ablation was cancelled."
    return "The ablation failed." if ablation.problem is None else ablation.problem["detail"]
