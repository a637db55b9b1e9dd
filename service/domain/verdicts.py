"""What a neuron's label is worth: four verdicts, the figures behind them, and how often names are wrong.

The field names of the stored types are columns of the database, bytes of artifacts, and the wire format at once:
`tests/domain/test_stored_names.py` says what a rename costs.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from service.domain.sums import Summed

DEFAULT_ERROR_LEVEL = 0.10
"""The share of wrong names among those given that a job allows where it asks for nothing else."""

LEAST_ERROR_LEVEL = 0.01
GREATEST_ERROR_LEVEL = 0.5
"""What a job may ask for."""

DECOY_SETS = 40
"""Sets of decoys that compete with the concepts for each unit; each set has a decoy of every concept."""

DECOYS_AHEAD = 4
"""With as many sets ahead a label is none: of units that no concept says 4 in 41 have fewer."""

NameLevel = Literal["concept", "category", "combination"]
"""The detail that the evidence carries: a concept, the smallest category of it and its rivals, or several concepts."""


class Verdict(StrEnum):
    """What can be said of a live unit."""

    NAMED = "named"
    """It follows the concept, and the dissector is known to see it."""

    UNVERIFIED = "unverified"
    """It follows the concept, and nobody knows whether the dissector sees it."""

    UNNAMED = "unnamed"
    """It follows something that the dissector sees and no concept says."""

    NO_SIGNAL = "no-signal"
    """Nothing that the dissector sees tells what it follows."""

    @property
    def in_words(self) -> str:
        """As a sentence has it: `12 neurons are without a signal`."""
        return "without a signal" if self is Verdict.NO_SIGNAL else self.value


@dataclass(frozen=True, slots=True)
class NamePart:
    """A concept of a name, and the share of what the embedding says of the unit that it adds (stored)."""

    concept: int
    text: str
    share: float


@dataclass(frozen=True, slots=True)
class DirectionFigures:
    """What the dissector's embedding says of a unit's activation, measured on exams that fitted nothing (stored)."""

    fit: float
    """Correlation of the activation with the unit's best direction."""

    fit_p: float
    """Of a fit as good where the activation follows nothing that the dissector sees; exams count, not images."""

    correlation: float
    """Correlation of the activation with the cosine of the label's concept."""

    explained: float
    """The share of the fit that the concept alone has: correlation squared / fit squared, 0 to 1."""

    decoy_explained: float
    """The same for the best decoy of a set, on average over the sets."""

    rivals: tuple[int, ...] = ()
    """Concepts that the label's concept does not beat, most like it first."""

    parts: tuple[NamePart, ...] = ()
    """Two or three concepts that together explain much where one explains little."""

    decoy_p: float = 1.0
    """Of a concept that is as far ahead of the sets of decoys where no concept says what the unit follows.

    The concept is the one that correlates best; where the label is another, that is among its rivals.
    """

    decoys_ahead: tuple[float, ...] = ()
    """What the best decoys explain that are ahead of the concept, best first; of the DECOYS_AHEAD best sets alone."""

    rival_p: float = 0.0
    """That the nearest concept which is no rival is the better one all the same."""


@dataclass(frozen=True, slots=True)
class UnitVerdict:
    """What a unit is called, and how sure that is (stored)."""

    verdict: Verdict

    name: str | None = None
    """A concept, a category, or several concepts; None where nothing is named."""

    level: NameLevel | None = None

    error: float | None = None
    """The estimated share of wrong names among those of the job that are at least as sure as this one."""


@dataclass(frozen=True, slots=True)
class VerdictCounts(Summed):
    """How many units have which verdict (stored)."""

    named: int = 0
    unverified: int = 0
    unnamed: int = 0
    no_signal: int = 0

    @classmethod
    def of(cls, verdicts: Iterable[Verdict]) -> "VerdictCounts":
        """The counts of these verdicts."""
        counted = Counter(verdicts)
        return cls(
            named=counted[Verdict.NAMED],
            unverified=counted[Verdict.UNVERIFIED],
            unnamed=counted[Verdict.UNNAMED],
            no_signal=counted[Verdict.NO_SIGNAL],
        )

    def count_of(self, verdict: Verdict) -> int:
        """How many units have it."""
        counts = {
            Verdict.NAMED: self.named,
            Verdict.UNVERIFIED: self.unverified,
            Verdict.UNNAMED: self.unnamed,
            Verdict.NO_SIGNAL: self.no_signal,
        }
        return counts[verdict]

    @property
    def units(self) -> int:
        """How many units have a verdict."""
        return self.named + self.unverified + self.unnamed + self.no_signal


@dataclass(frozen=True, slots=True)
class LayerErrors:
    """Estimated errors of one layer's names (stored)."""

    layer: str
    named: int
    error: float | None


@dataclass(frozen=True, slots=True)
class JobVerdicts:
    """How verdicts were reached in a job (stored)."""

    error_level: float
    """The share of wrong names among those given that was asked for."""

    error: float | None
    """The share that is estimated; None where nothing is named."""

    least_explained: float
    """The share that a name must explain."""

    decoys: int
    """How many decoys competed."""

    decoy_match: float
    """How well decoys match concepts, 0 to 1: see docs/evidence.md."""

    layers: tuple[LayerErrors, ...] = ()

    refused: str | None = None
    """Why no neuron has a verdict."""

    def error_of(self, layer: str) -> float | None:
        """The estimated share of wrong names among those of a layer; None where it has none."""
        return next((errors.error for errors in self.layers if errors.layer == layer), None)
