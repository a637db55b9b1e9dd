"""The devices that the engine's tests run on: the CPU, and CUDA where there is one."""

import pytest
import torch

DEVICES = ["cpu", *(["cuda:0"] if torch.cuda.is_available() else [])]


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> torch.device:
    return torch.device(request.param)
