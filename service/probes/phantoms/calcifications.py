"""Calcifications of a phantom: where they lie (distribution) and what each looks like (morphology)."""

import numpy as np

from service.probes.phantoms.anatomy import Breast
from service.probes.phantoms.plan import Abnormality
from service.probes.phantoms.textures import Field, strokes

Point = tuple[float, float]


def draw_calcifications(
    rng: np.random.Generator, tissue: Field, breast: Breast, calcifications: Abnormality, centre: Point
) -> tuple[Field, tuple[float, float, float, float], list[Point]]:
    """Attenuation [H, W] with the calcifications, the box around them, and the position of each."""
    morphology = calcifications.attribute("morphology")
    points = _scatter(rng, breast, calcifications.attribute("distribution"), morphology, centre)

    drawn = tissue.copy()
    for point in points:
        _MORPHOLOGIES[morphology](rng, drawn, point, breast)

    xs, ys = zip(*points, strict=True)
    reach = 4 * breast.unit
    return drawn, (min(xs) - reach, min(ys) - reach, max(xs) + reach, max(ys) + reach), points


def _scatter(
    rng: np.random.Generator, breast: Breast, distribution: str, morphology: str, centre: Point
) -> list[Point]:
    unit = breast.unit
    coarse = morphology == "coarse"
    towards = np.arctan2(breast.nipple[1] - centre[1], breast.nipple[0] - centre[0])
    count = _count(rng, distribution, coarse)

    points: list[Point] = []
    tries = 0
    while len(points) < count and tries < 40 * count:
        tries += 1
        if distribution == "diffuse":
            x = rng.uniform(0.03, 0.9) * breast.nipple[0]
            y = rng.uniform(0.05, 0.95) * breast.depth.shape[0]
        else:
            along, across = _offset(rng, distribution, coarse)
            x = centre[0] + unit * (along * np.cos(towards) - across * np.sin(towards))
            y = centre[1] + unit * (along * np.sin(towards) + across * np.cos(towards))

        row = int(np.clip(y, 0, breast.depth.shape[0] - 1))
        column = int(np.clip(x, 0, breast.depth.shape[1] - 1))
        in_tissue = breast.depth[row, column] > 12 * unit and breast.pectoral[row, column] < 0.5
        if in_tissue and 3 < x < breast.depth.shape[1] - 4:
            points.append((float(x), float(y)))

    return points or [centre]


def _count(rng: np.random.Generator, distribution: str, coarse: bool) -> int:
    low, high = {"grouped": (16, 34), "linear": (12, 22), "segmental": (34, 64), "diffuse": (50, 110)}[distribution]
    count = int(rng.integers(low, high))
    return max(2, count // 6) if coarse else count


def _offset(rng: np.random.Generator, distribution: str, coarse: bool) -> tuple[float, float]:
    """Offset along and across the line to the nipple, at unit scale."""
    if distribution == "linear":
        return rng.uniform(-36, 36), rng.normal(0, 1.8)
    if distribution == "segmental":  # a wedge that narrows towards the nipple
        along = 62 - 112 * np.sqrt(rng.random())
        return along, rng.uniform(-0.32, 0.32) * (72 - along)
    spread = 15 if coarse else 8.5
    return rng.normal(0, spread), rng.normal(0, spread)


def _dot(image: Field, point: Point, sigma: float, level: float) -> None:
    """Add a Gaussian dot at a sub-pixel position."""
    reach = int(np.ceil(3 * sigma)) + 1
    left = int(point[0]) - reach
    top = int(point[1]) - reach
    right = min(left + 2 * reach + 1, image.shape[1])
    bottom = min(top + 2 * reach + 1, image.shape[0])
    left = max(left, 0)
    top = max(top, 0)

    xs = np.arange(left, right) - point[0]
    ys = np.arange(top, bottom) - point[1]
    bell = np.exp(-np.square(ys) / (2 * sigma**2))[:, None] * np.exp(-np.square(xs) / (2 * sigma**2))
    image[top:bottom, left:right] += (level * bell).astype(np.float32)


def _coarse(rng: np.random.Generator, image: Field, point: Point, breast: Breast) -> None:
    for _ in range(int(rng.integers(4, 9))):  # lumps that run together, like popcorn
        shift = rng.normal(0, 2.9 * breast.unit, 2)
        _dot(image, (point[0] + shift[0], point[1] + shift[1]), rng.uniform(1.7, 3.0) * breast.unit, 0.6)


def _round(rng: np.random.Generator, image: Field, point: Point, breast: Breast) -> None:
    _dot(image, point, rng.uniform(0.9, 1.35) * breast.unit, rng.uniform(0.55, 0.9))


def _amorphous(rng: np.random.Generator, image: Field, point: Point, breast: Breast) -> None:
    _dot(image, point, rng.uniform(1.1, 1.9) * breast.unit, rng.uniform(0.20, 0.32))


def _pleomorphic(rng: np.random.Generator, image: Field, point: Point, breast: Breast) -> None:
    for _ in range(int(rng.integers(1, 4))):
        shift = rng.normal(0, 1.1 * breast.unit, 2)
        sigma = rng.uniform(0.55, 1.05) * breast.unit
        _dot(image, (point[0] + shift[0], point[1] + shift[1]), sigma, rng.uniform(0.4, 1.0))


def _fine_linear(rng: np.random.Generator, image: Field, point: Point, breast: Breast) -> None:
    towards = np.arctan2(breast.nipple[1] - point[1], breast.nipple[0] - point[0]) + rng.normal(0, 0.35)
    half = rng.uniform(2.5, 5.0) * breast.unit
    ends = np.array([[-half, 0], [0, rng.normal(0, 0.8)], [half, 0]])
    spin = np.array([[np.cos(towards), np.sin(towards)], [-np.sin(towards), np.cos(towards)]])
    image += np.float32(rng.uniform(0.5, 0.8)) * strokes(image.shape, [(ends @ spin + point, 1.0, 1)])


_MORPHOLOGIES = {
    "coarse": _coarse,
    "round": _round,
    "amorphous": _amorphous,
    "fine pleomorphic": _pleomorphic,
    "fine linear": _fine_linear,
}
