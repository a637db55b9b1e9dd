"""`--input`: how images reach a target, as `name=value` or as a file with several of them."""

from collections.abc import Sequence
from typing import Any

from cli.named_values import NamedValues
from service.domain.input_contract import GivenInput, given_input

HELP = (
    "How images reach the target: name=value, as in height=384 or mean=0.5,0.25,0.125, or a .yaml or .json file; "
    "may be repeated."
)


def read_input(options: Sequence[str] | None) -> GivenInput | None:
    """What the options give; None where there are none. Raises InvalidInput."""
    if not options:
        return None

    values = _OPTIONS.read(options)
    return given_input({name: _with_numbers(value) for name, value in values.items()})


def _value(_name: str, text: str, option: str) -> object:
    value = _OPTIONS.parsed(text, option)
    if isinstance(value, str) and "," in value:
        return [_OPTIONS.parsed(number, option) for number in value.split(",")]
    return value


_OPTIONS = NamedValues("input", ("height", "384"), _value)


def _with_numbers(value: Any) -> Any:
    """The value with numbers in place of texts such as 1e-06, which JSON and people write and YAML takes for texts."""
    if isinstance(value, dict):
        return {name: _with_numbers(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [_with_numbers(entry) for entry in value]

    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value
