"""What one line says about a dissected layer."""

from service.analysis.thresholds import local_threshold, neurons_meeting, top_categories
from service.domain.concepts import ConceptSet
from service.domain.neurons import LayerDissection, LayerSummary, count_verdicts


def summarise_layer(layer: LayerDissection, concept_set: ConceptSet) -> LayerSummary:
    """Units, dead units, the paper's local threshold, units that reach it, significant units, and verdicts."""
    threshold = local_threshold(layer)
    meeting = neurons_meeting(layer, threshold)
    tested = [neuron.significant for neuron in layer.neurons if neuron.significant is not None]

    return LayerSummary(
        layer=layer.layer,
        units=len(layer.neurons),
        dead_units=sum(neuron.dead for neuron in layer.neurons),
        mean_top_score=threshold,
        threshold_met=len(meeting),
        top_categories=top_categories(meeting, concept_set),
        significant=sum(tested) if tested else None,
        null=layer.null,
        verdicts=count_verdicts([layer]),
    )
