"""`--autoencoder`: a sparse autoencoder on a layer of the target, as `name=value` or as a file with its values."""

from collections.abc import Sequence

from cli.named_values import NamedValues
from service.domain.autoencoders import AutoencoderSpec, given_autoencoder
from service.errors import InvalidInput
from service.sources.uris import is_remote

HELP = (
    "A sparse autoencoder on a layer of the target: name=value, as in layer=layer4 and checkpoint=sae.safetensors, "
    "or a .yaml or .json file; may be repeated."
)
_PARSED = {"k", "pre_bias"}
"""All other values are texts, also where they look like numbers: layers are called 0 and 1.10."""


def read_autoencoder_options(options: Sequence[str] | None) -> AutoencoderSpec | None:
    """What the options give; None where there are none. Raises InvalidInput."""
    if not options:
        return None

    given = given_autoencoder(_OPTIONS.read(options))
    if is_remote(given.checkpoint):
        raise InvalidInput(
            "The autoencoder is a source, and is not fetched.",
            field="autoencoder.checkpoint",
            value=given.checkpoint.partition("?")[0],
            remedy="Fetch its file with its configuration, and name that.",
        )
    return given


def _value(name: str, text: str, option: str) -> object:
    return _OPTIONS.parsed(text, option) if name in _PARSED else text.strip()


_OPTIONS = NamedValues("autoencoder", ("layer", "layer4"), _value)
