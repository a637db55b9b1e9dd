"""A stored dissection of a small network, with verdicts, pictures and directions, for the pages that show results."""

from dataclasses import replace
from uuid import UUID

import cv2
import numpy as np
from sqlalchemy.orm import Session

from service.analysis.evidence_codec import encode_evidence
from service.db.directions import LayerDirections, add_directions
from service.db.pictures import add_pictures
from service.domain.concepts import Concept, ConceptSet
from service.domain.evidence import (
    Agreement,
    Evidence,
    JobEvidence,
    LabelStability,
    LayerNull,
    Qualification,
    Quality,
    Significance,
    Watched,
)
from service.domain.localisation import AgainstExchanged, Localisation
from service.domain.neurons import ActivationSummary, LayerDissection, Neuron, Place, RankedConcept, TopImage
from service.domain.probes import Box, ImagePlace
from service.domain.verdicts import DirectionFigures, JobVerdicts, LayerErrors, NamePart, UnitVerdict, Verdict
from tests.usecases.factories import dissected_job

EARLY, LATE = "features.2", "features.8"
CONCEPTS = ConceptSet(
    "words",
    (
        Concept("spiculated mass", "mass margin", "findings", True),
        Concept("clustered calcification", "calcification distribution", "findings", True, synonyms=("cluster",)),
        Concept("coarse calcification", "calcification morphology", "findings", True),
        Concept("surgical clip", "devices", "non-finding", True, watched=True),
        Concept("<b>dense</b> & 'bright'", "tissue/kind", "findings", True),
    ),
)
MASS, CLUSTER, COARSE, CLIP, DENSE = range(5)
NULL = LayerNull(100, 1.0, 0.3, tuple(0.3 + 0.02 * step for step in range(101)), ((MASS, 0.5), (CLUSTER, 0.5)))
EVIDENCE = JobEvidence(
    drawn_by="exam",
    units=60,
    refused=None,
    findings=("calcification",),
    no_agreement=None,
    qualifications=(
        Qualification(CLUSTER, "clustered calcification", "calcification", "qualified", 61, 179, 0.84, 0.78, 0.9),
        Qualification(COARSE, "coarse calcification", "calcification", "untestable", 61, 179, 0.53, 0.4, 0.6),
    ),
    tests=9,
    largest_p=0.02,
    watched=(Qualification(CLIP, "surgical clip", "device = clip", "qualified", 30, 210, 0.9, 0.8, 0.95),),
    verdicts=JobVerdicts(0.1, 0.04, 0.7, 40, 0.9, (LayerErrors(LATE, 2, 0.04),)),
)
PATCH = Box(0, 64, 32, 32)


def unit(
    number: int,
    concept: int,
    z: float,
    verdict: UnitVerdict,
    *,
    rows: tuple[int, ...] = (3, 7),
    watched: tuple[Watched, ...] = (),
) -> Neuron:
    """A living unit with all evidence; its images are the whole one of the first row and a patch of the others."""
    significance = Significance(0.001 if z > 2 else 0.6, z, 0.01 if z > 2 else 0.8)
    evidence = Evidence(
        significance=significance,
        stability=LabelStability(0.75, 1.0, ("spiculated mass",)),
        agreement=Agreement("calcification", 0.84, 0.61, 0.37),
        quality=Quality(0.5, 0.25, 0.9, None),
        watched=watched,
        resampled=(concept,) * 4,
        halves=(concept,) * 4,
        direction=DirectionFigures(
            0.62, 0.001, 0.51, 0.68, 0.12, rivals=(COARSE,), parts=(NamePart(concept, "spiculated mass", 0.6),)
        ),
        verdict=verdict,
        localisations=(Localisation("calcification", True, 5, 4, (7, 7), AgainstExchanged(0.8, 0.2, 0.01)),),
    )
    ranked = [concept, *(other for other in range(len(CONCEPTS.concepts)) if other != concept)]
    return Neuron(
        unit=number,
        dead=False,
        activation=ActivationSummary(0.5, 0.25, -0.1, 3.0),
        concepts=tuple(
            RankedConcept(place, CONCEPTS.texts[place], 3.0 + z / 10 - step) for step, place in enumerate(ranked)
        ),
        images=tuple(
            TopImage(
                f"patient-doe-{row}",
                row,
                3.0 - 0.5 * step,
                PATCH if step else None,
                (0.3, 0.4, 0.25, 0.2),
                places=() if step else (Place("calcification", (0.1, 0.1, 0.2, 0.2)),),
            )
            for step, row in enumerate(rows)
        ),
        evidence=evidence,
    )


def dead(number: int) -> Neuron:
    return Neuron(number, dead=True, activation=ActivationSummary(0.0, 0.0, 0.0, 0.0))


def layers() -> list[LayerDissection]:
    """Two layers: in the late one every verdict, a dead unit, and a response to a clip."""
    clip = Watched(CLIP, "surgical clip", 0.001, 4.2, 0.01, 0.4, 0.001)
    return [
        LayerDissection(EARLY, (unit(0, MASS, 0.3, UnitVerdict(Verdict.NO_SIGNAL)), dead(1)), NULL),
        LayerDissection(
            LATE,
            (
                unit(0, CLUSTER, 6.5, UnitVerdict(Verdict.NAMED, "clustered calcification", "concept", 0.02)),
                unit(
                    1,
                    COARSE,
                    5.0,
                    UnitVerdict(Verdict.NAMED, "calcification morphology", "category", 0.04),
                    watched=(clip,),
                ),
                unit(2, CLUSTER, 4.0, UnitVerdict(Verdict.UNVERIFIED, "clustered calcification", "concept", 0.03)),
                unit(3, DENSE, 3.0, UnitVerdict(Verdict.UNNAMED), rows=(5,)),
                dead(4),
            ),
            NULL,
        ),
    ]


def jpeg() -> bytes:
    """A small picture, brighter to the right."""
    pixels = np.tile(np.linspace(0, 255, 100, dtype=np.uint8), (160, 1))
    return bytes(cv2.imencode(".jpg", pixels)[1].tobytes())


def stored_dissection(session: Session, *, model: str = "screening") -> UUID:
    """The dissection in the database: pictures of row 3 whole and of its patch in row 7, none of row 5."""
    manifest = {"evidence": encode_evidence(EVIDENCE), "images_used": 240}
    job_id = dissected_job(session, layers(), model=model, manifest=manifest, concept_set=CONCEPTS)
    add_pictures(
        session, job_id, {ImagePlace(3, None): jpeg(), ImagePlace(7, PATCH): jpeg(), ImagePlace(5, None): None}
    )

    random = np.random.default_rng(3)
    for layer, count in ((EARLY, 2), (LATE, 5)):
        directions = random.normal(size=(count, 8))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        lengths = np.ones(count, np.float32)
        lengths[-1] = 0.0
        directions[-1] = 0.0
        add_directions(session, job_id, LayerDirections(layer, directions.astype(np.float16), lengths), dissector="0")
    return job_id


def bare_dissection(session: Session, *, model: str = "bare", units: int = 3) -> UUID:
    """A dissection without evidence, verdicts, pictures and directions."""
    neurons = tuple(
        replace(unit(number, MASS, 0.3, UnitVerdict(Verdict.NO_SIGNAL)), evidence=None) for number in range(units)
    )
    return dissected_job(session, [LayerDissection(EARLY, (*neurons, dead(units)))], model=model, concept_set=CONCEPTS)
