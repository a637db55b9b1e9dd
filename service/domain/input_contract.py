"""How images reach a target: what its user gives of it, what the network's library says, and where each value is from.

The rest of a contract that somebody gives in part comes from the library; of a contract that nobody gives, the values
are those that there have always been, so that results stay what they were.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from typing import Any, Literal, NoReturn, TypedDict, get_args

from service.domain.given_fields import Check, checked_fields, refuse_field
from service.domain.json_values import JsonObject, StoredJson
from service.domain.preprocessing import Orientation, PadSide, Preprocessing, Resize, Scale, Window
from service.errors import InvalidInput

Origin = Literal["given", "library", "checkpoint", "default"]
"""Where a value is from.

given: whoever registered the model. library: the configuration that the network's library has for it, or the paper of
a network of our own. checkpoint: the shape of the weights. default: of this service, where nobody says anything.
"""

LEAST_SIDE = 8
GREATEST_SIDE = 8192
_GREATEST_NUMBER = 1e6
_LEAST_STD = 1e-6
_CHANNELS = (1, 3)
_SUBJECT = "input"


class InputValue(TypedDict):
    """A value of a contract, and its `Origin`."""

    value: object
    origin: Origin


InputEntries = dict[str, InputValue]
"""A whole contract by the names of its fields, as it is stored, answered and written into manifests."""


@dataclass(frozen=True, slots=True)
class GivenInput:
    """What somebody gives of a contract; see `Preprocessing`. None is what was not given.

    mean and std have one number for all channels, or one for each.
    """

    height: int | None = None
    width: int | None = None
    channels: Literal[1, 3] | None = None
    resize: Resize | None = None
    pad_side: PadSide | None = None
    crop_to_breast: bool | None = None
    orientation: Orientation | None = None
    window: Window | None = None
    padding_as_air: bool | None = None
    scale: Scale | None = None
    range_low: float | None = None
    range_high: float | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    def as_dict(self) -> StoredJson:
        """As JSON, without what was not given: what `given_input` takes."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
            if value is not None
        }


@dataclass(frozen=True, slots=True)
class LibraryInput:
    """What the library of a network says of its input."""

    library: str
    """Its name, as a person reads it."""

    unstated: Preprocessing
    """How images reach the network where nothing at all is given."""

    stated: JsonObject
    """The fields of `Preprocessing` that the library's configuration has for this network."""

    general_purpose: bool
    """Is it a configuration for photographs, which somebody who trains on mammograms hardly keeps?"""


@dataclass(frozen=True, slots=True)
class InputContract:
    """How images reach a target, and where each value is from."""

    preprocessing: Preprocessing
    origins: Mapping[str, Origin]
    warnings: tuple[str, ...] = ()

    def entries(self) -> InputEntries:
        """Every field with its value and its origin."""
        values = asdict(self.preprocessing)
        return {
            name: {"value": list(value) if isinstance(value, tuple) else value, "origin": self.origins[name]}
            for name, value in values.items()
        }


def given_input(values: Mapping[str, object]) -> GivenInput:
    """Check what somebody gives, field by field and together. Raises InvalidInput, naming the first wrong field."""
    given = GivenInput(**checked_fields(_SUBJECT, values, _CHECKS))
    _check_together(given)
    return given


def resolve_input(given: GivenInput | None, said: LibraryInput, *, stem: int | None) -> InputContract:
    """The whole contract.

    stem: channels that the network's first layer takes; None where that is not known.
    Raises InvalidInput where what was given contradicts the network.
    """
    channels, channels_from = _channels(given, stem)
    values: dict[str, Any] = asdict(said.unstated)
    if given is None:
        origins = {name: _origin_unstated(name, value, said) for name, value in values.items()}
    else:
        values |= said.stated
        origins = {name: "library" if name in said.stated else "default" for name in values}

    for name in ("mean", "std"):
        if channels == 1 and len(values[name]) == 3:
            values[name] = (round(sum(values[name]) / 3, 6),)
            origins[name] = "default"

    given = given or GivenInput()
    for name, value in asdict(given).items():
        if value is not None:
            values[name] = _for_channels(name, value, channels) if name in {"mean", "std"} else value
            origins[name] = "given"

    values["channels"], origins["channels"] = channels, channels_from
    return InputContract(Preprocessing(**values), origins, _warnings(given, said))


def _channels(given: GivenInput | None, stem: int | None) -> tuple[Literal[1, 3], Origin]:
    asked = None if given is None else given.channels
    if asked is not None and stem is not None and asked != stem:
        raise InvalidInput(
            f"Images would have {asked} channel(s), but the network's first layer takes {stem}.",
            field="input.channels",
            value=asked,
            remedy=f"Give channels {stem}, or leave channels out." if stem in _CHANNELS else "Leave channels out.",
        )

    if asked is not None:
        return asked, "given"
    if stem == 1:
        return 1, "checkpoint"
    return 3, "library"


def _origin_unstated(name: str, value: object, said: LibraryInput) -> Origin:
    return "library" if name in said.stated and said.stated[name] == value else "default"


