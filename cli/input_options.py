"""`--input`: how images reach a target, as `name=value` or as a file with several of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cli.documents import read_document
from service.domain.input_contract import GivenInput, given_input
from service.errors import InvalidInput
from service.plain_yaml import parse_yaml

HELP = (
    "How images reach the target: name=value, as in height=384 or mean=0.5,0.25,0.125, or a .yaml or .json file; "
    "may be repeated."
)
_SUFFIXES = {".json", ".yaml", ".yml"}
_MOST_BYTES = 64 << 10


def read_input(options: Sequence[str] | None) -> GivenInput | None:
    """What the options give; None where there are none. Raises InvalidInput."""
    if not options:
        return None

    values: dict[str, object] = {}
    for option in options:
        for name, value in _values(option).items():
            if name in values:
                raise InvalidInput(
                    f"The input's {name} is given twice.",
                    field=f"input.{name}",
                    value=value,
                    remedy=f"Give {name} once.",
                )
            values[name] = value
    return given_input(values)


def _values(option: str) -> dict[str, object]:
    name, separator, text = option.partition("=")
    if separator:
        value = _parsed(text, option)
        if isinstance(value, str) and "," in value:
            value = [_parsed(number, option) for number in value.split(",")]
        return {name.strip(): value}

    path = Path(option)
    if path.suffix.lower() not in _SUFFIXES:
        raise InvalidInput(
            f"'{option[:80]}' is neither name=value nor a file.",
            field="input",
            value=option,
            remedy="Write name=value, as in height=384, or name a .yaml or .json file.",
        )

    content = _parsed(read_document(path, field="input", most=_MOST_BYTES).decode("utf-8", "replace"), option)
    if not isinstance(content, dict):
        raise InvalidInput(
            "The file holds no names with values.",
            field="input",
            value=option,
            remedy="Write a line for each, as in `height: 384`.",
        )
    return {str(name): value for name, value in content.items()}


def _parsed(text: str, option: str) -> Any:
    return _with_numbers(parse_yaml(text, "input", value=option, remedy="Write it as in YAML or JSON."))


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
