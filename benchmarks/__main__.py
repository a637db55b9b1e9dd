"""`python -m benchmarks [name ...]`: run the named benchmarks, or all, and print one table.

A benchmark is a module of this package with a function `run() -> list[Row]`; its first line says what it measures.
"""

import importlib
import pkgutil
import sys

import benchmarks
from benchmarks.table import Row, show

_NOT_BENCHMARKS = {"__main__", "crowd", "other_exams", "planted_networks", "servers", "table"}


def main(names: list[str]) -> int:
    """Run, print, and return 1 when a goal is missed."""
    known = [module.name for module in pkgutil.iter_modules(benchmarks.__path__) if module.name not in _NOT_BENCHMARKS]
    unknown = [name for name in names if name not in known]
    if unknown:
        print(f"No benchmark {', '.join(unknown)}; there are {', '.join(known)}.", file=sys.stderr)
        return 2
    rows: list[Row] = []
    for name in names or known:
        print(f"{name} ...", file=sys.stderr, flush=True)
        rows += importlib.import_module(f"benchmarks.{name}").run()
    show(rows)
    return int(any(row.met is False for row in rows))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
