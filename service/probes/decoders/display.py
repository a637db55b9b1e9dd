"""What a DICOM header says of how its levels are to be shown: the window or VOI lookup table, and the padding value."""

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from service.probes.decoders.dicom_file import DicomFile, LookupTable
from service.probes.pixels import NO_WINDOW, SOME_FRAMES, TABLE, UNUSABLE, WINDOW, CannotDecode, Display

PADDING_ELEMENTS = ("PixelPaddingValue", "PixelPaddingRangeLimit")
ELEMENTS = (
    *PADDING_ELEMENTS,
    "ModalityLUTSequence",
    "RescaleIntercept",
    "RescaleSlope",
    "VOILUTSequence",
    "VOILUTFunction",
    "WindowCenter",
    "WindowWidth",
)
"""What has to be read of a file beside its pixels."""

_AS_STORED = "Or show the images as they are stored: window `stored`."


def read_display(dicom: DicomFile, stored_of_level: NDArray[np.int64], levels: int, *, monochrome1: bool) -> Display:
    """The display of an image.

    stored_of_level: the stored value that each level of the decoded image stands for. levels: how many the type of its
    pixels has. monochrome1: low values are shown white.
    Raises CannotDecode for a window or table that cannot be applied.
    """
    window = _window(dicom, stored_of_level, monochrome1=monochrome1)
    if window is not None:
        window = np.pad(window, (0, levels - len(window)), mode="edge")
    return Display(window, read_padding(dicom, stored_of_level))


def kind_of_window(dicom: DicomFile) -> str:
    """Which of WINDOWS the header of an image has."""
    black = np.zeros(1, dtype=np.int64)
    try:
        shown = _window(dicom, black, monochrome1=False)
        has_table = shown is not None and dicom.lookup_table("VOILUTSequence") is not None
    except CannotDecode:
        return UNUSABLE
    if shown is None:
        return NO_WINDOW
    return TABLE if has_table else WINDOW


def kind_of_windows(kinds: Collection[str]) -> str:
    """The same of several frames, from the kinds of each."""
    different = set(kinds)
    if len(different) == 1:
        return different.pop()
    if UNUSABLE in different:
        return UNUSABLE
    return SOME_FRAMES if NO_WINDOW in different else WINDOW


def read_padding(dicom: DicomFile, stored_of_level: NDArray[np.int64]) -> tuple[int, int] | None:
    """The lowest and the highest level of padding; None where no pixel can be padding. Raises CannotDecode."""
    if not dicom.has("PixelPaddingValue"):
        return None

    value = dicom.number("PixelPaddingValue")
    limit = dicom.number_or("PixelPaddingRangeLimit", value)
    ends = sorted(_signed_as(number, stored_of_level) for number in (value, limit))
    levels = np.flatnonzero((stored_of_level >= ends[0]) & (stored_of_level <= ends[1]))
    return (int(levels[0]), int(levels[-1])) if levels.size else None


def _signed_as(number: int, values: NDArray[np.int64] | NDArray[np.float64]) -> int:
    """Some writers store what goes with signed pixels as if it were unsigned."""
    return number - (1 << 16) if number >= 1 << 15 and values.min() < 0 else number


def _window(dicom: DicomFile, stored_of_level: NDArray[np.int64], *, monochrome1: bool) -> NDArray[np.uint8] | None:
    """What each level is shown as, 0 to 255; None where the header has neither a table nor a window.

    Where there is more than one, the first counts; a table counts more than a window (DICOM PS3.3, C.11.2).
    """
    values = _modality_values(dicom, stored_of_level)
    table = dicom.lookup_table("VOILUTSequence")
    if table is not None:
        shown = _looked_up(table, values) / table.greatest
    elif dicom.has("WindowCenter") and dicom.has("WindowWidth"):
        shown = _windowed(dicom, values)
    else:
        return None

    clipped = np.clip(shown, 0.0, 1.0)
    if monochrome1:
        clipped = 1.0 - clipped
    return np.floor(255 * clipped).astype(np.uint8)


def _modality_values(dicom: DicomFile, stored: NDArray[np.int64]) -> NDArray[np.float64]:
    table = dicom.lookup_table("ModalityLUTSequence")
    if table is not None:
        return _looked_up(table, stored.astype(np.float64))
    return stored.astype(np.float64) * dicom.real_or("RescaleSlope", 1.0) + dicom.real_or("RescaleIntercept", 0.0)


def _looked_up(table: LookupTable, values: NDArray[np.float64]) -> NDArray[np.float64]:
    places = np.clip(np.floor(values) - _signed_as(table.first, values), 0, len(table.entries) - 1).astype(np.int64)
    entries: NDArray[np.float64] = table.entries[places].astype(np.float64)
    return entries


def _windowed(dicom: DicomFile, values: NDArray[np.float64]) -> NDArray[np.float64]:
    centre = dicom.real_or("WindowCenter", 0.0)
    width = dicom.real_or("WindowWidth", 0.0)
    function = dicom.text("VOILUTFunction").upper() if dicom.has("VOILUTFunction") else "LINEAR"

    least = 1.0 if function == "LINEAR" else 0.0
    if width < least or (width == 0 and function != "LINEAR"):
        raise CannotDecode(f"its WindowWidth (0028,1051) is {width:g}, which is too small", f"Correct it. {_AS_STORED}")

    match function:
        case "LINEAR":
            return _step(values, centre - 0.5) if width == 1 else (values - (centre - 0.5)) / (width - 1) + 0.5
        case "LINEAR_EXACT":
            return (values - centre) / width + 0.5
        case "SIGMOID":
            with np.errstate(over="ignore"):
                sigmoid: NDArray[np.float64] = 1 / (1 + np.exp(-4 * (values - centre) / width))
            return sigmoid
    raise CannotDecode(
        "its VOILUTFunction (0028,1056) is not LINEAR, LINEAR_EXACT or SIGMOID", f"Correct it. {_AS_STORED}"
    )


def _step(values: NDArray[np.float64], last_black: float) -> NDArray[np.float64]:
    return (values > last_black).astype(np.float64)
