"""Mammo-CLIP's B5 at 1520 x 912 with all 39 blocks hooked and pooled, against the same module without hooks."""

import torch

from benchmarks.table import Row, race
from service.domain.preprocessing import MAMMO_CLIP
from service.engine.networks.efficientnet import B5, EfficientNet
from service.engine.networks.protocols import Target
from service.engine.probing.hooks import pooled_layers

_GOAL = 1.05
_ROUNDS = 5


def run() -> list[Row]:
    torch.manual_seed(0)
    network = EfficientNet(B5).eval()
    network.to(memory_format=torch.channels_last)
    layers = tuple(name for name, _ in network.named_modules() if name.startswith("_blocks.") and name.count(".") == 1)
    target = Target(network, "mammo-clip/b5", MAMMO_CLIP, "0" * 64)
    image = torch.rand(1, 3, MAMMO_CLIP.height, MAMMO_CLIP.width)

    def hooked() -> None:
        with pooled_layers(target, layers, "avg") as forward:
            forward(image)

    with torch.inference_mode():
        timing = race(lambda: network(image), hooked, rounds=_ROUNDS)
    ratio = 1 / timing.speedup
    name = f"B5 forward at 1520 x 912, {len(layers)} layers hooked"
    return [Row(name, timing.baseline, timing.measured, "s", ratio, f"at most {_GOAL}", ratio <= _GOAL)]
