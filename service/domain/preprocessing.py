"""The preprocessing contract: how a decoded mammogram becomes a network's input. Data, part of every content key."""

from dataclasses import asdict, dataclass
from typing import Literal

from service.domain.digests import digest_of


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """What a network expects of its input, float32 [3, height, width]."""

    height: int
    width: int

    mean: tuple[float, float, float]
    """Subtracted from each channel after scaling."""

    std: tuple[float, float, float]
    """Divides each channel after the mean is subtracted."""

    resize: Literal["area", "none"] = "area"
    """`area` resizes to height x width; `none` takes the image as it is (prepared PNGs of any size)."""

    crop_to_breast: bool = False
    """Cut to the rows and columns that vary, before resizing (for DICOM, after a 5-pixel border is cut)."""

    scale: Literal["min_max", "unit"] = "unit"
    """`min_max` stretches each image to [0, 1]; `unit` divides the 8-bit values by 255."""

    def digest(self) -> str:
        """Content digest of the contract."""
        return digest_of(asdict(self))


_MAMMO_CLIP_MEAN = 0.3089279
_MAMMO_CLIP_STD = 0.25053555408335154

MAMMO_CLIP = Preprocessing(
    height=1520,
    width=912,
    mean=(_MAMMO_CLIP_MEAN,) * 3,
    std=(_MAMMO_CLIP_STD,) * 3,
    crop_to_breast=True,
    scale="min_max",
)
"""Mammo-CLIP's published contract (MICCAI 2024): per-image min-max, its own mean and standard deviation, 1520 x 912."""
