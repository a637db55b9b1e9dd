"""Can the dissector tell images with a concept from images without? What it cannot see no neuron can be named after."""

from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor

from service.domain.evidence import Qualification, QualificationStatus
from service.domain.independence import LEAST_IMAGES
from service.domain.probes import ProbeItem
from service.engine.evidence.recognition import Recognition, recognise

LEAST_AUROC = 0.8
"""Where the interval must begin: excellent discrimination (Hosmer and Lemeshow, Applied Logistic Regression, on ROC
curves), and what docs/dissectors.md calls recognised. Units that respond to one phantom finding are named rightly about
one time in three where the dissector sees it less well, otherwise 19 times in 20 (docs/label-accuracy.md)."""


def qualify(
    embeddings: Tensor,
    concept_embeddings: Tensor,
    concepts: Sequence[str],
    finding_of_concept: Mapping[int, str],
    findings: Sequence[frozenset[str] | None],
    groups: Sequence[object],
) -> tuple[Qualification, ...]:
    """The verdict on each concept that names a finding, in the order of the concepts.

    embeddings: float32 [N, D] of the images; concept_embeddings: float32 [C, D]; both of unit length. (Probing refuses
    images whose embeddings are not finite.)
    finding_of_concept: concept index -> finding of the probe set.
    findings: of each image; one of which nothing is known (None) does not count.
    groups: the exam or patient of each image.

    Score: cosine(image, concept). `absent`: fewer than LEAST_IMAGES images with or without the finding, or those of
    either kind are all of one group. `qualified`: the 95 % interval begins at LEAST_AUROC or above.
    `untestable`: everything else.
    """
    known = [row for row, findings_of_image in enumerate(findings) if findings_of_image is not None]
    known_groups = [groups[row] for row in known]

    qualifications = []
    for concept, finding in sorted(finding_of_concept.items()):
        labels = np.array([finding in (findings[row] or ()) for row in known], np.bool_)
        positives = int(labels.sum())
        negatives = len(labels) - positives

        recognition = None
        if min(positives, negatives) >= LEAST_IMAGES:
            scores = embeddings @ concept_embeddings[concept].to(embeddings.device)
            recognition = recognise(scores.cpu().numpy()[known], labels, known_groups)

        qualification = Qualification(
            concept=concept,
            text=concepts[concept],
            finding=finding,
            verdict=_verdict(recognition),
            positives=positives,
            negatives=negatives,
            auroc=None if recognition is None else recognition.auroc,
            low=None if recognition is None else recognition.low,
            high=None if recognition is None else recognition.high,
        )
        qualifications.append(qualification)

    return tuple(qualifications)


def _verdict(recognition: Recognition | None) -> QualificationStatus:
    if recognition is None:
        return "absent"
    return "qualified" if recognition.low >= LEAST_AUROC else "untestable"


def labelled_once(items: Sequence[ProbeItem]) -> list[int]:
    """Positions of the items whose findings are known; of files with the same bytes and findings the first only.

    Copies would make a few images look like enough of them.
    """
    labelled = []
    seen = set()
    for position, item in enumerate(items):
        if item.findings is None:
            continue
        content = (item.sha256, item.box, item.frame, item.findings)
        if item.sha256 is not None and content in seen:
            continue
        seen.add(content)
        labelled.append(position)
    return labelled
