"""Phantom mammograms: pictures that look like mammograms and whose every finding is known exactly."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.domain.probes import Box
from service.probes.opencv import cv2
from service.probes.phantoms.anatomy import draw_breast, shape_breast
from service.probes.phantoms.lesions import Drawn, Lesion, draw_lesion
from service.probes.phantoms.plan import VIEWS, BreastPlan, Density, Laterality, View, plan_exam
from service.probes.phantoms.report import write_report
from service.probes.phantoms.textures import Field, cloud

DEFAULT_SIZE = (512, 320)
"""Height and width in pixels: about 0.35 mm a pixel, coarse for calcifications but enough to draw them."""

_EXAM, _IMAGE, _REPORT = 1, 2, 3


@dataclass(frozen=True, slots=True, eq=False)
class Phantom:
    """One phantom mammogram and its ground truth."""

    image_id: str
    exam_id: str
    patient_id: str
    view: View
    laterality: Laterality
    density: Density

    findings: frozenset[str]
    """Names out of plan.FINDINGS."""

    lesions: tuple[Lesion, ...]
    """Where each finding was drawn."""

    report: str

    pixels: NDArray[np.uint8]
    """uint8 [H, W]."""


def generate(seed: int, index: int, size: tuple[int, int] = DEFAULT_SIZE) -> Phantom:
    """The phantom number `index` of the series `seed`; it depends on nothing else, however many are made.

    Four consecutive indices are one exam of one patient: right CC, left CC, right MLO, left MLO.
    """
    exam, place = divmod(index, len(VIEWS))
    laterality, view = VIEWS[place]

    plan = plan_exam(np.random.default_rng([_EXAM, seed, exam]))[laterality].seen_in(view)
    pixels, lesions = _draw(np.random.default_rng([_IMAGE, seed, index]), plan, view, laterality, size)

    return Phantom(
        image_id=f"phantom-{seed}-{index:06d}",
        exam_id=f"exam-{seed}-{exam:05d}",
        patient_id=f"patient-{seed}-{exam:05d}",
        view=view,
        laterality=laterality,
        density=plan.density,
        findings=plan.findings,
        lesions=lesions,
        report=write_report(np.random.default_rng([_REPORT, seed, index]), plan, view, laterality),
        pixels=pixels,
    )


def generate_range(seed: int, start: int, stop: int, size: tuple[int, int] = DEFAULT_SIZE) -> Iterator[Phantom]:
    """The phantoms start, start + 1, ... stop - 1 of a series."""
    return (generate(seed, index, size) for index in range(start, stop))


def _draw(
    rng: np.random.Generator, plan: BreastPlan, view: View, laterality: Laterality, size: tuple[int, int]
) -> tuple[NDArray[np.uint8], tuple[Lesion, ...]]:
    height, width = size
    kinds = {abnormality.kind for abnormality in plan.abnormalities}
    breast = shape_breast(rng, view, height, width, retracted="nipple retraction" in kinds)
    tissue = draw_breast(rng, breast, plan.density, thick_skin="skin thickening" in kinds)

    lesions = []
    for abnormality in plan.abnormalities:
        drawn: Drawn = draw_lesion(rng, tissue, breast, abnormality)
        tissue = drawn[0]
        mirrored = laterality == "R"
        points = tuple((_mirror(round(x), width, mirrored), round(y)) for x, y in drawn[2])
        lesions.append(Lesion(abnormality, _box(drawn[1], size, mirrored), points))

    film = _expose(rng, np.where(breast.depth > 0, tissue, 0).astype(np.float32))
    if laterality == "R":
        film = np.ascontiguousarray(film[:, ::-1])

    pixels = np.round(film * 255).astype(np.uint8)
    if rng.random() < 0.75:
        _stamp(pixels, laterality + view, laterality)
    return pixels, tuple(lesions)


def _expose(rng: np.random.Generator, tissue: Field) -> Field:
    """Blur, quantum noise and film curve: attenuation to brightness in [0, 1]; black stays black."""
    blurred = cv2.GaussianBlur(tissue, (0, 0), 0.55)
    noise = 0.55 * cloud(rng, tissue.shape, 2.0) + 0.75 * rng.standard_normal(tissue.shape, dtype=np.float32)
    grain = np.float32(rng.uniform(0.010, 0.018)) * noise

    exposure = np.float32(rng.uniform(1.15, 1.45))
    signal = np.clip(blurred + grain * (tissue > 0), 0, None)
    film = 1 - np.exp(-exposure * signal ** np.float32(1.12))
    return np.asarray(np.clip(film, 0, 1), np.float32)


def _stamp(pixels: NDArray[np.uint8], letters: str, laterality: Laterality) -> None:
    """Lead letters that name side and view, in the black upper corner away from the chest wall."""
    height, width = pixels.shape
    scale = 0.42 * height / 512
    (text_width, text_height), _ = cv2.getTextSize(letters, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    left = width - text_width - 6 if laterality == "L" else 6
    cv2.putText(pixels, letters, (left, text_height + 8), cv2.FONT_HERSHEY_SIMPLEX, scale, 235, 1, cv2.LINE_AA)


def _mirror(x: int, width: int, mirrored: bool) -> int:
    return width - 1 - x if mirrored else x


def _box(extent: tuple[float, float, float, float], size: tuple[int, int], mirrored: bool) -> Box:
    height, width = size
    left, right = (int(np.clip(round(x), 0, width - 1)) for x in (extent[0], extent[2]))
    top, bottom = (int(np.clip(round(y), 0, height - 1)) for y in (extent[1], extent[3]))
    if mirrored:
        left, right = _mirror(right, width, True), _mirror(left, width, True)
    return Box(left, top, right - left + 1, bottom - top + 1)
