"""Weights and files in the published layouts, with the golden recipe's numbers in them."""

import json
import zlib
from collections import OrderedDict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import OmegaConf
from torch import Tensor

from tests.golden.recipe import recipe_tensor, synth_image

GOLDEN = Path(__file__).parents[1] / "golden"
ENCODER_NAMES = {"b5": "tf_efficientnet_b5_ns-detect", "b2": "tf_efficientnetv2-detect"}
_CHECKED = 40  # every so manieth tensor's CRC-32 is compared with the golden column


@cache
def recipe_weights(keys: str, part: str = "") -> dict[str, Tensor]:
    """The recipe's state dict for the golden key list `keys_<keys>.json`, or for its keys that start with `part`."""
    rows = json.loads((GOLDEN / f"keys_{keys}.json").read_text())["rows"]
    shapes = {key: shape for key, _, shape, _ in rows}
    weights = {}
    for number, (key, _, _, crc) in enumerate(rows):
        if key.startswith(part):
            array = recipe_tensor(key, shapes)  # type: ignore[no-untyped-call]
            if number % _CHECKED == 0:
                assert f"{zlib.crc32(array.tobytes()):08x}" == crc, key
            weights[key] = torch.from_numpy(np.array(array))
    return weights


def image_encoder_weights(model: str) -> dict[str, Tensor]:
    """The recipe's image tower without its prefix."""
    prefix = "image_encoder."
    return {key.removeprefix(prefix): value for key, value in recipe_weights(model, prefix).items()}


def images_of(labels: list[str], height: int, width: int) -> Tensor:
    """The recipe's images, float32 [n, 3, height, width]."""
    return torch.stack(
        [
            torch.from_numpy(synth_image(label, height, width))  # type: ignore[no-untyped-call]
            for label in labels
        ]
    )


def pretraining_file(model: str, weights: dict[str, Tensor]) -> dict[str, Any]:
    """What a Mammo-CLIP pre-training file holds: its configuration still has OmegaConf lists in it."""
    tree = OmegaConf.create(
        {
            "base": {"seed": 10},
            "transform": {"train": {"transform": {"affine_scale": [0.8, 1.2], "p": 1.0}}},
            "model": {"name": "clip_custom", "image_encoder": {"name": ENCODER_NAMES[model], "model_type": "cnn"}},
        }
    )
    config = {key: _plain_but_lists(tree[key]) for key in tree}
    return {
        "model": OrderedDict(weights),
        "optimizer": {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": 5e-5, "params": [0]}]},
        "scheduler": {"last_epoch": 3, "_step_count": 4},
        "config": config,
        "epoch": 10,
        "train_loss": torch.tensor(0.25),
    }


def _plain_but_lists(node: Any) -> Any:
    """Dictionaries become plain ones, lists stay OmegaConf objects: as the published training code leaves them."""
    return {key: _plain_but_lists(value) for key, value in node.items()} if hasattr(node, "items") else node


def vocabulary() -> str:
    """A vocab.txt of BERT-base cased's length, in which token i is the word `w<i>`."""
    special = {0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 103: "[MASK]"}
    return "\n".join(special.get(index, f"w{index}") for index in range(28_996)) + "\n"
