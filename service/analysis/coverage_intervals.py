"""How many neurons of a concept other exams would have given."""

from collections.abc import Iterable, Sequence

import numpy as np

from service.analysis.compared_labels import NONE, read_labels
from service.analysis.differences import WIDTH
from service.analysis.noise import Counts, count_codes
from service.domain.neurons import LayerDissection

Interval = tuple[float, float] | tuple[None, None]
"""Lower and upper end, 95 %; None where nothing was resampled."""

UNKNOWN: Interval = (None, None)


class ResampledCounts:
    """Significant neurons of each concept in each resample of the exams; significance stays as it is."""

    def __init__(self, counts: Sequence[Counts]) -> None:
        """counts: of each layer [B, C]; layers without a live unit are left out."""
        lengths = {len(counts_of_layer) for counts_of_layer in counts}
        alike = len(lengths) == 1 and min(lengths) > 1
        self._counts: Counts | None = np.sum(counts, axis=0) if alike else None

    def interval(self, concepts: Sequence[int], neurons: int) -> Interval:
        """Of the number of neurons that these concepts have together.

        Centred on that number, as wide as the resamples say: see `service.analysis.differences`. No end is below 0.
        """
        if self._counts is None:
            return UNKNOWN

        resampled = self._counts[:, list(concepts)].sum(axis=1)
        noise = WIDTH * float(resampled.std(ddof=1))
        return max(0.0, neurons - noise), neurons + noise


def resampled_counts(layer: LayerDissection, concepts: int) -> Counts | None:
    """Significant neurons of one layer by concept in each resample [B, C]; None without a live unit."""
    if all(neuron.dead for neuron in layer.neurons):
        return None

    labels = read_labels([layer]).layers[layer.layer]
    significant_labels = np.where(labels.judged, labels.resampled, np.int16(NONE))
    return count_codes(significant_labels, np.arange(concepts, dtype=np.int16), concepts)


def known_counts(counts: Iterable[Counts | None]) -> ResampledCounts:
    """Of all layers together."""
    return ResampledCounts([counts_of_layer for counts_of_layer in counts if counts_of_layer is not None])
