"""How many neurons of a concept other exams would have given."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from service.analysis.compared_labels import NONE, read_labels
from service.analysis.differences import LEAST_RESAMPLES, WIDTH
from service.analysis.noise import Counts, count_codes
from service.domain.neurons import LayerDissection
from service.domain.verdicts import Verdict

Interval = tuple[float, float] | tuple[None, None]
"""Lower and upper end, 95 %; None where nothing was resampled."""

UNKNOWN: Interval = (None, None)


class ResampledCounts:
    """Neurons of each concept in each resample of the exams; which neurons count stays as it is."""

    def __init__(self, concepts: int, *, named: bool) -> None:
        """concepts: how many the concept set has. named: whether named neurons count, not all significant ones."""
        self._codes = np.arange(concepts, dtype=np.int16)
        self._counts: Counts | None = None
        self._named = named
        self._uneven = False

    def add(self, layer: LayerDissection) -> None:
        """Count the neurons of a layer, too."""
        if all(neuron.dead for neuron in layer.neurons):
            return

        labels = read_labels([layer]).layers[layer.layer]
        counts_at_all = _are_named(layer) if self._named else labels.judged
        labels_that_count = np.where(counts_at_all, labels.resampled, np.int16(NONE))
        counts = count_codes(labels_that_count, self._codes, len(self._codes))

        if self._counts is None:
            self._counts = counts
        elif len(self._counts) == len(counts):
            self._counts += counts
        else:
            self._uneven = True

    def interval(self, concepts: Sequence[int], neurons: int) -> Interval:
        """Of the number of neurons that these concepts have together.

        Centred on that number, as wide as the resamples say: see `service.analysis.differences`. No end is below 0.
        """
        if self._counts is None or self._uneven or len(self._counts) < LEAST_RESAMPLES:
            return UNKNOWN

        resampled = self._counts[:, list(concepts)].sum(axis=1)
        noise = WIDTH * float(resampled.std(ddof=1))
        return max(0.0, neurons - noise), neurons + noise


def _are_named(layer: LayerDissection) -> NDArray[np.bool_]:
    verdicts = [neuron.verdict for neuron in layer.neurons]
    return np.array([verdict is not None and verdict.verdict is Verdict.NAMED for verdict in verdicts], bool)
