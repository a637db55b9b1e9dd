"""What a benchmark reports, and how two sides are timed against each other."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: a measured value beside its baseline, both in `unit`, and their ratio.

    ratio is whatever `goal` speaks of (speed-up, share, growth); met is None where there is no goal to meet.
    """

    name: str
    baseline: float
    measured: float
    unit: str
    ratio: float
    goal: str = ""
    met: bool | None = None


@dataclass(frozen=True, slots=True)
class Timing:
    """Median seconds of two sides, and the median over rounds of baseline / measured."""

    baseline: float
    measured: float
    speedup: float


def race(baseline: Callable[[], object], measured: Callable[[], object], *, rounds: int) -> Timing:
    """Time both sides alternately in this process, after one untimed call of each."""
    baseline(), measured()
    pairs = [(_seconds(baseline), _seconds(measured)) for _ in range(rounds)]
    return Timing(
        statistics.median(slow for slow, _ in pairs),
        statistics.median(fast for _, fast in pairs),
        statistics.median(slow / fast for slow, fast in pairs),
    )


def peak_bytes() -> int:
    """The most memory that this process has held. Not ru_maxrss: a child inherits its parent's there."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def show(rows: Sequence[Row]) -> None:
    """Print the rows as one table."""
    table = Table("benchmark", "baseline", "measured", "unit", "ratio", "goal", "met")
    for row in rows:
        met = "" if row.met is None else "yes" if row.met else "[red]no"
        numbers = (f"{row.baseline:.4g}", f"{row.measured:.4g}", row.unit, f"{row.ratio:.3g}")
        table.add_row(row.name, *numbers, row.goal, met)
    Console(width=140).print(table)


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
