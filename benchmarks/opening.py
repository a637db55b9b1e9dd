"""Opening a checkpoint of 120 MB without running anything in it, against torch.load of the same file."""

import tempfile
from pathlib import Path

import torch

from benchmarks.table import Row, race
from service.engine.networks.checkpoints import open_checkpoint

_GOAL = 1.3
_ROUNDS = 7
_TENSORS = 120
_NUMBERS = 250_000  # 1 MB each in float32


def run() -> list[Row]:
    weights = {f"blocks.{number}.weight": torch.rand(_NUMBERS) for number in range(_TENSORS)}
    megabytes = _TENSORS * _NUMBERS * 4 // 10**6

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "checkpoint.pt"
        torch.save({"state_dict": weights}, path)
        timing = race(lambda: torch.load(path, weights_only=True), lambda: open_checkpoint(path), rounds=_ROUNDS)

    ratio = 1 / timing.speedup
    name = f"opening {megabytes} MB with its digest: ours against torch.load"
    return [Row(name, timing.baseline, timing.measured, "s", ratio, f"at most {_GOAL}", ratio <= _GOAL)]