def _for_channels(name: str, numbers: tuple[float, ...], channels: int) -> tuple[float, ...]:
    if len(numbers) == 1:
        return numbers * channels
    if len(numbers) != channels:
        remedy = "Give 1 number." if channels == 1 else f"Give 1 number, or {channels}, one for each channel."
        _refuse(name, list(numbers), f"has {len(numbers)} numbers", remedy)
    return numbers


_TRAINED = ("height", "width", "mean", "std")
"""What a network's training decides, and what nothing in its weights says."""

_WITHOUT_WINDOW = (
    "The window is `voi`: DICOM images whose header has neither a VOI lookup table nor a window are shown as with "
    "`stored`. The check of a probe set counts them."
)


def _warnings(given: GivenInput, said: LibraryInput) -> tuple[str, ...]:
    warnings = []
    left_out = [name for name in _TRAINED if getattr(given, name) is None]
    if said.general_purpose and left_out:
        words = " and ".join(filter(None, [", ".join(left_out[:-1]), left_out[-1]]))
        warnings.append(
            f"How images reach this network was not given in full: {words} are what {said.library} has for "
            "photographs. A network that was trained on mammograms with other values is not shown what it knows. "
            f"Register it with `input`, giving {words} as in its training (for example from its training script)."
        )

    if given.window == "voi":
        warnings.append(_WITHOUT_WINDOW)
    return tuple(warnings)


def _check_together(given: GivenInput) -> None:
    if given.pad_side is not None and given.resize != "pad":
        what = "is only for resize `pad`" if given.resize is None else f"does not go with resize `{given.resize}`"
        _refuse("pad_side", given.pad_side, what, "Give resize `pad`, or leave pad_side out.")

    for name in ("range_low", "range_high"):
        value = getattr(given, name)
        if value is not None and given.scale != "range":
            _refuse(name, value, "is only for scale `range`", f"Give scale `range`, or leave {name} out.")
        if value is None and given.scale == "range":
            _refuse("scale", "range", f"needs {name}", "Give range_low and range_high: what black and white become.")
    if given.range_low is not None and given.range_high is not None and given.range_low >= given.range_high:
        remedy = f"Give a range_low below {given.range_high:g}."
        _refuse("range_low", given.range_low, "is not below range_high", remedy)

    if given.channels is not None:
        for name in ("mean", "std"):
            numbers = getattr(given, name)
            if numbers is not None:
                _for_channels(name, numbers, given.channels)


def _side(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not LEAST_SIDE <= value <= GREATEST_SIDE:
        _refuse(name, value, "is not a valid size", f"Give a whole number of pixels, {LEAST_SIDE} to {GREATEST_SIDE}.")
    return value


def _channel_count(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value not in _CHANNELS:
        _refuse(name, value, "is not a valid number of channels", "Give 1 or 3.")
    return value


def _flag(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        _refuse(name, value, "is neither true nor false", "Give true or false.")
    return value


def _word(kind: object) -> Callable[[str, object], str]:
    words = get_args(kind)

    def check(name: str, value: object) -> str:
        if not isinstance(value, str) or value not in words:
            near = get_close_matches(str(value), words, n=1)
            remedy = f"Give {', '.join(words[:-1])} or {words[-1]}." + (f" Did you mean {near[0]}?" if near else "")
            _refuse(name, value, "is not known", remedy)
        return value

    return check


def _pad_side(name: str, value: object) -> object:
    return "both" if value == "centre" else _word(PadSide)(name, value)


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        _refuse(name, value, "is not a number", "Give a number.")
    if not -_GREATEST_NUMBER <= value <= _GREATEST_NUMBER:  # NaN neither; an int may be too long for a float
        bounds = f"{-_GREATEST_NUMBER:g} and {_GREATEST_NUMBER:g}"
        _refuse(name, value, "is out of range", f"Give a number between {bounds}.")
    return float(value)


def _numbers(name: str, value: object) -> tuple[float, ...]:
    listed = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    if len(listed) not in _CHANNELS:
        _refuse(name, value, f"has {len(listed)} numbers", "Give 1 number, or 3, one for each channel.")
    return tuple(_number(name, number) for number in listed)


def _deviations(name: str, value: object) -> tuple[float, ...]:
    numbers = _numbers(name, value)
    for number in numbers:
        if number < _LEAST_STD:
            _refuse(name, number, "divides the image, so it must be greater than 0", f"Give {_LEAST_STD:g} or more.")
    return numbers


def _refuse(name: str, value: object, what: str, remedy: str) -> NoReturn:
    refuse_field(_SUBJECT, name, value, what, remedy)


_CHECKS: dict[str, Check] = {
    "height": _side,
    "width": _side,
    "channels": _channel_count,
    "resize": _word(Resize),
    "pad_side": _pad_side,
    "crop_to_breast": _flag,
    "orientation": _word(Orientation),
    "window": _word(Window),
    "padding_as_air": _flag,
    "scale": _word(Scale),
    "range_low": _number,
    "range_high": _number,
    "mean": _numbers,
    "std": _deviations,
}
