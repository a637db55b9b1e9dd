"""What changed between two sets of outputs of the same images, with intervals by resampling exams.

The intervals are percentiles of a bootstrap in which exams are drawn whole (Efron and Tibshirani, An Introduction to
the Bootstrap, 1993, chapter 13), the same ones before and after. Means are resampled as they are. For the change of an
AUROC the structural components of DeLong et al. (Biometrics 44, 1988, equations 4 and 5) are resampled: that is its
first-order expansion, needs one sort instead of one for each resample, and is exact where all are drawn once.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.domain.ablations import AurocChange, Effect, FindingCount, OutputChange
from service.domain.independence import LEAST_IMAGES
from service.engine.evidence.recognition import share_below

Floats = NDArray[np.float64]
_INTERVAL = (2.5, 97.5)
_PERCENTILES_AT_ONCE = 1 << 22


@dataclass(frozen=True, slots=True)
class Drawn:
    """The images by exam, and how often each exam occurs in each resample."""

    exam_of_image: NDArray[np.int64]
    """[N], counted from 0."""

    exams: int

    occurrences: Floats | None
    """[R, exams]; None where there are too few exams for intervals."""

    def sums(self, values: Floats) -> Floats:
        """Of values [N, k] over the images of each exam: [exams, k]."""
        sums = np.zeros((self.exams, values.shape[1]))
        np.add.at(sums, self.exam_of_image, values)
        return sums


@dataclass(frozen=True, slots=True)
class Finding:
    """A finding of the probe set: which images have it, and which are known not to."""

    name: str
    having: NDArray[np.bool_]
    """[N]"""

    lacking: NDArray[np.bool_]
    """[N]"""

    @property
    def count(self) -> FindingCount:
        """Its images."""
        return FindingCount(self.name, int(self.having.sum()), int(self.lacking.sum()))


def findings_to_measure(
    findings: Sequence[frozenset[str] | None], exam_of_image: NDArray[np.int64]
) -> tuple[list[Finding], list[str]]:
    """The findings for which an AUROC says something, by name, and the names of the others.

    findings: of each of N images; None where nothing is known of it. At least `LEAST_IMAGES` images of two exams or
    more must have it, and as many must not.
    """
    known = np.array([found is not None for found in findings], dtype=bool)
    names = sorted({name for found in findings if found is not None for name in found})

    measured: list[Finding] = []
    too_rare: list[str] = []
    for name in names:
        having = np.array([found is not None and name in found for found in findings], dtype=bool)
        finding = Finding(name, having, known & ~having)
        sides = (finding.having, finding.lacking)
        if all(side.sum() >= LEAST_IMAGES and len(np.unique(exam_of_image[side])) >= 2 for side in sides):
            measured.append(finding)
        else:
            too_rare.append(name)
    return measured, too_rare


def effect_of(
    before: NDArray[np.float32],
    after: NDArray[np.float32],
    drawn: Drawn,
    findings: Sequence[Finding],
    *,
    most_outputs: int,
    most_auroc_outputs: int,
) -> Effect:
    """How outputs [N, O] changed: each by itself, and its AUROC for each finding.

    Only the outputs that change most are listed, in the order of their index: most_outputs of them, and AUROCs of
    most_auroc_outputs.
    """
    changes = np.asarray(after, np.float64) - np.asarray(before, np.float64)
    std = np.asarray(before, np.float64).std(axis=0)
    varies = (before != before[:1]).any(axis=0) & (std > 0)
    in_deviations = changes / np.where(varies, std, 1.0)

    absolute = np.abs(in_deviations).mean(axis=0)
    order = np.argsort(-np.where(varies, absolute, -1.0), kind="stable")
    listed = np.sort(order[:most_outputs])
    measured = np.sort(order[:most_auroc_outputs])
    measured = measured[varies[measured]]

    return Effect(
        outputs=_output_changes(in_deviations[:, listed], listed, std, varies, drawn),
        aurocs=_auroc_changes(before, after, measured, drawn, findings),
        same=bool((after == before).all()),
    )


def _output_changes(
    changes: Floats, listed: NDArray[np.int64], std: Floats, varies: NDArray[np.bool_], drawn: Drawn
) -> tuple[OutputChange, ...]:
    """changes: of the listed outputs, in deviations, [N, k]."""
    signed = _mean_with_interval(changes, drawn)
    absolute = _mean_with_interval(np.abs(changes), drawn)

    described = []
    for place, output in enumerate(listed.tolist()):
        if not varies[output]:
            described.append(OutputChange(output, 0.0, None, None, None, None, None, None))
            continue
        described.append(OutputChange(output, float(std[output]), *signed[place], *absolute[place]))
    return tuple(described)


def _mean_with_interval(values: Floats, drawn: Drawn) -> list[tuple[float, float | None, float | None]]:
    """Means of values [N, k] over the images, with the ends of their intervals."""
    means = values.mean(axis=0).tolist()
    if drawn.occurrences is None:
        return [(mean, None, None) for mean in means]

    images = drawn.occurrences @ drawn.sums(np.ones((len(values), 1)))
    resampled = (drawn.occurrences @ drawn.sums(values)) / images
    low, high = _interval(resampled)
    return list(zip(means, low.tolist(), high.tolist(), strict=True))


def _auroc_changes(
    before: NDArray[np.float32],
    after: NDArray[np.float32],
    measured: NDArray[np.int64],
    drawn: Drawn,
    findings: Sequence[Finding],
) -> tuple[AurocChange, ...]:
    described = []
    for finding in findings:
        with_before, without_before = _components(before[:, measured], finding)
        with_after, without_after = _components(after[:, measured], finding)
        intervals = _interval_of_change(with_after - with_before, without_after - without_before, finding, drawn)

        areas_before, areas_after = with_before.mean(axis=0).tolist(), with_after.mean(axis=0).tolist()
        for place, output in enumerate(measured.tolist()):
            change = areas_after[place] - areas_before[place]
            areas = (areas_before[place], areas_after[place], change)
            described.append(AurocChange(output, finding.name, *areas, *intervals[place]))
    return tuple(described)


def _components(scores: NDArray[np.float32], finding: Finding) -> tuple[Floats, Floats]:
    """DeLong's structural components of scores [N, k]: of the images with the finding, [P, k], and of those without.

    Of an image with it the share of the others that it scores above, of one without it the share that scores above it;
    ties count half. The mean of either is the AUROC.
    """
    having, lacking = scores[finding.having], scores[finding.lacking]
    with_it = [share_below(having[:, k], lacking[:, k]) for k in range(scores.shape[1])]
    without = [1 - share_below(lacking[:, k], having[:, k]) for k in range(scores.shape[1])]
    return _columns(with_it, len(having)), _columns(without, len(lacking))


def _columns(parts: Sequence[Floats], rows: int) -> Floats:
    return np.stack(parts, axis=1) if parts else np.empty((rows, 0))


def _interval_of_change(
    with_it: Floats, without: Floats, finding: Finding, drawn: Drawn
) -> list[tuple[float | None, float | None]]:
    """The ends of the interval of a change of AUROC, from the changes of its components, [P, k] and [Q, k]."""
    if drawn.occurrences is None:
        return [(None, None)] * with_it.shape[1]

    change = with_it.mean(axis=0)
    resampled = (
        _resampled_mean(with_it, finding.having, drawn) + _resampled_mean(without, finding.lacking, drawn) - change
    )
    low, high = _interval(resampled)
    return list(zip(low.tolist(), high.tolist(), strict=True))


def _resampled_mean(values: Floats, images: NDArray[np.bool_], drawn: Drawn) -> Floats:
    """Means of values [n, k] of some images in each resample, [R, k]; NaN in a resample that has none of them."""
    assert drawn.occurrences is not None  # noqa: S101 - as the caller checked
    part = Drawn(drawn.exam_of_image[images], drawn.exams, None)
    counts = drawn.occurrences @ part.sums(np.ones((len(values), 1)))
    sums = drawn.occurrences @ part.sums(values)
    return np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)


def _interval(resampled: Floats) -> tuple[Floats, Floats]:
    """The ends of the 95 % intervals of k figures in R resamples, [R, k]; some columns at a time."""
    if resampled.shape[1] == 0:
        return np.empty(0), np.empty(0)
    parts = max(1, resampled.size // _PERCENTILES_AT_ONCE)
    ends = [np.nanpercentile(part, _INTERVAL, axis=0) for part in np.array_split(resampled, parts, axis=1)]
    low, high = np.concatenate(ends, axis=1)
    return low, high
