"""A dissector's directory: `dissector.json` and the files it names."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from service.errors import InvalidDissector

CONFIG = "dissector.json"


def read_config(directory: Path) -> dict[str, Any]:
    """The content of `dissector.json`. Raises InvalidDissector when it is missing or is no JSON object."""
    path = directory / CONFIG
    if not path.is_file():
        raise InvalidDissector(
            f"The dissector's directory has no {CONFIG}.",
            field="dissector",
            value=directory,
            remedy='Put one there, such as {"kind": "mammo-clip", "checkpoint": "weights.tar", "vocab": "vocab.txt"}.',
        )
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InvalidDissector(
            f"{CONFIG} is no valid JSON: {error}.", field="dissector", value=path, remedy="Correct the file."
        ) from error
    if not isinstance(config, dict):
        raise InvalidDissector(
            f"{CONFIG} holds no JSON object.", field="dissector", value=path, remedy="Write one in braces."
        )
    return config


def named_file(directory: Path, config: Mapping[str, Any], entry: str) -> Path:
    """The file that `config[entry]` names, which must lie in the directory: the content digest covers nothing else.

    Raises InvalidDissector when the entry is missing, leads outside, or there is no such file.
    """
    name = config.get(entry)
    if not isinstance(name, str) or not name:
        raise InvalidDissector(
            f"{CONFIG} names no {entry}.",
            field="dissector",
            value=directory,
            remedy=f'Add "{entry}": "<file name>" to it.',
        )
    path = directory / name
    if not path.resolve().is_relative_to(directory.resolve()):
        raise InvalidDissector(
            f"The {entry} lies outside of the dissector's directory.",
            field="dissector",
            value=name,
            remedy="Copy it into the directory.",
        )
    if not path.is_file():
        raise InvalidDissector(
            f"The dissector's directory has no {entry} '{name}'.",
            field="dissector",
            value=path,
            remedy=f"Copy the file there, or correct the entry in {CONFIG}.",
        )
    return path
