"""`--autoencoder`: a sparse autoencoder on a layer of the target, as `name=value` or as a file with its values."""

from collections.abc import Sequence
from pathlib import Path

from cli.documents import read_document
from service.domain.autoencoders import AutoencoderSpec, given_autoencoder
from service.errors import InvalidInput
from service.plain_yaml import parse_yaml
from service.sources.uris import is_remote

HELP = (
    "A sparse autoencoder on a layer of the target: name=value, as in layer=layer4 and checkpoint=sae.safetensors, "
    "or a .yaml or .json file; may be repeated."
)
_SUFFIXES = {".json", ".yaml", ".yml"}
_MOST_BYTES = 64 << 10
_PARSED = {"k", "pre_bias"}
"""All other values are texts, also where they look like numbers: layers are called 0 and 1.10."""


def read_autoencoder_options(options: Sequence[str] | None) -> AutoencoderSpec | None:
    """What the options give; None where there are none. Raises InvalidInput."""
    if not options:
        return None

    values: dict[str, object] = {}
    for option in options:
        for name, value in _values(option).items():
            if name in values:
                raise InvalidInput(
                    f"The autoencoder's {name} is given twice.",
                    field=f"autoencoder.{name}",
                    value=value,
                    remedy=f"Give {name} once.",
                )
            values[name] = value

    given = given_autoencoder(values)
    if is_remote(given.checkpoint):
        raise InvalidInput(
            "The autoencoder is a source, and is not fetched.",
            field="autoencoder.checkpoint",
            value=given.checkpoint.partition("?")[0],
            remedy="Fetch its file with its configuration, and name that.",
        )
    return given


def _values(option: str) -> dict[str, object]:
    name, separator, text = option.partition("=")
    name = name.strip()
    if separator:
        return {name: _parsed(text, option) if name in _PARSED else text.strip()}

    path = Path(option)
    if path.suffix.lower() not in _SUFFIXES:
        raise InvalidInput(
            f"'{option[:80]}' is neither name=value nor a file.",
            field="autoencoder",
            value=option,
            remedy="Write name=value, as in layer=layer4, or name a .yaml or .json file.",
        )

    content = _parsed(read_document(path, field="autoencoder", most=_MOST_BYTES).decode("utf-8", "replace"), option)
    if not isinstance(content, dict):
        raise InvalidInput(
            "The file holds no names with values.",
            field="autoencoder",
            value=option,
            remedy="Write a line for each, as in `layer: layer4`.",
        )
    return {str(name): value for name, value in content.items()}


def _parsed(text: str, option: str) -> object:
    return parse_yaml(text, "autoencoder", value=option, remedy="Write it as in YAML or JSON.")
