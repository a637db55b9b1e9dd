"""How images reach a dissector whose folder says it in the terms of its library, and what cannot be done as it says."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, FiniteFloat, ValidationError

from service.domain.json_values import JsonObject
from service.domain.preprocessing import Orientation, PadSide, Preprocessing, Resize, Scale, Window
from service.engine.dissectors.directory import CONFIG, DissectorFolder
from service.errors import InvalidDissector
from service.wrong_values import expected_of

ResizeMode = Literal["shortest", "squash", "longest"]
Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos", "area", "hamming", "random"]

OVERRIDES = "preprocessing"
"""The entry of dissector.json that says otherwise."""

_THREE = 3


@dataclass(frozen=True, slots=True)
class ImageContract:
    """How images reach a dissector."""

    preprocessing: Preprocessing

    notes: tuple[str, ...] = ()
    """Where that is not what its folder asks for, in whole sentences."""


class _Overrides(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    resize: Resize | None = None
    pad_side: PadSide | None = None
    crop_to_breast: bool | None = None
    orientation: Orientation | None = None
    window: Window | None = None
    padding_as_air: bool | None = None
    scale: Scale | None = None
    range_low: FiniteFloat | None = None
    range_high: FiniteFloat | None = None
    mean: tuple[FiniteFloat, FiniteFloat, FiniteFloat] | None = None
    std: tuple[FiniteFloat, FiniteFloat, FiniteFloat] | None = None


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
    preprocessing = replace(contract.preprocessing, **stated)
    _check_deviation(preprocessing.std, f"{CONFIG} has {OVERRIDES}.std", folder)
    return ImageContract(preprocessing, (*kept, said))


def read_overrides(config: JsonObject, folder: DissectorFolder) -> dict[str, Any]:
    """What `preprocessing` of dissector.json states. Raises InvalidDissector, naming the entry."""
    entry = config.get(OVERRIDES)
    if entry is None:
        return {}
    try:
        stated: dict[str, Any] = _Overrides.model_validate(entry).model_dump(exclude_none=True)
        return stated
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_input=False)[0]

    name = ".".join([OVERRIDES, *(f"{step!s:.40}" for step in wrong["loc"])])
    known = ", ".join(_Overrides.model_fields)
    if wrong["type"] == "extra_forbidden":
        problem, remedy = "is not known", f"The entries are {known}; height and width come from the model."
    else:
        problem, remedy = f"must be {expected_of(wrong['type'], wrong.get('ctx', {}))}", "Correct the entry."
    raise InvalidDissector(
        f"The entry {name} of {CONFIG} {problem}.", field="dissector", value=folder.path / CONFIG, remedy=remedy
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
    if "std" in name:
        _check_deviation(triple, name, folder)
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


def _check_deviation(std: Sequence[float], name: str, folder: DissectorFolder) -> None:
    if any(number == 0 for number in std):
        raise InvalidDissector(
            f"{name} has a zero, by which nothing can be divided.",
            field="dissector",
            value=folder.path,
            remedy="Give the deviation of each colour.",
        )
