"""Maps against places: figures worked out on paper, and what exchanged places are."""

from itertools import product

import numpy as np
import pytest

from service.domain.localisation import EXCHANGES, QUANTILES
from service.engine.evidence.localisation import Places, localise

SIDE = 12
IMAGES, EXAMS = 60, 30


def squares(seed: int, images: int = IMAGES, side: int = SIDE) -> np.ndarray:
    """A square of 3 x 3 cells in each of n maps, [n, P]."""
    random = np.random.default_rng(seed)
    covered = np.zeros((images, side, side), np.float32)
    for image in range(images):
        row, column = random.integers(0, side - 2, 2)
        covered[image, row : row + 3, column : column + 3] = 1.0
    return covered.reshape(images, -1)


def turned(covered: np.ndarray, side: int = SIDE) -> np.ndarray:
    return covered.reshape(len(covered), side, side)[:, :, ::-1].reshape(len(covered), -1)


def places_of(covered: np.ndarray, exams: list[int], faces: list[str | None] | None = None) -> Places:
    return Places(covered, turned(covered), faces or ["left"] * len(covered), exams)


def exams_of_two() -> list[int]:
    return [image // 2 for image in range(IMAGES)]


def noise(seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(IMAGES, SIDE * SIDE)).astype(np.float32)


def test_a_unit_that_follows_the_finding_beats_exchanged_places_by_every_figure() -> None:
    covered = squares(1)
    figures = localise(noise() * 0.1 + 5 * covered, places_of(covered, exams_of_two()))

    assert figures.pointing.value == 1.0
    assert figures.pointing.exchanged < 0.3
    assert figures.auroc.value > 0.99
    assert abs(figures.auroc.exchanged - 0.5) < 0.1
    assert figures.iou.value > 0.8
    assert figures.iou.exchanged < 0.15
    assert set(figures.quantiles) <= set(QUANTILES)
    assert {figure.p for figure in (figures.pointing, figures.auroc, figures.iou)} == {1 / (EXCHANGES + 1)}


def test_a_unit_that_follows_nothing_does_not() -> None:
    covered = squares(1)
    places = places_of(covered, exams_of_two())
    p: dict[str, list[float]] = {name: [] for name in ("pointing", "iou", "auroc")}
    for seed in range(60):
        figures = localise(noise(seed), places)
        for name, values in p.items():
            values.append(getattr(figures, name).p)

    for values in p.values():
        assert np.mean(np.array(values) <= 0.1) < 0.25
        assert 0.3 < np.mean(values) < 0.7


def test_auroc_is_the_share_of_pairs_of_points_inside_and_outside() -> None:
    """By counting every pair of cells, with places that cover parts of cells, and with equal values."""
    random = np.random.default_rng(5)
    covered = random.choice([0.0, 0.25, 1.0], size=(2, 6), p=[0.5, 0.25, 0.25]).astype(np.float32)
    covered[:, 0] = 0.5
    maps = random.integers(0, 3, size=(2, 6)).astype(np.float32)
    places = Places(covered, covered, ["left", "left"], [0, 1])

    def counted(values: np.ndarray, inside: np.ndarray) -> float:
        won = sum(
            inside[a] * (1 - inside[b]) * ((values[a] > values[b]) + 0.5 * (values[a] == values[b]))
            for a, b in product(range(6), repeat=2)
        )
        return float(won / (inside.sum() * (6 - inside.sum())))

    figures = localise(maps, places)
    assert figures.auroc.value == pytest.approx((counted(maps[0], covered[0]) + counted(maps[1], covered[1])) / 2)
    assert figures.auroc.exchanged == pytest.approx((counted(maps[0], covered[1]) + counted(maps[1], covered[0])) / 2)


def test_places_are_turned_where_images_face_different_ways() -> None:
    """Every finding is in the left half of an image that faces left: to look there is to know the breast, no more."""
    random = np.random.default_rng(2)
    faces: list[str | None] = ["left" if exam % 2 else "right" for exam in exams_of_two()]
    covered = np.zeros((IMAGES, SIDE, SIDE), np.float32)
    breast = np.zeros((IMAGES, SIDE, SIDE), np.float32)
    for image, face in enumerate(faces):
        row = int(random.integers(0, SIDE - 2))
        columns = slice(1, 4) if face == "left" else slice(SIDE - 4, SIDE - 1)
        covered[image, row : row + 3, columns] = 1.0
        breast[image, :, columns] = 1.0

    flat = covered.reshape(IMAGES, -1)
    maps = (breast + random.normal(0, 0.05, breast.shape)).astype(np.float32).reshape(IMAGES, -1)
    known = localise(maps, places_of(flat, exams_of_two(), faces))
    assert known.auroc.exchanged == pytest.approx(known.auroc.value, abs=0.02)
    assert known.auroc.p > 0.05

    unknown = localise(maps, places_of(flat, exams_of_two(), [None] * IMAGES))
    assert unknown.auroc.exchanged < known.auroc.exchanged - 0.2


def test_an_image_keeps_its_own_places_where_its_exam_does() -> None:
    covered = squares(4, 5)
    places = places_of(covered, [0, 0, 0, 1, 1])
    assert places.partner.tolist() == [[0, 3], [1, 4], [2, 3], [0, 3], [1, 4]]
    assert places.exchanges[0].tolist() == [0, 0, 0, 1, 1]


def test_a_map_that_is_the_same_everywhere_points_nowhere() -> None:
    covered = squares(1)
    figures = localise(np.zeros((IMAGES, SIDE * SIDE), np.float32), places_of(covered, exams_of_two()))
    assert figures.pointing.value == pytest.approx(9 / SIDE**2)
    assert figures.auroc.value == pytest.approx(0.5)
    assert figures.iou.value == 0.0
    assert figures.iou.p == 1.0


def test_two_exams_are_enough_for_figures_but_not_for_a_small_p_and_one_is_not() -> None:
    covered = squares(1)[:4]
    figures = localise(covered.copy(), places_of(covered, [0, 0, 1, 1]))
    assert figures.pointing.p > 0.4
    with pytest.raises(ValueError, match="one exam"):
        localise(covered.copy(), places_of(covered, [7] * 4))


def test_places_that_cover_everything_tell_nothing() -> None:
    covered = np.ones((4, 9), np.float32)
    maps = np.arange(36, dtype=np.float32).reshape(4, 9)
    figures = localise(maps, Places(covered, covered, [None] * 4, [0, 1, 2, 3]))
    assert figures.auroc.value == 0.5
    assert figures.pointing.value == 1.0 == figures.pointing.p
