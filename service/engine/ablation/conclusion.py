"""From the stored outputs of all shards to what an ablation found."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from service.domain.ablations import (
    MOST_AUROC_OUTPUTS,
    MOST_AUROC_OUTPUTS_OF_A_UNIT,
    MOST_OUTPUTS,
    MOST_OUTPUTS_OF_A_UNIT,
    AblationRequest,
    AblationResult,
    UnitEffect,
)
from service.domain.evidence import LEAST_EXAMS
from service.domain.groups import ImageGroups
from service.engine.ablation.effects import Drawn, effect_of, findings_to_measure
from service.engine.evidence.exams import Exams, resample
from service.errors import TooFewImages

RESAMPLES = 1_000
_NAMED = 10


def conclude(
    request: AblationRequest,
    before: NDArray[np.float32],
    read_after: Callable[[int], NDArray[np.float32]],
    groups: ImageGroups,
    findings: Sequence[frozenset[str] | None],
    *,
    seed: int,
    output_of: str,
    device: str,
    check_cancelled: Callable[[], None],
) -> AblationResult:
    """What changed.

    before: the outputs of N images, [N, O]. read_after: the same with units held; 0 for all, then each by itself.
    groups, findings: of the images. seed: of the resamples. check_cancelled: may raise to stop.
    Raises TooFewImages where no image was shown.
    """
    if not len(before):
        raise TooFewImages(
            "No image of the probe set could be shown.", field="probe_set", value=0, remedy="Mend its images."
        )

    exams = Exams.of(groups)
    resamples = RESAMPLES if exams.count >= LEAST_EXAMS else 0
    occurrences = resample(exams, resamples, seed).double().numpy() if resamples else None
    drawn = Drawn(exams.of_image.numpy(), exams.count, occurrences)
    measured, too_rare = findings_to_measure(findings, drawn.exam_of_image)

    effect = effect_of(
        before,
        read_after(0),
        drawn,
        measured,
        most_outputs=MOST_OUTPUTS,
        most_auroc_outputs=MOST_AUROC_OUTPUTS,
    )

    units = []
    for number, (layer, unit) in enumerate(request.single_units, start=1):
        check_cancelled()
        single = effect_of(
            before,
            read_after(number),
            drawn,
            measured,
            most_outputs=MOST_OUTPUTS_OF_A_UNIT,
            most_auroc_outputs=MOST_AUROC_OUTPUTS_OF_A_UNIT,
        )
        units.append(UnitEffect(layer, unit, single))

    return AblationResult(
        outputs=before.shape[1],
        output_of=output_of,
        images=len(before),
        drawn_by=exams.unit,
        drawn=exams.count,
        resamples=resamples,
        effect=effect,
        findings=tuple(finding.count for finding in measured),
        units=tuple(units),
        device=device,
        notes=tuple(_notes(request, before, exams, effect.same, too_rare, known=any(f is not None for f in findings))),
    )


def _notes(
    request: AblationRequest,
    before: NDArray[np.float32],
    exams: Exams,
    same: bool,
    too_rare: Sequence[str],
    *,
    known: bool,
) -> list[str]:
    notes = []
    dead = sum(len(layer.dead) for layer in request.layers)
    if dead:
        notes.append(
            f"{dead} of {request.count} units {'is' if dead == 1 else 'are'} dead: what the job pooled of "
            f"{'it' if dead == 1 else 'them'} is the same for every image."
        )
    if same:
        notes.append("Every output of every image stays the same bit by bit.")
    if request.left_out:
        notes.append(f"{request.left_out} more units respond to watched concepts, less strongly, and are not held.")
    if exams.count < LEAST_EXAMS:
        notes.append(f"No intervals: there are {exams.count} {exams.unit}s, and at least {LEAST_EXAMS} are needed.")

    constant = int((before == before[:1]).all(axis=0).sum())
    if constant:
        notes.append(f"{constant} of {before.shape[1]} outputs are the same for every image and have no figures.")
    if not known:
        notes.append("No AUROCs: the manifest has no findings.")
    if too_rare:
        named = ", ".join(too_rare[:_NAMED]) + (f" and {len(too_rare) - _NAMED} more" if len(too_rare) > _NAMED else "")
        notes.append(f"No AUROCs for {named}: too few images have it or lack it, or they are of one {exams.unit}.")
    if before.shape[1] > MOST_AUROC_OUTPUTS:
        notes.append(f"AUROCs are given for the {MOST_AUROC_OUTPUTS} outputs that change most.")
    return notes
