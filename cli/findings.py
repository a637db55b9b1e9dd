"""The map of findings as commands take it."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from service.domain.concepts import ConceptSet
from service.domain.probes import ProbeSet

FindingsMapOption = Annotated[
    str | None,
    typer.Option(
        help="Which concepts the manifest's findings mean: a .csv, .json or .yaml file, or builtin: and the name of a "
        "data set, as builtin:vindr."
    ),
]


def with_findings_map(probe_set: ProbeSet, source: str | None, concept_set: ConceptSet) -> ProbeSet:
    """The probe set with the map that was asked for, if any.

    Raises InvalidFindingsMap where it cannot be read, or names a concept that the set has not.
    """
    from service.concepts.findings import check_map
    from service.concepts.findings_map import builtin_map, is_builtin, read_findings_map

    if source is None:
        return probe_set
    findings_map = builtin_map(source) if is_builtin(source) else read_findings_map(Path(source))
    check_map(concept_set, findings_map)
    return replace(probe_set, findings_map=findings_map)
