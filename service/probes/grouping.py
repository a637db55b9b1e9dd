"""What counts as independent in a probe set: what was chosen, and columns that stand for `patient_id` and `exam_id`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches

from service.domain.digests import digest_of
from service.domain.groups import exam_of_two_patients, with_patients
from service.domain.independence import warnings_of
from service.domain.probes import ProbeItem, ProbeSet
from service.errors import InvalidInput, InvalidManifest

PATIENT_COLUMNS = (
    "patient",
    "patientid",
    "patientnumber",
    "anonpatientid",
    "empianon",
    "subject",
    "subjectid",
    "client",
    "clientid",
    "participant",
    "participantid",
)
"""Names of columns that are taken for `patient_id`, without their case, blanks, dashes, underscores and dots."""

EXAM_COLUMNS = (
    "exam",
    "examid",
    "examination",
    "examinationid",
    "study",
    "studyid",
    "studyuid",
    "studyinstanceuid",
    "accession",
    "accessionid",
    "accessionnumber",
    "accanon",
)
"""The same for `exam_id`."""

_RECOGNISED = {"patient_id": frozenset(PATIENT_COLUMNS), "exam_id": frozenset(EXAM_COLUMNS)}
_IGNORED = str.maketrans("", "", " -_.")
_OTHER_WORDS = {"patient_id": "patient", "exam_id": "exam", "image_id": "image"}
_MOST_COLUMNS = 20


def grouped(probe_set: ProbeSet, independent: str | None) -> ProbeSet:
    """The probe set of a manifest that is registered now, with what counts as independent in it.

    independent: `patient`, `exam`, `image` or a column, where one was chosen.
    Raises InvalidManifest where two columns could be `patient_id` or `exam_id`, and InvalidInput where nothing in the
    manifest is what was chosen.
    """
    chosen = None if independent is None else _OTHER_WORDS.get(independent, independent)
    grouping = {}
    notes = []
    for field in _RECOGNISED:
        column, note = _recognise(probe_set.items, field, chosen)
        if column is not None:
            grouping[field] = column
        if note is not None:
            notes.append(note)

    recognised = with_grouping(probe_set, grouping, None)
    _check_chosen(recognised, chosen)
    noted = replace(probe_set, table_notes=(*probe_set.table_notes, *notes))
    return with_grouping(noted, grouping, chosen)


def with_grouping(probe_set: ProbeSet, grouping: Mapping[str, str], independent: str | None) -> ProbeSet:
    """The probe set of a manifest with the columns that were taken for `patient_id` and `exam_id`, and what was chosen.

    Both are part of its digest where they are given. Raises InvalidManifest where an exam then has two patients.
    """
    if not grouping and independent is None:
        return probe_set

    items = probe_set.items
    if grouping:
        items = tuple(with_patients(list(_taken(items, grouping))))

    content: dict[str, object] = {"of": probe_set.digest}
    if grouping:
        content["grouping"] = dict(grouping)
    if independent is not None:
        content["independent"] = independent

    return replace(
        probe_set,
        items=items,
        digest=digest_of(content),
        independent=independent,
        grouping=dict(grouping),
        warnings=tuple(warnings_of(items, independent)) if independent is not None else (),
        table_notes=(*probe_set.table_notes, *_notes(grouping)),
    )


def _recognise(items: Sequence[ProbeItem], field: str, chosen: str | None) -> tuple[str | None, str | None]:
    """The column that is taken for a field, and why one that could be is not."""
    if any(getattr(item, field) is not None for item in items):
        return None, None

    names = _RECOGNISED[field]
    columns = sorted({column for item in items for column in item.strata})
    candidates = [column for column in columns if column != chosen and _folded(column) in names]
    if not candidates:
        return None, None

    if len(candidates) > 1:
        if chosen is not None and chosen != _OTHER_WORDS[field]:
            return None, None
        raise _ambiguous(field, candidates)

    column = candidates[0]
    if field == "exam_id" and exam_of_two_patients(_taken(items, {field: column})) is not None:
        return None, (
            f"Column '{column}' is not taken for exam_id, because one of its values stands for several patients; it is "
            "a stratum."
        )
    return column, None


def _ambiguous(field: str, candidates: Sequence[str]) -> InvalidManifest:
    named = " and ".join(f"'{column}'" for column in candidates)
    return InvalidManifest(
        f"The columns {named} could each be {field}.",
        field=field,
        value=", ".join(candidates),
        remedy=f"Name the right one {field} in the manifest, or say with `independent` what counts as independent: "
        f"'{candidates[0]}', another column, or `image`.",
    )


def _check_chosen(probe_set: ProbeSet, chosen: str | None) -> None:
    items = probe_set.items
    if chosen is None or chosen == "image":
        return

    if chosen in ("patient", "exam"):
        field = f"{chosen}_id"
        if any(getattr(item, field) is not None for item in items):
            return
        raise InvalidInput(
            f"No row of the manifest names {'a patient' if chosen == 'patient' else 'an exam'}.",
            field="independent",
            value=chosen,
            remedy=f"Give the manifest a column {field}, or choose another: {_choices(probe_set)}.",
        )

    columns = probe_set.columns
    if chosen not in columns:
        near = get_close_matches(chosen, columns, n=1)
        meant = f"Did you mean '{near[0]}'? " if near else ""
        raise InvalidInput(
            f"The manifest has no column '{chosen[:80]}' with a value.",
            field="independent",
            value=chosen,
            remedy=f"{meant}Choose one of: {_choices(probe_set)}.",
        )


def _choices(probe_set: ProbeSet) -> str:
    choices = [word for word in ("patient", "exam") if any(getattr(item, f"{word}_id") for item in probe_set.items)]
    columns = [f"'{column[:80]}'" for column in probe_set.columns]
    more = ", …" if len(columns) > _MOST_COLUMNS else ""
    return ", ".join([*choices, "image", *columns[:_MOST_COLUMNS]]) + more


def _taken(items: Sequence[ProbeItem], grouping: Mapping[str, str]) -> Iterator[ProbeItem]:
    """The items with the fields that the columns stand for, and without these among their strata."""
    columns = set(grouping.values())
    shared: dict[tuple[tuple[str, str], ...], Mapping[str, str]] = {}
    for item in items:
        others = tuple((name, value) for name, value in item.strata.items() if name not in columns)
        names = {field: item.strata.get(column) for field, column in grouping.items()}
        yield replace(
            item,
            strata=shared.setdefault(others, dict(others)),
            patient_id=names.get("patient_id", item.patient_id),
            exam_id=names.get("exam_id", item.exam_id),
        )


def _notes(grouping: Mapping[str, str]) -> Iterator[str]:
    for field, column in grouping.items():
        yield f"Column '{column}' is taken for {field}, and is no stratum."


def _folded(column: str) -> str:
    return column.casefold().translate(_IGNORED)
