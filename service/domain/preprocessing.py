"""The preprocessing contract: how a decoded mammogram becomes a network's input. Data, part of every content key."""

from dataclasses import asdict, dataclass, fields
from typing import Literal

from service.domain.digests import digest_of
from service.domain.json_values import StoredJson

Resize = Literal["area", "bicubic", "pad", "none"]
PadSide = Literal["left", "right", "both"]
Orientation = Literal["as_acquired", "left", "right"]
Window = Literal["stored", "voi"]
Scale = Literal["min_max", "unit", "range"]

_ALWAYS_WRITTEN = frozenset({"height", "width", "mean", "std", "resize", "crop_to_breast", "scale"})
"""What every contract had when the first digests were taken. Later fields are left out where they say nothing new."""


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """What a network expects of its input, float32 [channels, height, width]."""

    height: int
    width: int

    mean: tuple[float, ...]
    """Subtracted from each channel after scaling: one number for each."""

    std: tuple[float, ...]
    """Divides each channel after the mean is subtracted: one number for each."""

    resize: Resize = "area"
    """How the image gets to height x width.

    `area` averages the pixels; `bicubic` is Pillow's, with a support that grows as the image shrinks; `pad` keeps the
    image's shape: it averages, and fills what is left with air. `none` takes the image as it is (prepared PNGs of any
    size).
    """

    crop_to_breast: bool = False
    """Cut to the rows and columns that vary, before resizing (for DICOM, after a 5-pixel border is cut)."""

    scale: Scale = "unit"
    """What the 8-bit values become.

    `min_max` stretches each image to [0, 1]; `unit` divides the values by 255; `range` stretches 0 to 255 to
    [range_low, range_high].
    """

    channels: Literal[1, 3] = 3
    """All channels are the same grey image."""

    pad_side: PadSide = "both"
    """Where `pad` puts air: left or right of the image, or half on either side. Above and below it is always half."""

    orientation: Orientation = "as_acquired"
    """Which way breasts face, so where the nipple is; mirrored where need be.

    The image itself says which way it faces: the chest wall is on the side whose half is brighter in sum.
    """

    window: Window = "stored"
    """What of a DICOM image's stored values is stretched to 8 bits.

    `stored`: all of them, from the lowest to the highest. `voi`: what the header's VOI lookup table or window shows;
    all of them where it has neither. Other images have no window.
    """

    padding_as_air: bool = False
    """Pixels with the Pixel Padding Value of a DICOM image (or in its range) are air, whatever their value."""

    range_low: float = 0.0
    """What black becomes, with the scale `range`."""

    range_high: float = 1.0
    """What white becomes, with the scale `range`."""

    def digest(self) -> str:
        """Content digest of the contract."""
        return digest_of(self.as_dict())

    @property
    def alters_pictures(self) -> bool:
        """Does a network see an image changed by more than a cut to the breast? Then pictures show that."""
        return self.orientation != "as_acquired" or self.resize == "pad" or self.reads_header

    @property
    def reads_header(self) -> bool:
        """Does it need more of a DICOM header than what its pixels are?"""
        return self.window != "stored" or self.padding_as_air

    def as_dict(self) -> StoredJson:
        """The contract as JSON: the fields that there have always been, and later ones that are not at their default.

        `Preprocessing(**contract.as_dict())` is the contract again, but for lists in place of tuples.
        """
        defaults = {field.name: field.default for field in fields(self)}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
            if name in _ALWAYS_WRITTEN or value != defaults[name]
        }


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
