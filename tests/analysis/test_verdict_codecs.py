"""Verdicts and directions are stored where there are any, and leave no trace where there are none."""

import dataclasses
import json

from service.analysis.evidence_codec import decode_evidence, encode_evidence
from service.analysis.layer_codec import decode_layer, encode_layer
from service.domain.evidence import Evidence, Watched
from service.domain.neurons import LayerDissection
from service.domain.verdicts import DirectionFigures, JobVerdicts, LayerErrors, NamePart, UnitVerdict, Verdict
from tests.analysis.invented import EVIDENCE, MASS, layer, unit

FIGURES = DirectionFigures(
    fit=0.5,
    fit_p=0.001,
    correlation=0.4,
    explained=0.64,
    decoy_explained=0.1,
    rivals=(1,),
    parts=(NamePart(0, "a", 0.3),),
)


def test_a_layer_with_directions_and_verdicts_survives() -> None:
    judged = Evidence(
        direction=FIGURES,
        verdict=UnitVerdict(Verdict.NAMED, "round mass", "concept", 0.04),
        watched=(Watched(3, "surgical clip", 0.01, 3.0, partial=0.2, partial_p=0.02),),
    )
    stored = LayerDissection("layer1", (dataclasses.replace(unit(0, MASS), evidence=judged),))
    assert decode_layer(encode_layer(stored)) == stored


def test_a_layer_without_them_is_stored_as_before_there_were_any() -> None:
    watchful = unit(0, MASS, watched=[Watched(3, "surgical clip", 0.01, 3.0)])
    stored = LayerDissection("layer1", (watchful, unit(1, None)))
    data = encode_layer(stored)

    for name in (b"direction", b"verdict", b"partial"):
        assert name not in data
    assert decode_layer(data) == stored


def test_what_a_job_says_of_its_verdicts_survives_as_json() -> None:
    verdicts = JobVerdicts(0.1, 0.04, 0.7, 120, 0.9, (LayerErrors("layer1", 3, 0.05), LayerErrors("layer2", 0, None)))
    judged = dataclasses.replace(EVIDENCE, verdicts=verdicts)
    stored = json.loads(json.dumps(encode_evidence(judged)))
    assert decode_evidence(stored) == judged


def test_a_job_without_verdicts_is_stored_as_before_there_were_any() -> None:
    stored = encode_evidence(EVIDENCE)
    assert stored is not None
    assert "verdicts" not in stored
    assert decode_evidence(stored) == EVIDENCE


def test_layers_alone_stay_readable() -> None:
    assert decode_layer(encode_layer(layer("layer1", MASS, None))) == layer("layer1", MASS, None)
