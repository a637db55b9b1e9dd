"""How images reach a dissector whose folder says it in the terms of its library, and what cannot be done as it says."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, get_args

from service.domain.input_contract import GivenInput, given_input
from service.domain.json_values import JsonObject
from service.domain.preprocessing import Preprocessing, Resize
from service.engine.dissectors.directory import CONFIG, DissectorFolder
from service.errors import InvalidDissector, InvalidInput

ResizeMode = Literal["shortest", "squash", "longest"]
Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos", "area", "hamming", "random"]

OVERRIDES = "preprocessing"
"""The entry of dissector.json that says otherwise."""

_FROM_MODEL = ("height", "width", "channels")
_STATED_HERE = tuple(field.name for field in fields(GivenInput) if field.name not in _FROM_MODEL)
_THREE = 3


@dataclass(frozen=True, slots=True)
class ImageContract:
    """How images reach a dissector."""

    preprocessing: Preprocessing

    notes: tuple[str, ...] = ()
    """Where that is not what its folder asks for, in whole sentences."""


def contract_of(
    preprocessing: Preprocessing, mode: ResizeMode, interpolation: Interpolation, *, says: str
) -> ImageContract:
    """The contract of a library's settings. Mammograms are not square, and are never cropped to a square.

    preprocessing: with height, width, mean and deviation.
    says: the file that has the settings.
    """
    height, width = preprocessing.height, preprocessing.width
    notes = []

    if mode == "shortest":
        notes.append(
            f"{says} asks for a crop of the centre, which would cut off parts of the breast: "
            f"the whole image is resized to {height} x {width} instead."
        )
    exact = interpolation == "area" or (interpolation == "bicubic" and mode != "longest")
    if not exact:
        notes.append(f"{says} asks for {interpolation} interpolation: pixels are averaged (area) instead.")

    resize: Resize
    if mode == "longest":
        resize = "pad"
    elif interpolation == "bicubic":
        resize = "bicubic"
    else:
        resize = "area"
    return ImageContract(replace(preprocessing, resize=resize), tuple(notes))


def overridden(contract: ImageContract, config: JsonObject, folder: DissectorFolder) -> ImageContract:
    """The contract with what `preprocessing` of dissector.json states. Raises InvalidDissector, naming the entry."""
    stated = read_overrides(config, folder)
    if not stated:
        return contract

    entries = ", ".join(f"{name} {value}" for name, value in stated.items())
    said = f"{CONFIG} states how images reach the dissector: {entries}."
    kept = () if "resize" in stated else contract.notes
    return ImageContract(replace(contract.preprocessing, **stated), (*kept, said))


def read_overrides(config: JsonObject, folder: DissectorFolder) -> dict[str, Any]:
    """What `preprocessing` of dissector.json states. Raises InvalidDissector, naming the entry."""
    entry = config.get(OVERRIDES)
    if entry is None:
        return {}
    if not isinstance(entry, Mapping):
        raise _unusable(OVERRIDES, "is not an object.", "Give an object in braces, or leave it out.", folder)

    for name in entry:
        if name not in _STATED_HERE:
            remedy = f"The entries are {', '.join(_STATED_HERE)}; {', '.join(_FROM_MODEL)} come from the model."
            raise _unusable(f"{OVERRIDES}.{name:.40}", "is not known.", remedy, folder)

    try:
        given = given_input({**entry, "channels": _THREE})
    except InvalidInput as error:
        name = str(error.field).removeprefix("input.")
        raise _unusable(f"{OVERRIDES}.{name}", f"cannot be used. {error.detail}", error.remedy, folder) from error

    values = asdict(given)
    stated = {name: values[name] for name in _STATED_HERE if values[name] is not None}
    for name in ("mean", "std"):
        if name in stated and len(stated[name]) == 1:
            stated[name] *= _THREE
    return stated


def _unusable(entry: str, problem: str, remedy: str | None, folder: DissectorFolder) -> InvalidDissector:
    return InvalidDissector(
        f"The entry {entry} of {CONFIG} {problem}", field="dissector", value=folder.path / CONFIG, remedy=remedy
    )


def numbers_of(values: object, name: str, folder: DissectorFolder) -> tuple[float, ...]:
    """Mean or deviation of three channels. Raises InvalidDissector. name: the entry, with its file."""
    numbers = values if isinstance(values, list) else []
    fits = len(numbers) == _THREE and all(type(number) in (int, float) for number in numbers)
    if not fits:
        raise InvalidDissector(
            f"{name} is not three numbers.", field="dissector", value=folder.path, remedy="Give one per colour."
        )

    triple = tuple(float(number) for number in numbers)
    if "std" in name and min(triple) <= 0:
        raise InvalidDissector(
            f"{name} is not greater than zero; each channel is divided by it.",
            field="dissector",
            value=folder.path,
            remedy="Give the deviation of each colour.",
        )
    return triple


def word_of(value: object, allowed: object, name: str) -> str:
    """A word of a Literal. Raises InvalidDissector. name: the entry, with its file."""
    words = get_args(allowed)
    if isinstance(value, str) and value in words:
        return value
    raise InvalidDissector(
        f"{name} is none of {', '.join(words)}.",
        field="dissector",
        value=value,
        remedy=f'Correct it, or state "{OVERRIDES}": {{"resize": "bicubic"}} in {CONFIG}.',
    )
