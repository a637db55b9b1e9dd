"""How well a unit's activation tells images with a finding from images without, on images that did not name the unit.

A label chosen on the images it is then measured on agrees with them by selection alone: the best of many concepts fits
the noise too. So each half of the exams names the units, and the other half measures the names.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from service.domain.evidence import Agreement
from service.errors import InvalidActivations

_ENTRIES_AT_ONCE = 1 << 21
_LEAST_UNITS = 32
"""At once: each reading of some units' activations goes through the files of all shards."""

ReadUnits = Callable[[Tensor], Tensor]
"""Maps positions among the live units, int64 [u], to their activations of all images, float32 [N, u] on the CPU."""


def measure_agreement(
    read_units: ReadUnits,
    in_second_half: Tensor,
    labels: Tensor,
    labels_of_halves: tuple[Tensor, Tensor],
    finding_of_concept: Mapping[int, str],
    findings: Sequence[frozenset[str] | None],
) -> list[Agreement | None]:
    """One Agreement for each of U units; None where no fold can be measured.

    read_units: reads the activations of some of the U units; only of those whose label names a finding.
    in_second_half: bool [N]; images of one exam are in one half.
    labels: int64 [U], the units' labels, by all images.
    labels_of_halves: the same as the first and as the second half chooses.
    finding_of_concept: concept index -> finding of the probe set; a concept that is not there names none.
    findings: of each image; None where nothing is known, and then the image is not measured.

    First fold: the first half's label measured on the second half's images; second fold: the other way round. A fold
    counts where its label names the finding that the unit's own label names, which some measured images have and some
    have not. If both count, the figures are the mean of the two; if one does, it stands alone.

    AUROC counts ties half. Average precision is sum over thresholds of (recall_t - recall_{t-1}) precision_t, equal
    activations being one threshold (scikit-learn's definition). Pearson's r is 0 where the activation is constant.
    Raises InvalidActivations for NaN and infinite activations.
    """
    known = torch.tensor([findings_of_image is not None for findings_of_image in findings], dtype=torch.bool)
    in_second_half = in_second_half.cpu()
    own_findings = [finding_of_concept.get(concept) for concept in labels.tolist()]

    folds = []
    with torch.inference_mode():
        for chosen, measuring in zip(labels_of_halves, (in_second_half, ~in_second_half), strict=True):
            rows = (known & measuring).nonzero().squeeze(1)
            chosen_findings = [finding_of_concept.get(concept) for concept in chosen.tolist()]
            named = [
                own_finding if own_finding == chosen_finding else None
                for own_finding, chosen_finding in zip(own_findings, chosen_findings, strict=True)
            ]
            findings_of_rows = [findings[row] or frozenset() for row in rows]
            folds.append(_measure_fold(read_units, rows, named, findings_of_rows))

    return [_together(*pair) for pair in zip(*folds, strict=True)]


def _together(first: Agreement | None, second: Agreement | None) -> Agreement | None:
    if first is None or second is None:
        return first or second

    return Agreement(
        first.finding,
        (first.auroc + second.auroc) / 2,
        (first.average_precision + second.average_precision) / 2,
        (first.pearson + second.pearson) / 2,
    )


def _measure_fold(
    read_units: ReadUnits, rows: Tensor, named: Sequence[str | None], findings: Sequence[frozenset[str]]
) -> list[Agreement | None]:
    """Measure what each unit is named on the images at `rows`, whose findings are given."""
    measured: list[Agreement | None] = [None] * len(named)

    for finding in sorted({name for name in named if name is not None}):
        having = [finding in findings_of_image for findings_of_image in findings]
        has = torch.tensor(having, dtype=torch.bool)
        if not bool(has.any()) or bool(has.all()):
            continue

        units_named = [unit for unit, name in enumerate(named) if name == finding]
        for units in _blocks(units_named, len(rows)):
            values = read_units(torch.tensor(units))[rows].t().contiguous()
            _check_finite(values)
            figures_of_units = _figures(values, has)
            for unit, *figures in zip(units, *figures_of_units, strict=True):
                measured[unit] = Agreement(finding, *figures)

    return measured


def _check_finite(values: Tensor) -> None:
    if not all(bool(end.isfinite()) for end in values.aminmax()):
        raise InvalidActivations("There are NaN or infinite activations.", field="activations")


def _blocks(units: Sequence[int], images: int) -> Iterator[Sequence[int]]:
    step = max(_LEAST_UNITS, _ENTRIES_AT_ONCE // images)
    for start in range(0, len(units), step):
        yield units[start : start + step]


def _figures(values: Tensor, has: Tensor) -> tuple[list[float], list[float], list[float]]:
    """AUROC, average precision and Pearson's r of each row of values [U, n] with has [n], of which some are True."""
    ordering = _Ordering.of(values, has)
    return ordering.auroc().tolist(), ordering.average_precision().tolist(), _pearson(values, has).tolist()


@dataclass(frozen=True, slots=True)
class _Ordering:
    """Images in the order of their values, greatest first, [U, n] each, positions counted from 0."""

    has: Tensor
    """Whether the image at the position has the finding."""

    first: Tensor
    """The first position of the run of equal values that the image is in."""

    last: Tensor
    """The last position of the run of equal values that the image is in."""

    @staticmethod
    def of(values: Tensor, has: Tensor) -> "_Ordering":
        ordered, indices = values.sort(dim=1, descending=True)
        n = values.shape[1]
        position = torch.arange(n, device=values.device).expand_as(indices)

        new = torch.ones_like(ordered, dtype=torch.bool)
        new[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
        first = position.where(new, 0).cummax(1).values
        ends = position.where(new.roll(-1, dims=1), n - 1)  # new[:, 0] is True, so the last position ends a run
        last = ends.flip(1).cummin(1).values.flip(1)
        return _Ordering(has[indices], first, last)

    def auroc(self) -> Tensor:
        """From the ranks of the images with the finding (Mann and Whitney), tied ones sharing their mean rank."""
        n = self.has.shape[1]
        with_it = self.has[0].sum()
        twice_ranks = 2 * n - self.first - self.last
        twice_beaten = (twice_ranks * self.has).sum(1) - with_it * (with_it + 1)
        return twice_beaten.double() / (2 * with_it * (n - with_it))

    def average_precision(self) -> Tensor:
        """The mean, over the images with the finding, of the precision at their own value as the threshold."""
        found_so_far = self.has.cumsum(1).gather(1, self.last)
        precision = found_so_far.double() / (self.last + 1)
        return (precision * self.has).sum(1) / self.has[0].sum()


def _pearson(values: Tensor, has: Tensor) -> Tensor:
    values = values.double()
    # float64 sums equal float32 numbers exactly, so a constant unit is exactly 0 here and below.
    centred = values - values.sum(1, keepdim=True) / values.shape[1]
    finding = has.double() - has.double().mean()
    norms = centred.square().sum(1).sqrt() * finding.square().sum().sqrt()
    return ((centred * finding).sum(1) / norms).nan_to_num(nan=0.0).clamp(-1, 1)
