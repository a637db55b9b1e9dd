"""What counts as independent in a probe set: what was chosen, and columns that stand for `patient_id` and `exam_id`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches

from service.domain.digests import digest_of
from service.domain.groups import with_patients
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
    items = probe_set.items
    columns = sorted({column for item in items for column in item.strata})

    grouping: dict[str, str] = {}
    notes = list(probe_set.table_notes)
    for field in _RECOGNISED:
        candidates = _candidates(items, columns, field, chosen)
        if len(candidates) > 1:
            if chosen is None or chosen == _OTHER_WORDS[field]:
                raise _ambiguous(field, candidates)
            notes.append(f"The columns {_named(candidates)} could each be {field}, so none is taken for it.")
        elif candidates and _has_exam_of_two_patients(items, {**grouping, field: candidates[0]}):
            notes.append(
                f"Column '{candidates[0]}' is not taken for {field}, because an exam would then have several patients; "
                "it is a stratum."
            )
        elif candidates:
            grouping[field] = candidates[0]

    items = _items_with(items, grouping)
    _check_chosen(replace(probe_set, items=items), chosen)
    return _described(replace(probe_set, table_notes=tuple(notes)), items, grouping, chosen)


def with_grouping(probe_set: ProbeSet, grouping: Mapping[str, str], independent: str | None) -> ProbeSet:
    """The probe set of a manifest with the columns that were taken for `patient_id` and `exam_id`, and what was chosen.

    Both are part of its digest where they are given.
    """
    return _described(probe_set, _items_with(probe_set.items, grouping), grouping, independent)


def _described(
    probe_set: ProbeSet, items: tuple[ProbeItem, ...], grouping: Mapping[str, str], independent: str | None
) -> ProbeSet:
    """items: those of the probe set with that grouping."""
    if not grouping and independent is None:
        return probe_set

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


def _candidates(items: Sequence[ProbeItem], columns: Sequence[str], field: str, chosen: str | None) -> list[str]:
    """The columns that may be taken for a field; none where the manifest has the field itself."""
    if any(getattr(item, field) is not None for item in items):
        return []
    return [column for column in columns if column != chosen and _folded(column) in _RECOGNISED[field]]


def _has_exam_of_two_patients(items: Sequence[ProbeItem], grouping: Mapping[str, str]) -> bool:
    patient_column, exam_column = grouping.get("patient_id"), grouping.get("exam_id")
    patients: dict[str, str] = {}
    for item in items:
        patient = item.patient_id if patient_column is None else item.strata.get(patient_column)
        exam = item.exam_id if exam_column is None else item.strata.get(exam_column)
        if patient is not None and exam is not None and patients.setdefault(exam, patient) != patient:
            return True
    return False


def _ambiguous(field: str, candidates: Sequence[str]) -> InvalidManifest:
    return InvalidManifest(
        f"The columns {_named(candidates)} could each be {field}.",
        field=field,
        value=", ".join(candidates),
        remedy=f"Name the right one {field} in the manifest, or say with `independent` what counts as independent: "
        f"'{candidates[0]}', another column, or `image`.",
    )


def _named(columns: Sequence[str]) -> str:
    return " and ".join(f"'{column}'" for column in columns)


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


def _items_with(items: tuple[ProbeItem, ...], grouping: Mapping[str, str]) -> tuple[ProbeItem, ...]:
    """The items with the fields that the columns stand for, and without these among their strata."""
    if not grouping:
        return items

    columns = set(grouping.values())
    shared: dict[tuple[tuple[str, str], ...], Mapping[str, str]] = {}
    taken = []
    for item in items:
        others = tuple((name, value) for name, value in item.strata.items() if name not in columns)
        strata = shared.setdefault(others, dict(others))
        patient = item.strata.get(grouping["patient_id"]) if "patient_id" in grouping else item.patient_id
        exam = item.strata.get(grouping["exam_id"]) if "exam_id" in grouping else item.exam_id
        taken.append(replace(item, strata=strata, patient_id=patient, exam_id=exam))
    return tuple(with_patients(taken))


def _notes(grouping: Mapping[str, str]) -> Iterator[str]:
    for field, column in grouping.items():
        yield f"Column '{column}' is taken for {field} and is not a stratum."


def _folded(column: str) -> str:
    return column.casefold().translate(_IGNORED)
