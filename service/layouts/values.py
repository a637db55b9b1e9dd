"""Values that data sets write in their own ways, as manifests have them."""

import math
import re
from collections.abc import Iterable

from service.domain.probes import Box
from service.probes.region_cells import MOST_PIXELS

_NOTHING = frozenset({"", "nan", "none", "null", "n/a", "na", "<na>", "_", "-", "removed"})
_SIDES = {"l": "L", "left": "L", "r": "R", "right": "R"}
_DENSITY = re.compile(r"(?:(?:breast )?density|acr|bi-?rads)?[ :]*([a-d]|[1-4](?:\.0+)?)", re.IGNORECASE)
_BIRADS = re.compile(r"(?:bi-?rads(?: category)?)?[ :]*([0-6])(?:\.0+)?([a-c]?)", re.IGNORECASE)
_WHOLE = re.compile(r"(-?\d+)\.0")
_FLAGS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
_MOST_SUSPICIOUS_FIRST = "6540321"
"""Of BI-RADS categories. 0 asks for more images, so it outweighs what asks for nothing."""


def known(text: str | None) -> str | None:
    """The text, or None where it says that nothing is known."""
    if text is None:
        return None
    stripped = text.strip()
    return None if stripped.casefold() in _NOTHING else stripped


def side_of(text: str | None) -> str | None:
    """`L` or `R`; None for anything else."""
    return None if text is None else _SIDES.get(text.strip().casefold())


def density_of(text: str | None) -> str | None:
    """`A` to `D`, as data sets write it: a letter or 1 to 4; None for anything else."""
    match = _DENSITY.fullmatch(text.strip()) if text else None
    if match is None:
        return None

    value = match[1].upper()
    return value if value.isalpha() else "ABCD"[int(value[0]) - 1]


def birads_of(texts: Iterable[str | None]) -> str | None:
    """The most suspicious category among them, `0` to `6` without its subdivision; None where none is one."""
    matches = (_BIRADS.fullmatch(text.strip()) for text in texts if text)
    categories = {match[1] for match in matches if match is not None}
    return next((category for category in _MOST_SUSPICIOUS_FIRST if category in categories), None)


def category_of(text: str) -> str | None:
    """The BI-RADS category, `0` to `6` without its subdivision; None for anything else."""
    return birads_of([text])


def is_plain_birads(text: str) -> bool:
    """Is all of it one category without subdivision, so that nothing is lost with its spelling?"""
    match = _BIRADS.fullmatch(text.strip())
    return match is not None and not match[2]


def age_band_of(text: str | None) -> str | None:
    """The ten years that an age is in, as `50-59`; None for what is not the age of a patient."""
    number = number_of(text)
    if number is None or not 10 <= number < 120:
        return None

    decade = int(number) // 10 * 10
    return "90+" if decade >= 90 else f"{decade}-{decade + 9}"


def number_of(text: str | None) -> float | None:
    """The number that a text is; None for anything else, and for what is not finite."""
    try:
        number = float(text) if text else math.nan
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def whole(text: str) -> str:
    """The text; of `61.0`, which a data frame makes of a whole number beside empty cells, `61`."""
    match = _WHOLE.fullmatch(text)
    return text if match is None else match[1]


def flag_of(text: str) -> bool | None:
    """Whether a flag is set, as tables and data frames write it; None for anything else."""
    return _FLAGS.get(whole(text).casefold())


def box_of(left: float, top: float, right: float, bottom: float) -> Box | None:
    """The whole pixels that a box touches, given by its edges; None where it is empty or in no image.

    Annotations that were scaled may reach over the edge by less than a pixel; that is cut off.
    """
    if not (-1 < left < right <= MOST_PIXELS and -1 < top < bottom <= MOST_PIXELS):
        return None

    first_column, first_row = max(math.floor(left), 0), max(math.floor(top), 0)
    return Box(first_column, first_row, math.ceil(right) - first_column, math.ceil(bottom) - first_row)


def box_within(box: Box | None, height: float | None, width: float | None) -> Box | None:
    """The box without less than a pixel beyond the image; None where it reaches further. None as a size: no limit."""
    if box is None:
        return None

    over_right = 0.0 if width is None else box.left + box.width - width
    over_bottom = 0.0 if height is None else box.top + box.height - height
    if over_right > 1 or over_bottom > 1:
        return None
    fitted = Box(
        box.left, box.top, box.width - max(math.ceil(over_right), 0), box.height - max(math.ceil(over_bottom), 0)
    )
    return fitted if fitted.width > 0 and fitted.height > 0 else None
