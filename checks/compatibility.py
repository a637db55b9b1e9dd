"""`python -m checks.compatibility [--write]`: is docs/compatibility.md what the tests prove?

A test says with `@pytest.mark.proves(table, row)` which row of the page it proves; where `row` has `{}`, the case of a
parametrised test stands there. The page has nothing else: a row goes when its test goes.
"""

import argparse
import io
import sys
from collections.abc import Iterable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest

PAGE = Path("docs/compatibility.md")

TABLES = {
    "architecture": "Architectures",
    "autoencoder": "Sparse autoencoders",
    "wrapping": "What may be around the weights",
    "table": "Tables in place of a network",
    "source": "Where files may come from",
    "dissector": "Dissectors",
    "format": "Formats of tables that users bring",
    "image": "Images that the check of a probe set tells apart",
}

_HEAD = """# What works with what

Made by `python -m checks.compatibility --write` from the tests that prove it. Every row is a case that
`make test` runs.
"""


@dataclass(frozen=True, order=True)
class Proof:
    """One row of the page."""

    table: str
    """A key of `TABLES`."""

    row: str

    test: str
    """The file of the test and its name, without its case."""


class Collector:
    """A plugin of pytest that notes what the collected tests prove."""

    def __init__(self) -> None:
        self.proofs: set[Proof] = set()

    def pytest_configure(self, config: pytest.Config) -> None:
        """Called first: files outside this repository have the mark as well."""
        config.addinivalue_line("markers", "proves(table, row): see checks.compatibility")

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Called with all tests."""
        for item in session.items:
            test = item.nodeid.partition("[")[0]
            case = item.callspec.id if isinstance(item, pytest.Function) and hasattr(item, "callspec") else ""

            for mark in item.iter_markers("proves"):
                table, row = mark.args
                self.proofs.add(Proof(table, row.replace("{}", case), test))


def collect(paths: Sequence[Path]) -> set[Proof]:
    """What the tests in these files prove. Raises ValueError where they cannot be collected."""
    collector = Collector()
    said = io.StringIO()
    with redirect_stdout(said):
        status = pytest.main(["--collect-only", "-p", "no:cacheprovider", *map(str, paths)], plugins=[collector])
    if status != pytest.ExitCode.OK:
        raise ValueError(f"the tests cannot be collected:\n{said.getvalue()}")
    return collector.proofs


def page_of(proofs: Iterable[Proof]) -> str:
    """The page in Markdown: a table for each of `TABLES`. Raises KeyError for a proof of another."""
    rows: dict[str, list[Proof]] = {table: [] for table in TABLES}
    for proof in sorted(proofs):
        rows[proof.table].append(proof)

    parts = [_HEAD]
    for table, title in TABLES.items():
        lines = [f"| {proof.row} | `{proof.test}` |" for proof in rows[table]]
        parts.append("\n".join([f"## {title}", "", "| case | test |", "|---|---|", *lines, ""]))
    return "\n".join(parts)


def main() -> None:
    """Compare the page with the tests, or write it; exit 1 where it is another."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()

    files = sorted(path for path in Path("tests").rglob("test_*.py") if "mark.proves(" in path.read_text("utf-8"))
    page = page_of(collect(files))
    if asked.write:
        PAGE.write_text(page, "utf-8")
        return

    if PAGE.read_text("utf-8") != page:
        print(f"{PAGE} is not what the tests prove. Write it anew: python -m checks.compatibility --write")
        sys.exit(1)
    print(f"{PAGE} is what the tests prove.")


if __name__ == "__main__":
    main()
