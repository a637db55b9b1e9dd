"""Shuffling a graph's weights: a network in which nothing learned is left."""

from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch

from service.engine.networks.onnx_models.faults import refused
from service.engine.networks.onnx_models.reading import Model, graphs_in

_FLOATS = frozenset({1, 10, 11})
_QUANTISED = frozenset(
    {"DequantizeLinear", "QLinearConv", "QLinearMatMul", "MatMulInteger", "ConvInteger", "MatMulNBits"}
)
_NO_WEIGHTS = {"BatchNormalization": {3, 4}, "Resize": {1, 2, 3}, "Upsample": {1}, "QuantizeLinear": {1, 2}}
"""Inputs that are statistics or sizes, as buffers are in torch: exchanged, they would fit nothing any more."""


def shuffle_initialisers(model: Model, seed: int, path: Path) -> None:
    """Exchange the entries within every weight tensor at random, as `shuffle_weights` does for modules.

    Raises InvalidCheckpoint for quantised networks, whose weights are integers with scales of their own.
    """
    nodes = [node for graph in graphs_in(model.graph) for node in graph.node]
    quantised = sorted({node.op_type for node in nodes if node.op_type in _QUANTISED})
    tensors = _weights(model, nodes)
    if quantised or not tensors:
        reason = f"it is quantised ({', '.join(quantised)})" if quantised else "it has no floating-point weights"
        raise refused(
            path,
            f"The weights of the graph cannot be shuffled: {reason}.",
            "Give the network as it was before it was quantised, or dissect it without `shuffled`.",
        )

    generator = torch.Generator().manual_seed(seed)
    for tensor in sorted(tensors, key=lambda tensor: str(tensor.name)):
        _shuffle(tensor, generator)


def _weights(model: Model, nodes: list[Any]) -> list[Any]:
    kept = {
        node.input[place] for node in nodes for place in _NO_WEIGHTS.get(node.op_type, ()) if place < len(node.input)
    }
    initialisers = [tensor for graph in graphs_in(model.graph) for tensor in graph.initializer]
    return [
        tensor
        for tensor in initialisers
        if tensor.data_type in _FLOATS and prod(tensor.dims) > 1 and tensor.name not in kept
    ]


def _shuffle(tensor: Any, generator: torch.Generator) -> None:
    from onnx import numpy_helper

    values = numpy_helper.to_array(tensor)
    order = torch.randperm(values.size, generator=generator).numpy()
    shuffled = np.ascontiguousarray(values.flatten()[order].reshape(values.shape))
    tensor.CopyFrom(numpy_helper.from_array(shuffled, tensor.name))
