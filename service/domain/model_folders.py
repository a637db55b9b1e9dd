"""Folders as transformers writes them: weights, and beside them the files that say which network they belong to."""

from hashlib import sha256
from pathlib import Path

from service.domain.digests import digest_of
from service.errors import InvalidCheckpoint
from service.files import DataRoots

FAMILY = "transformers"
"""What the architectures begin with whose network is described by files beside the weights."""

CONFIG = "config.json"
PROCESSOR = "preprocessor_config.json"
MOST_BYTES = 1 << 20

_WEIGHTS = ("model.safetensors", "pytorch_model.bin")


def is_described_by_files(architecture: str) -> bool:
    """Whether the network is described by files beside its weights."""
    return architecture.partition("/")[0] == FAMILY


def weights_in(path: Path) -> Path:
    """The file of weights that a folder stands for; a path that is no folder is that file.

    Raises InvalidCheckpoint for a folder without weights, or with weights in several files.
    """
    if not path.is_dir():
        return path
    for name in _WEIGHTS:
        if (path / name).is_file():
            return path / name

    raise InvalidCheckpoint(
        f"The folder has neither {_WEIGHTS[0]} nor {_WEIGHTS[1]}.",
        field="checkpoint",
        value=path,
        remedy="Save the model in one file: model.save_pretrained(folder, max_shard_size='100GB').",
    )


def read_descriptions(weights: Path, roots: DataRoots) -> tuple[dict[str, bytes], str]:
    """The descriptions beside a file of weights by name, and their digest. Raises InvalidCheckpoint, OSError."""
    contents: dict[str, bytes] = {}
    for name in (CONFIG, PROCESSOR):
        try:
            with roots.open(weights.parent / name) as file:
                contents[name] = file.read(MOST_BYTES + 1)
        except FileNotFoundError:
            continue
        if len(contents[name]) > MOST_BYTES:
            raise InvalidCheckpoint(
                f"The {name} beside the weights is larger than 1 MB.",
                field="checkpoint",
                value=weights,
                remedy=f"Give the {name} that transformers wrote.",
            )

    if CONFIG not in contents:
        raise InvalidCheckpoint(
            f"There is no {CONFIG} beside the weights, which says what network they belong to.",
            field="checkpoint",
            value=weights,
            remedy=f"Give the folder that model.save_pretrained wrote, or put its {CONFIG} beside the weights.",
        )
    return contents, digest_of({name: sha256(content).hexdigest() for name, content in contents.items()})
