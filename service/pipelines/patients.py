"""Keeping patients apart: those to fit on, those whose loss stops the fit, those for the figures."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from service.domain.probes import ProbeItem
from service.errors import InvalidInput

_LEAST_PATIENTS = 10


@dataclass(frozen=True)
class Split:
    """Rows of the probe set by what they are for; no patient is in two parts."""

    fit: list[int]
    held_back: list[int]
    held_out: list[int]


def split_by_patient(items: Sequence[ProbeItem], *, held_back_share: float, held_out_share: float, seed: int) -> Split:
    """Draw patients (exams where no patient is named) into the three parts, by seed and shares.

    Raises InvalidInput when an item names neither patient nor exam, when an exam names two patients, or when there are
    too few patients.
    """
    nameless = next((item for item in items if not (item.patient_id or item.exam_id)), None)
    if nameless is not None:
        raise InvalidInput(
            f"Row {nameless.row} names neither patient nor exam, so the split cannot keep patients apart.",
            field="patient_id",
            value=f"row {nameless.row}",
            remedy="Add a patient_id column with pseudonyms.",
        )
    whose = owners(items)
    patients = sorted(set(whose))
    if len(patients) < _LEAST_PATIENTS:
        raise InvalidInput(
            f"There are {len(patients)} patients; fitting needs at least {_LEAST_PATIENTS}.",
            field="patient_id",
            value=len(patients),
            remedy="Bring images of more patients.",
        )
    random.Random(seed).shuffle(patients)  # noqa: S311 - a split, no secret
    last = round(len(patients) * held_out_share)
    middle = last + max(1, round(len(patients) * held_back_share))
    place = {patient: 0 if rank < last else 1 if rank < middle else 2 for rank, patient in enumerate(patients)}
    parts: tuple[list[int], list[int], list[int]] = ([], [], [])
    for row, name in enumerate(whose):
        parts[place[name]].append(row)
    return Split(fit=parts[2], held_back=parts[1], held_out=parts[0])


def check_apart(items: Sequence[ProbeItem], held_out: Sequence[ProbeItem]) -> None:
    """Raise InvalidInput where the two sets of images share a patient, or an exam of two patients."""
    patients = _patients_of_exams(items)
    patients = _patients_of_exams(held_out, known=patients, field="held_out")
    shared = {_owner(item, patients) for item in items} & {_owner(item, patients) for item in held_out}
    if shared:
        raise InvalidInput(
            f"{len(shared)} patients are both among the images to fit on and among those held out.",
            field="held_out",
            value=len(shared),
            remedy="Hold out other patients.",
        )


def owners(items: Sequence[ProbeItem]) -> list[str]:
    """Whose image each is: the patient that any row of its exam names, else the exam, else the image itself.

    Raises InvalidInput when an exam names two patients.
    """
    patients = _patients_of_exams(items)
    return [_owner(item, patients) for item in items]


def _owner(item: ProbeItem, patients: Mapping[str, str]) -> str:
    exam = item.exam_id
    return item.patient_id or (patients.get(exam, exam) if exam else item.image_id)


def _patients_of_exams(
    items: Sequence[ProbeItem], *, known: Mapping[str, str] = MappingProxyType({}), field: str = "patient_id"
) -> dict[str, str]:
    """Exam -> patient, for exams that name one. known: those of other items. field: what is at fault in an error."""
    patients = dict(known)
    for item in items:
        if item.exam_id and item.patient_id and patients.setdefault(item.exam_id, item.patient_id) != item.patient_id:
            raise InvalidInput(
                f"Row {item.row} names another patient for its exam than an earlier row does.",
                field=field,
                value=f"row {item.row}",
                remedy="Give each exam one patient, and exams of different patients different names.",
            )
    return patients
