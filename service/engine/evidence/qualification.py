"""Can the dissector tell images with a concept from images without? What it cannot see no neuron can be named after."""

from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor

from service.domain.evidence import Qualification, Verdict
from service.engine.evidence.recognition import Recognition, recognise

LEAST_IMAGES = 5
"""With fewer images that have the finding, or that have it not, nothing is said of the dissector."""

LEAST_AUROC = 0.8
"""Where the interval must begin: excellent discrimination (Hosmer and Lemeshow, Applied Logistic Regression, on ROC
curves), and what docs/dissectors.md calls recognised. Units that respond to one phantom finding are named rightly about
one time in three where the dissector sees it less well, otherwise 19 times in 20 (docs/label-accuracy.md)."""


def qualify(
    embeddings: Tensor,
    texts: Tensor,
    concepts: Sequence[str],
    names: Mapping[int, str],
    findings: Sequence[frozenset[str] | None],
    groups: Sequence[object],
) -> tuple[Qualification, ...]:
    """The verdict on each concept that names a finding, in the order of the concepts.

    embeddings: float32 [N, D] of the images; texts: float32 [C, D] of the concepts; both of unit length. (Probing
    refuses images whose embeddings are not finite.) names: concept index -> finding of the probe set. findings: of each
    image; one of which nothing is known (None) does not count. groups: the exam or patient of each image.

    Score: cosine(image, text). `absent`: fewer than LEAST_IMAGES images with or without the finding, or those of
    either kind are all of one group. `qualified`: the 95 % interval begins at LEAST_AUROC or above.
    `untestable`: everything else.
    """
    known = [row for row, one in enumerate(findings) if one is not None]
    known_groups = [groups[row] for row in known]
    verdicts = []
    for concept, finding in sorted(names.items()):
        labels = np.array([finding in (findings[row] or ()) for row in known], np.bool_)
        positives = int(labels.sum())
        negatives = len(labels) - positives
        found = None
        if min(positives, negatives) >= LEAST_IMAGES:
            scores = embeddings @ texts[concept].to(embeddings.device)
            found = recognise(scores.cpu().numpy()[known], labels, known_groups)
        figures = (None,) * 3 if found is None else (found.auroc, found.low, found.high)
        verdicts.append(
            Qualification(concept, concepts[concept], finding, _verdict(found), positives, negatives, *figures)
        )
    return tuple(verdicts)


def _verdict(found: Recognition | None) -> Verdict:
    if found is None:
        return "absent"
    return "qualified" if found.low >= LEAST_AUROC else "untestable"
