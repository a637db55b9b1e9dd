"""A target and a dissector with random weights, small enough for tests, as files on disk."""

import json
from pathlib import Path

import open_clip
import timm
import torch
from safetensors.torch import save_file

from service.domain.models import DissectorSpec, TargetSpec

ARCHITECTURE = "timm/test_resnet"
LAYERS = ("layer1.0", "layer4.0")
_CLIP = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "patch_size": 8, "head_width": 16},
    "text_cfg": {"context_length": 32, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}


def write_target(folder: Path) -> TargetSpec:
    torch.manual_seed(1)
    path = folder / "target.safetensors"
    save_file(timm.create_model("test_resnet").state_dict(), path)
    return TargetSpec(path, ARCHITECTURE)


def write_dissector(folder: Path) -> DissectorSpec:
    torch.manual_seed(2)
    directory = folder / "dissector"
    directory.mkdir()
    (directory / "open_clip_config.json").write_text(json.dumps({"model_cfg": _CLIP}))
    (directory / "dissector.json").write_text(json.dumps({"kind": "open_clip", "checkpoint": "weights.safetensors"}))
    model = open_clip.create_model(f"local-dir:{directory}", load_weights=False)
    save_file(model.state_dict(), directory / "weights.safetensors")
    return DissectorSpec(directory)
