"""Whether labels are tested: it must be asked for, and the method and the number of exams must allow it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from service.domain.evidence import LEAST_EXAMS, EvidenceOptions
from service.domain.jobs import DissectionOptions
from service.domain.methods import Method
from service.domain.probes import ProbeItem
from service.engine.evidence.scoring_context import ScoringContext
from tests.engine.toys import words

OPTIONS = DissectionOptions(None, Method.of(top_k=2))


def probe_items(exams: int, *, each: int = 2) -> list[ProbeItem]:
    return [
        ProbeItem(f"image-{image}", Path(f"{image}.png"), row=image + 1, exam_id=str(image // each))
        for image in range(exams * each)
    ]


def context(items: Sequence[ProbeItem], options: DissectionOptions = OPTIONS) -> ScoringContext:
    return ScoringContext(
        concept_set=words(["mass"]),
        concept_embeddings=torch.ones(1, 2),
        items=items,
        read_embeddings=lambda positions: torch.ones(len(positions), 2),
        options=options,
        finding_of_concept={},
        check_cancelled=lambda: None,
    )


def test_labels_are_tested_where_it_is_asked_for_and_possible() -> None:
    enough = context(probe_items(LEAST_EXAMS))
    assert enough.tests_labels
    assert enough.why_not_tested is None


def test_labels_are_not_tested_where_nobody_asks() -> None:
    unasked = context(probe_items(LEAST_EXAMS), replace(OPTIONS, evidence=EvidenceOptions(draws=0)))
    assert not unasked.tests_labels
    assert unasked.why_not_tested is None, "it would be possible"


@pytest.mark.parametrize(
    ("exams", "method", "reason"),
    [
        (LEAST_EXAMS - 1, Method.of(top_k=2), f"has {LEAST_EXAMS - 1} exams, but at least {LEAST_EXAMS}"),
        (LEAST_EXAMS, Method.of("cosine"), "cannot be tested with cosine"),
        (1, Method.of("rank_reorder"), "cannot be tested with rank_reorder"),
    ],
)
def test_where_it_is_impossible_the_reason_is_said(exams: int, method: Method, reason: str) -> None:
    impossible = context(probe_items(exams), replace(OPTIONS, method=method))
    assert not impossible.tests_labels
    assert reason in (impossible.why_not_tested or "")


def test_images_are_grouped_once_for_all_layers() -> None:
    known = context(probe_items(3))
    assert known.exams is known.exams
    assert known.exams.of_image.tolist() == [0, 0, 1, 1, 2, 2]
    assert (known.groups.count, known.groups.unit) == (3, "exam")
