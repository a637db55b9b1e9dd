"""Field names that are stored, hashed, signed or sent stay what they are, or change on purpose.

`stored_names.json` beside this file lists them. Where this test fails because you renamed a field on purpose:

* `artifact`: old artifacts cannot be read, and every layer's digest changes, so no earlier result can be replayed bit
  by bit. Raise SCHEMA in `service/pipelines/keys.py`, and have the decoder read the old name.
* `database`: rows hold the old name. Write a migration that renames it in the stored JSON.
* `signed`: reports that were signed before no longer parse. Raise the report's format, and read both.
* `wire`: clients break. Say so in CHANGELOG.md.

Then write the new names: `python -m tests.domain.test_stored_names`.
"""

import dataclasses
import json
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from service.domain.ablations import AblationRequest, AblationResult
from service.domain.audit_facts import AuditFacts, Judgement, RuleOutcome
from service.domain.audits import Acknowledgement, Snooze
from service.domain.comparisons import Comparison
from service.domain.evidence import JobEvidence
from service.domain.neurons import LayerDissection
from service.domain.pictures import PictureRequest
from service.domain.policies import Policy
from service.reports.audit import AuditReport

SNAPSHOT = Path(__file__).with_name("stored_names.json")

ROOTS: dict[type, tuple[str, ...]] = {
    LayerDissection: ("artifact", "database", "wire"),
    JobEvidence: ("database", "wire"),
    AblationRequest: ("database",),
    AblationResult: ("database", "wire"),
    PictureRequest: ("database",),
    Comparison: ("database", "wire"),
    Policy: ("database", "wire", "signed"),
    AuditFacts: ("database", "wire", "signed"),
    RuleOutcome: ("database", "wire", "signed"),
    Judgement: ("signed",),
    Acknowledgement: ("database", "signed"),
    Snooze: ("database",),
    AuditReport: ("signed",),
}
"""The types that codecs take whole, and what their names are part of."""


def types_in(annotation: Any) -> Iterator[type]:
    """The dataclasses that a type annotation names, however deep."""
    if isinstance(annotation, type) and dataclasses.is_dataclass(annotation):
        yield annotation
    for argument in typing.get_args(annotation):
        if isinstance(argument, type | types.GenericAlias | types.UnionType) or typing.get_args(argument):
            yield from types_in(argument)


def stored_types() -> dict[type, set[str]]:
    """Every dataclass that is reached from a root, and what its names are part of."""
    parts_of: dict[type, set[str]] = {}

    def visit(kind: type, parts: tuple[str, ...]) -> None:
        known = parts_of.setdefault(kind, set())
        if known >= set(parts):
            return
        known.update(parts)
        for annotation in typing.get_type_hints(kind, include_extras=False).values():
            for inner in types_in(annotation):
                visit(inner, parts)

    for root, parts in ROOTS.items():
        visit(root, parts)

    return parts_of


def names() -> dict[str, dict[str, list[str]]]:
    """Type -> what its names are part of, and its fields in order."""
    listed = {}
    for kind, parts in stored_types().items():
        fields = [field.name for field in dataclasses.fields(kind)]
        listed[f"{kind.__module__}.{kind.__name__}"] = {"part_of": sorted(parts), "fields": fields}
    return dict(sorted(listed.items()))


def test_stored_names_are_those_of_the_snapshot() -> None:
    assert names() == json.loads(SNAPSHOT.read_text(encoding="utf-8")), __doc__


def test_every_stored_type_of_the_domain_says_so_in_its_first_line() -> None:
    silent = [
        kind.__qualname__
        for kind in stored_types()
        if kind.__module__.startswith("service.domain") and "(stored)" not in (kind.__doc__ or "").partition("\n")[0]
    ]
    assert silent == []


def test_nested_types_are_reached_through_containers_and_unions() -> None:
    reached = {kind.__name__ for kind in stored_types()}
    assert {"Significance", "Box", "Measured", "WatchedShare", "StratumFacts", "Part"} <= reached


if __name__ == "__main__":
    SNAPSHOT.write_text(json.dumps(names(), indent=1) + "\n", encoding="utf-8")
