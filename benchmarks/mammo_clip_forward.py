"""Forward pass of Mammo-CLIP's B5 image tower at 1520 x 912, float32, CPU: the plain public module against ours."""

import efficientnet_pytorch
import torch
from torch import Tensor

from benchmarks.table import Row, race
from service.engine.networks.efficientnet import B5, EfficientNet
from service.engine.networks.folding import fold_norms

_HEIGHT, _WIDTH = 1520, 912
_BATCH_SIZES = (1, 2, 4)
_ROUNDS = 3
_GOAL = 2.5


def run() -> list[Row]:
    torch.manual_seed(0)
    plain = efficientnet_pytorch.EfficientNet.from_name("efficientnet-b5").eval()
    ours = EfficientNet(B5).eval()
    ours.load_state_dict({key: value for key, value in plain.state_dict().items() if not key.startswith("_fc.")})
    fold_norms(ours, keep=())
    ours.to(memory_format=torch.channels_last)
    return [_row(plain, ours, batch) for batch in _BATCH_SIZES]


def _row(plain: efficientnet_pytorch.EfficientNet, ours: EfficientNet, batch: int) -> Row:
    images = torch.randn(batch, 3, _HEIGHT, _WIDTH)

    def plain_features() -> Tensor:
        features: Tensor = plain.extract_features(images).mean((2, 3))
        return features

    with torch.inference_mode():
        timing = race(plain_features, lambda: ours(images), rounds=_ROUNDS)
    name = f"Mammo-CLIP B5 forward, 1520 x 912, batch {batch}, against efficientnet_pytorch"
    return Row(
        name=name,
        baseline=timing.baseline / batch,
        measured=timing.measured / batch,
        unit="s/image",
        ratio=timing.speedup,
        goal=f">= {_GOAL}",
        met=timing.speedup >= _GOAL,
    )
