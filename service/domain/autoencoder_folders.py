"""Folders as the libraries of sparse autoencoders write them: weights, and beside them what they do not say."""

from hashlib import sha256
from pathlib import Path

from service.domain.json_text import parse_json
from service.domain.json_values import JsonObject
from service.errors import InvalidCheckpoint, InvalidInput
from service.files import DataRoots

FIELD = "autoencoder.checkpoint"
MOST_BYTES = 1 << 20

CFG = "cfg.json"
"""As SAELens and sparsify write it."""
CONFIG = "config.json"
"""As dictionary_learning writes it; other software gives files of the most different content that name."""

_WEIGHTS = ("sae_weights.safetensors", "sae.safetensors", "ae.pt", "sparse_autoencoder_final.pt")


def autoencoder_weights_in(path: Path) -> Path:
    """The weights file that a folder stands for; any other path is that file itself. Raises InvalidCheckpoint."""
    if not path.is_dir():
        return path
    for name in _WEIGHTS:
        if (path / name).is_file():
            return path / name

    raise InvalidCheckpoint(
        f"The folder has none of {', '.join(_WEIGHTS)}.",
        field=FIELD,
        value=path,
        remedy="Name the autoencoder's weights file itself.",
    )


def read_configuration(weights: Path, roots: DataRoots) -> tuple[JsonObject | None, str | None]:
    """What stands beside an autoencoder's weights and describes it, and its digest; None twice where nothing does.

    Raises InvalidCheckpoint, OSError.
    """
    for name in (CFG, CONFIG):
        try:
            with roots.open(weights.parent / name) as file:
                content = file.read(MOST_BYTES + 1)
        except FileNotFoundError:
            continue

        if name == CONFIG and not _speaks_of_dictionaries(content):
            continue
        if len(content) > MOST_BYTES:
            raise InvalidCheckpoint(
                f"The {name} beside the autoencoder's weights is larger than 1 MB.",
                field=FIELD,
                value=weights,
                remedy=f"Give the {name} that the autoencoder's library wrote.",
            )
        return _object(content, name, weights), sha256(content).hexdigest()
    return None, None


def _speaks_of_dictionaries(content: bytes) -> bool:
    return b'"dict_class"' in content


def _object(content: bytes, name: str, weights: Path) -> JsonObject:
    try:
        configuration = parse_json(content, root=name, bounds_only=True)
        why = f"The {name} beside the autoencoder's weights is not a JSON object."
    except InvalidInput as error:
        configuration = None
        why = f"What stands beside the autoencoder's weights cannot be read. {error.detail}"

    if not isinstance(configuration, dict):
        raise InvalidCheckpoint(
            why,
            field=FIELD,
            value=weights,
            remedy=f"Give the {name} that the autoencoder's library wrote, or move it elsewhere.",
        )
    return configuration
