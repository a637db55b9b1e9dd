"""What is concluded from all layers of a dissection together: q-values, and what each neuron may be called."""

from collections.abc import Sequence
from dataclasses import replace

from service.analysis.discoveries import control_discoveries
from service.analysis.verdicts import give_verdicts
from service.domain.concepts import ConceptSet
from service.domain.evidence import JobEvidence
from service.domain.neurons import LayerDissection
from service.domain.verdicts import JobVerdicts

NO_DIRECTIONS = "No neuron has a direction in the dissector's space: none is alive, or activations were not kept."
"""Why a job has no verdicts where nothing else is known."""


def conclude(
    layers: Sequence[LayerDissection], evidence: JobEvidence | None, concept_set: ConceptSet, error_level: float
) -> tuple[tuple[LayerDissection, ...], JobEvidence | None]:
    """The layers with q-values and verdicts, and the job's evidence with how both were reached.

    error_level: the share of wrong names among those given that was asked for. Where no unit has a direction, none has
    a verdict, and `JobEvidence.verdicts.refused` says why.
    """
    controlled, evidence = control_discoveries(layers, evidence, watched=len(concept_set.watched))
    if evidence is None:
        return controlled, None

    refused = _why_refused(controlled, evidence)
    if refused is not None:
        return controlled, replace(evidence, verdicts=_no_verdicts(error_level, refused))

    judged, verdicts = give_verdicts(controlled, evidence, concept_set, error_level)
    return tuple(judged), replace(evidence, verdicts=verdicts)


def _why_refused(layers: Sequence[LayerDissection], evidence: JobEvidence) -> str | None:
    known = (neuron.evidence for layer in layers for neuron in layer.neurons)
    if any(of_unit is not None and of_unit.direction is not None for of_unit in known):
        return None

    # Whoever probed and scored may know more of the reason.
    if evidence.verdicts is not None and evidence.verdicts.refused is not None:
        return evidence.verdicts.refused
    return NO_DIRECTIONS if evidence.refused is None else evidence.refused


def _no_verdicts(error_level: float, refused: str) -> JobVerdicts:
    return JobVerdicts(
        error_level=error_level, error=None, least_explained=0.0, decoys=0, decoy_match=0.0, refused=refused
    )
