"""Keeping patients apart: those to fit on, those whose loss stops the fit, those for the figures."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from service.domain.groups import ONE_PATIENT, exam_of_two_patients, group_images
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

    Images whose files have the same bytes are in one part, where the items' digests are known.
    Raises InvalidInput when an item names neither patient nor exam, or when there are too few patients.
    """
    nameless = next((item for item in items if not (item.patient_id or item.exam_id)), None)
    if nameless is not None:
        raise InvalidInput(
            f"Row {nameless.row} names neither patient nor exam, so the split cannot separate patients.",
            field="patient_id",
            value=f"row {nameless.row}",
            remedy="Add a patient_id column with pseudonyms.",
        )
    patients = _by_name(items)
    if len(patients) < _LEAST_PATIENTS:
        raise InvalidInput(
            f"There are {len(patients)} patients; fitting needs at least {_LEAST_PATIENTS}.",
            field="patient_id",
            value=len(patients),
            remedy="Add images of more patients.",
        )

    random.Random(seed).shuffle(patients)  # noqa: S311 - a split, no secret
    last = round(len(patients) * held_out_share)
    middle = last + max(1, round(len(patients) * held_back_share))

    def rows_of(drawn: Sequence[list[int]]) -> list[int]:
        return sorted(row for rows in drawn for row in rows)

    return Split(
        fit=rows_of(patients[middle:]),
        held_back=rows_of(patients[last:middle]),
        held_out=rows_of(patients[:last]),
    )


def check_apart(items: Sequence[ProbeItem], held_out: Sequence[ProbeItem]) -> None:
    """Raise InvalidInput where the two sets of images share a patient or a file's bytes, or an exam of two patients."""
    contradiction = exam_of_two_patients([*items, *held_out])
    if contradiction is not None:
        raise InvalidInput(
            f"Row {contradiction[1].row} of the images held out names a different patient for its exam than row "
            f"{contradiction[0].row} of the images to fit on.",
            field="held_out",
            value=f"row {contradiction[1].row}",
            remedy=ONE_PATIENT,
        )

    of_item = group_images([*items, *held_out]).of_item
    shared = set(of_item[: len(items)]) & set(of_item[len(items) :])
    if shared:
        raise InvalidInput(
            f"{len(shared)} patients are both among the images to fit on and among those held out.",
            field="held_out",
            value=len(shared),
            remedy="Hold out other patients, without copies of the images to fit on.",
        )


def _by_name(items: Sequence[ProbeItem]) -> list[list[int]]:
    """The rows of each patient, in the order of the patients' names, so that the manifest's order does not matter.

    A group of images is named by its first patient in alphabetical order, else by its first exam.
    """
    groups = group_images(items)
    rows: list[list[int]] = [[] for _ in range(groups.count)]
    for row, group in enumerate(groups.of_item):
        rows[group].append(row)

    return sorted(rows, key=lambda rows_of_group: _name([items[row] for row in rows_of_group]))


def _name(items: Sequence[ProbeItem]) -> tuple[str, str]:
    patients = [item.patient_id for item in items if item.patient_id]
    exams = [item.exam_id for item in items if item.exam_id]
    return min(patients or exams), min(exams, default="")
