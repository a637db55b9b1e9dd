"""The architecture of a text tower of transformers: from a configuration in the folder, else from the weights.

Nothing but sizes and plain words is taken from a configuration; names of files, of models on a hub and of code are not.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from torch import Tensor

from service.domain.json_values import JsonObject
from service.engine.dissectors.directory import CONFIG, DissectorFolder
from service.engine.dissectors.text_files import refuse_code
from service.errors import InvalidDissector

TEXT_CONFIG = "text_config"
"""The entry of dissector.json that names the text tower's configuration."""

_PREFIX = "text.transformer."
_HEAD_WIDTH = 64
_SEGMENTS = 2
_LARGEST_NUMBER = 1_000_000
_MOST_LAYERS = 256
_LONGEST_WORD = 100


@dataclass(frozen=True, slots=True)
class TextTower:
    """A checked configuration, and the sentence that says where it comes from."""

    config: JsonObject
    note: str

    def write(self, place: Path) -> None:
        """Write it where transformers can read it."""
        place.mkdir(exist_ok=True)
        (place / "config.json").write_text(json.dumps(self.config), encoding="utf-8")


def find_text_tower(
    folder: DissectorFolder, config: JsonObject, hub_name: str, weights: Mapping[str, Tensor]
) -> TextTower:
    """The text tower that an open_clip description calls by its name on a model hub.

    config: the content of dissector.json.
    Raises InvalidDissector where the folder does not hold its configuration and the weights do not tell it.
    """
    file = _config_file(folder, config, hub_name)
    if file is None:
        return _conclude(folder, hub_name, weights)

    entries = read_tower_config(folder, file, known_towers())
    return TextTower(entries, f"The text tower's architecture is that of {file}.")


def known_towers() -> frozenset[str]:
    """The kinds of text tower that open_clip can take from transformers."""
    from open_clip.hf_configs import arch_dict

    return frozenset(arch_dict)


def read_tower_config(folder: DissectorFolder, file: str, known: frozenset[str]) -> JsonObject:
    """A configuration of transformers with what shapes the network. Raises InvalidDissector."""
    content = folder.read_json(file)
    refuse_code(content, file, folder)
    kind = content.get("model_type")
    if not isinstance(kind, str) or kind not in known:
        raise InvalidDissector(
            f"{file} describes no known kind of network.",
            field="dissector",
            value=kind,
            remedy=f"Its model_type must be one of {', '.join(sorted(known))}.",
        )
    return {"model_type": kind, **shaping_entries(content, kind, file, folder)}


def shaping_entries(content: JsonObject, kind: str, file: str, folder: DissectorFolder) -> JsonObject:
    """The numbers, words and flags of a configuration that shape a network of this kind.

    Raises InvalidDissector where a number or a word is out of bounds.
    """
    from transformers import CONFIG_MAPPING, PreTrainedConfig

    common = PreTrainedConfig().to_dict()
    shaping = {name for name in CONFIG_MAPPING[kind]().to_dict() if name not in common}
    entries = {
        name: value for name, value in content.items() if name in shaping and isinstance(value, str | int | float)
    }
    for name, value in entries.items():
        if not _is_sane(name, value):
            raise InvalidDissector(
                f"{name:.40} of {file} is out of bounds.",
                field="dissector",
                value=folder.path / file,
                remedy=f"Numbers go to {_LARGEST_NUMBER} (layers to {_MOST_LAYERS}), words to {_LONGEST_WORD} letters.",
            )
    return entries


def _is_sane(name: str, value: str | int | float) -> bool:
    if isinstance(value, str):
        return len(value) <= _LONGEST_WORD
    most = _MOST_LAYERS if name.endswith("layers") else _LARGEST_NUMBER
    return math.isfinite(value) and abs(value) <= most


def _config_file(folder: DissectorFolder, config: JsonObject, hub_name: str) -> str | None:
    if config.get(TEXT_CONFIG) is not None:
        return folder.named_file(config, TEXT_CONFIG)

    written = PurePosixPath(hub_name)
    for place in (written / "config.json", PurePosixPath(written.name) / "config.json"):
        if place.as_posix() in folder.sha256:
            return place.as_posix()

    # The same name is that of a whole model's description, where the folder holds the model in two layouts.
    beside = "config.json"
    if beside in folder.sha256 and folder.read_json(beside).get("model_type") in known_towers():
        return beside
    return None


def _conclude(folder: DissectorFolder, hub_name: str, weights: Mapping[str, Tensor]) -> TextTower:
    words = _shape(weights, "embeddings.word_embeddings.weight")
    positions = _shape(weights, "embeddings.position_embeddings.weight")
    segments = _shape(weights, "embeddings.token_type_embeddings.weight")
    inner = _shape(weights, "encoder.layer.0.intermediate.dense.weight")

    # The weights of RoBERTa have the same names; it has one segment, and counts positions and padding differently.
    is_bert = len(words) == len(positions) == len(segments) == len(inner) == 2 and segments[0] == _SEGMENTS
    if not is_bert or words[1] % _HEAD_WIDTH:
        raise InvalidDissector(
            f"The text tower '{hub_name:.100}' is named by its place on a model hub, and neither the folder nor the "
            "weights say what it is.",
            field="dissector",
            value=folder.path,
            remedy=f'Copy the config.json of that model into the folder as "{PurePosixPath(hub_name).name:.100}/'
            f'config.json", or name the file in {CONFIG} as "{TEXT_CONFIG}".',
        )

    layers = len({key for key in weights if key.startswith(_PREFIX) and key.endswith(".intermediate.dense.weight")})
    width = words[1]
    heads = width // _HEAD_WIDTH
    entries: JsonObject = {
        "model_type": "bert",
        "vocab_size": words[0],
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": inner[0],
        "max_position_embeddings": positions[0],
        "type_vocab_size": segments[0],
    }
    note = (
        f"The folder holds no configuration of the text tower '{hub_name:.100}'. From the weights it was concluded "
        f"that it is a BERT with {words[0]} words, {layers} layers, {width} wide, and from that width {heads} heads of "
        f"{_HEAD_WIDTH}; with GELU and an epsilon of 1e-12, as BERT has them."
    )
    return TextTower(entries, note)


def _shape(weights: Mapping[str, Tensor], name: str) -> tuple[int, ...]:
    value = weights.get(_PREFIX + name)
    return () if value is None else tuple(value.shape)
