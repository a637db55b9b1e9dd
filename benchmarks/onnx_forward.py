"""A ResNet-50 as ONNX on the CPU with its blocks as layers, against the same network in torch with hooks."""

import tempfile
import warnings
from pathlib import Path

import timm
import torch

from benchmarks.table import Row, race
from service.domain.models import TargetSpec
from service.domain.preprocessing import Preprocessing
from service.engine.architectures import open_target
from service.engine.architectures.main_layers import main_layers
from service.engine.networks.protocols import Target
from service.engine.probing.hooks import pooled_layers

_GOAL = 1.2
_ROUNDS = 5
_BATCH = 8
_IMAGENET = Preprocessing(224, 224, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


def run() -> list[Row]:
    torch.manual_seed(0)
    network = timm.create_model("resnet50").eval()
    images = torch.rand(_BATCH, 3, 224, 224)

    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(folder) / "resnet50.onnx"
        dynamic = ({0: torch.export.Dim("batch")},)
        torch.onnx.export(network, (images,), path, dynamo=True, dynamic_shapes=dynamic, verbose=False)
        graph = open_target(TargetSpec(path, "onnx"), torch.device("cpu"))

    network.to(memory_format=torch.channels_last)
    by_torch = Target(network, "timm/resnet50", _IMAGENET, "0" * 64, main_layers=main_layers(network))

    with (
        torch.inference_mode(),
        pooled_layers(by_torch, by_torch.main_layers, "avg") as torch_forward,
        pooled_layers(graph, graph.main_layers, "avg") as graph_forward,
    ):
        timing = race(lambda: torch_forward(images), lambda: graph_forward(images), rounds=_ROUNDS)

    ratio = 1 / timing.speedup
    name = f"ResNet-50, {_BATCH} images of 224 x 224, {len(graph.main_layers)} layers: ONNX against torch"
    return [Row(name, timing.baseline, timing.measured, "s", ratio, f"at most {_GOAL}", ratio <= _GOAL)]
