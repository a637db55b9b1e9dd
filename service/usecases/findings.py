"""What the findings of registered probe sets mean: maps that are given, and which findings name which concepts."""

from sqlalchemy.orm import Session

from service.concepts.builtin import builtin_concept_set
from service.concepts.findings import check_map, match_findings
from service.concepts.findings_map import BUILTIN_MAPS, builtin_map, is_builtin, read_findings_map
from service.domain.concepts import ConceptSet
from service.domain.findings import FindingsEntry, count_findings, findings_entry
from service.domain.findings_map import BUILTIN_PREFIX, FindingsMap, map_from_stored
from service.domain.resources import Resource, ResourceKind
from service.domain.specs import probe_set_spec
from service.files import DataRoots
from service.usecases.files import locate
from service.usecases.probe_sets import listed_probe_set
from service.usecases.resources import concept_set_of, find_resource

VOCABULARY = "bi-rads"
"""The concepts that findings are looked for among where nobody names a set."""


def findings_map_of(
    session: Session,
    source: str | None,
    roots: DataRoots,
    *,
    layout: str | None = None,
    concept_set: str | None = None,
) -> FindingsMap | None:
    """The map that `builtin:` and a name, a path or a file:// URI stands for; None for None.

    layout: of the data set, whose built-in map is taken where none is named; a folder of DICOM files has none.
    concept_set: a registered one, whose concepts the map has to name.
    Raises InvalidFindingsMap, InvalidInput where the file cannot be found, FileOutOfReach, and NotFound.
    """
    if source is None and layout in BUILTIN_MAPS:
        source = f"{BUILTIN_PREFIX}{layout}"
    if source is None:
        return None

    findings_map = builtin_map(source) if is_builtin(source) else _read(source, roots)
    if concept_set is not None:
        check_map(_concept_set(session, concept_set)[1], findings_map)
    return findings_map


def _read(source: str, roots: DataRoots) -> FindingsMap:
    return read_findings_map(locate(source, roots, field="findings_map"), roots)


def findings_of(
    session: Session, probe_set: Resource, roots: DataRoots, *, concept_set: str | None = None
) -> tuple[str, FindingsEntry] | None:
    """What the findings of a registered probe set mean in a concept set, and which set that is; None without findings.

    concept_set: a registered one; None for the built-in `bi-rads`. Of more findings than are kept, the commonest are
    looked at. Where an earlier release registered the probe set, its manifest is read, if a set is named.
    Raises NotFound, and what `listed_probe_set` raises.
    """
    spec = probe_set_spec(probe_set)
    if "findings" in spec:
        counts: dict[str, int] | None = dict(spec["findings"]["images"])
    elif concept_set is None or "listing" in spec:
        return None
    else:
        counts = count_findings(listed_probe_set(probe_set, roots).items)

    if counts is None:
        return None
    reference, concepts = _concept_set(session, concept_set)
    findings_map = map_from_stored(spec["findings_map"]) if "findings_map" in spec else None
    entry = findings_entry(match_findings(concepts, counts, findings_map), concepts.texts)
    if "findings" in spec:
        entry["names"] = spec["findings"]["names"]
    return reference, entry


def _concept_set(session: Session, reference: str | None) -> tuple[str, ConceptSet]:
    if reference is None:
        return VOCABULARY, builtin_concept_set(VOCABULARY)
    resource = find_resource(session, ResourceKind.CONCEPT_SET, reference, field="concept_set")
    return resource.reference, concept_set_of(resource)
