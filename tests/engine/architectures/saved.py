"""Checkpoints of a small network, opened as targets."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn

from service.domain.models import TargetSpec
from service.engine.architectures import open_target
from service.engine.networks.protocols import Target

CPU = torch.device("cpu")
NAME = "test_resnet"
State = Mapping[str, Tensor]


@cache
def network(seed: int = 1, **options: Any) -> nn.Module:
    torch.manual_seed(seed)
    return timm.create_model(NAME, num_classes=4, **options).eval()


def state(seed: int = 1) -> dict[str, Tensor]:
    return dict(network(seed).state_dict())


def under(prefix: str, weights: State) -> dict[str, Tensor]:
    return {prefix + key: value for key, value in weights.items()}


def opened(path: Path, contents: object, architecture: str = f"timm/{NAME}", weights: str | None = None) -> Target:
    torch.save(contents, path / "saved.pt")
    return open_target(TargetSpec(path / "saved.pt", architecture, weights=weights), CPU)


def reading_of(target: Target) -> Any:
    assert target.reading is not None
    return target.reading


def assert_is(target: Target, expected: nn.Module) -> None:
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(5))
    with torch.inference_mode():
        assert torch.allclose(target.module(images), expected(images), atol=1e-5)
