"""Is a difference of counts more than other exams, and other units, would make of it?

Two things could have been otherwise: which exams the probe set has, and which units happened to learn what. By the law
of total variance a difference varies by what exams do to it in these networks, and by what other networks would make of
its expectation over exams.

* The first is its variance over the resamples. Where both networks saw the same exams, the difference is taken within
  each resample, so that what an exam does to both cancels.
* For the second, let d be the share of the resamples in which a unit is in a group, in the one network less in the
  other. Between networks that are alike each unit's d might as well have had the other sign, so that the sum over
  units varies by the sum of d squared: McNemar's variance (Psychometrika 12, 1947), of labels as they are expected and
  not as they were drawn. A unit that changes with the exams alone has a small d, so that nothing is counted twice.
  Where units are not paired, it is the variance of the difference of two shares.

Labels in a resample are a little more scattered than labels, for it holds fewer different images. The interval is
therefore centred on the difference itself, and the resamples give its width alone (the normal bootstrap interval:
Davison and Hinkley, Bootstrap Methods and their Application, 1997, section 5.2).
"""

from dataclasses import dataclass
from math import erfc, sqrt

from service.analysis.noise import Floats

LEAST_RESAMPLES = 2
"""With fewer there is no variance."""

WIDTH = 1.959963984540054
"""An interval of 95 % reaches so many standard errors to either side."""


@dataclass(frozen=True, slots=True)
class Spread:
    """What the difference of a count between two networks is uncertain by."""

    exams: float
    """Its variance over the resamples of the exams."""
    units: float
    """Its variance over units, were the two networks alike: see `PairedUnits.moved`, and `variance_of_units`."""

    @property
    def half_width(self) -> float:
        """Half of the interval of 95 %."""
        return WIDTH * self._error

    def p(self, difference: float) -> float:
        """Two-sided, of a difference as large between networks that are alike; 1 for none."""
        if difference == 0:
            return 1.0
        return erfc(abs(difference) / self._error / sqrt(2)) if self._error else 0.0

    @property
    def _error(self) -> float:
        return sqrt(self.exams + self.units)


def variance_of_exams(reference: Floats, other: Floats, *, paired: bool) -> float:
    """The variance of other - reference over resamples [B], B > 1.

    paired: resample b drew the same exams in both. Otherwise they were drawn independently, and variances add up.
    """
    if paired:
        return float((other - reference).var(ddof=1))
    return float(reference.var(ddof=1) + other.var(ddof=1))


def variance_of_units(in_reference: int, units_of_reference: int, in_other: int, units_of_other: int) -> float:
    """Of the difference in units of the reference's number, between shares of networks whose units are not paired.

    Both have the share that they have together, as in the test of two proportions.
    """
    share = (in_reference + in_other) / (units_of_reference + units_of_other)
    variance = share * (1 - share) * (1 / units_of_reference + 1 / units_of_other)
    return units_of_reference**2 * variance
