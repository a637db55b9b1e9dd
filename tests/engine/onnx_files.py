"""ONNX files made from torch networks, and by hand."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn


def export(network: nn.Module, path: Path, *, size: tuple[int, int] = (32, 32), batch: int | None = None) -> Path:
    """The network as torch exports it today. batch: None for any number of images."""
    images = torch.zeros(batch or 2, 3, *size)
    shapes = None if batch else ({0: torch.export.Dim("batch")},)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(network.eval(), (images,), dynamo=True, dynamic_shapes=shapes, verbose=False)
    assert program is not None
    program.save(path)
    return path


def conv_weights(*, seed: int = 0, channels: int = 3, units: int = 4) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).normal(size=(units, channels, 3, 3)).astype(np.float32)


def write_graph(
    path: Path,
    nodes: Sequence[Any] | None = None,
    *,
    image: Sequence[int | str | None] = ("batch", 3, 8, 8),
    kind: int = TensorProto.FLOAT,
    inputs: Sequence[str] = ("images",),
    outputs: Sequence[str] = ("seen",),
    weights: Mapping[str, np.ndarray[Any, Any]] | None = None,
    domains: Sequence[str] = (),
    edit: Callable[[Any], None] | None = None,
) -> Path:
    """A graph of one convolution and a ReLU, but for what is given."""
    if nodes is None:
        nodes = [
            helper.make_node("Conv", ["images", "kernel"], ["mapped"], pads=[1, 1, 1, 1]),
            helper.make_node("Relu", ["mapped"], ["seen"]),
        ]
    weights = {"kernel": conv_weights()} if weights is None else weights
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(name, kind, image) for name in inputs],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    opsets = [helper.make_opsetid("", 20), *(helper.make_opsetid(domain, 1) for domain in domains)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    if edit is not None:
        edit(model)
    path.write_bytes(model.SerializeToString())
    return path


def move_out(path: Path, location: str) -> None:
    """Let the weights of an ONNX file lie in another file."""
    onnx.save_model(
        onnx.load(path),
        path,
        save_as_external_data=True,
        all_tensors_to_one_file=True,
        location=location,
        size_threshold=0,
    )
