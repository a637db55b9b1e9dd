"""Where the units of a graph's tensors are, followed from operator to operator.

A convolution puts its units behind the batch, a product with a matrix of weights at the end; what follows keeps them
where they are, or moves them in a way that its attributes and the shapes tell. Where nothing tells it, a tensor is no
layer: attention, for one, mixes tokens with tokens, not units.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

from service.engine.networks.onnx_models.images import ImageInput
from service.engine.networks.onnx_models.reading import Model
from service.engine.networks.onnx_models.shapes import TensorShape

_UNITS_BEHIND_BATCH = frozenset(
    {
        *("Conv", "ConvTranspose", "ConvInteger", "QLinearConv", "FusedConv", "DeformConv"),
        *("BatchNormalization", "InstanceNormalization", "GroupNormalization", "GroupNorm", "LRN"),
        *("MaxPool", "AveragePool", "LpPool", "GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"),
    }
)
_UNITS_LAST = frozenset(
    {
        *("Gemm", "FusedGemm", "LayerNormalization", "RMSNormalization", "SimplifiedLayerNormalization"),
        *("SkipLayerNormalization", "SkipSimplifiedLayerNormalization", "EmbedLayerNormalization"),
        *("Attention", "MultiHeadAttention"),
    }
)
_PRODUCTS = frozenset({"MatMul", "FusedMatMul", "MatMulInteger", "QLinearMatMul", "MatMulNBits"})
_WEIGHTED = _PRODUCTS | {"Conv", "ConvTranspose", "Gemm", "QLinearConv", "FusedConv", "FusedGemm", "ConvInteger"}
_KEEP_AXIS = frozenset(
    {"Concat", "Slice", "Pad", "Split", "Resize", "Upsample", "Expand", "Tile", "DepthToSpace", "SpaceToDepth"}
)
_RESHAPES = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze"})
_ACTIVATIONS = frozenset({"Relu", "LeakyRelu", "PRelu", "Clip", "HardSwish", "Sigmoid", "Elu", "Selu"})
_MOVES = _RESHAPES | {"Transpose", "Gather"}
_WITHOUT_READING = frozenset({"Einsum", "GatherND", "ScatterND", "GatherElements", "If", "Loop", "Scan"})
_OF_SHAPES = frozenset({"Shape", "Size"})


@dataclass(frozen=True, slots=True)
class Flow:
    """What is known of a tensor that comes from the images."""

    axis: int | None
    """The axis of its units."""

    first_tokens: tuple[int, ...] = ()
    """How many tokens each learned part in front of the patches' has."""

    tokens: int = 0
    """How many tokens there were when these were put in front."""

    weights: frozenset[int] = field(default=frozenset())
    """The nodes with weights that it comes from without others in between."""


@dataclass(frozen=True, slots=True)
class GraphTensor:
    """A tensor that a node of the graph makes from the images."""

    name: str

    operator: str
    """The node's."""

    flow: Flow
    has_weights: bool
    """Whether the node has: a convolution, or a product with a matrix."""

    ends_block: bool
    """Whether a branch comes back to the stream there: the sum, or the activation that follows it alone."""


def follow(model: Model, image: ImageInput, shapes: Mapping[str, TensorShape]) -> list[GraphTensor]:
    """The tensors that come from the images, in the order of the graph. shapes: as many as are known."""
    return _Walk(model, image, shapes).tensors()


class _Walk:
    def __init__(self, model: Model, image: ImageInput, shapes: Mapping[str, TensorShape]) -> None:
        self._nodes = list(model.graph.node)
        self._shapes = {name: shape.dims for name, shape in shapes.items()}
        self._flows = {image.name: Flow(3 if image.channels_last else 1)}

        self._constants = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
        self._arrays = {tensor.name: tensor for tensor in model.graph.initializer}
        for node in self._nodes:
            if node.op_type == "Constant" and node.attribute:
                self._arrays[node.output[0]] = node.attribute[0].t

        self._takers: dict[str, list[Any]] = {}
        for node in self._nodes:
            for name in node.input:
                self._takers.setdefault(name, []).append(node)

    def tensors(self) -> list[GraphTensor]:
        seen: list[GraphTensor] = []
        sums: set[str] = set()

        for index, node in enumerate(self._nodes):
            sources = [self._flows[name] for name in _read_by(node) if name in self._flows]
            if not sources or node.op_type in _OF_SHAPES:
                continue

            if self._is_residual(node):
                sums.add(self._end_of_block(node))
            has_weights = node.op_type in _WEIGHTED and self._has_constant(node)
            for output in node.output:
                if output:
                    flow = self._flow(node, output, sources, index if has_weights else None)
                    self._flows[output] = flow
                    seen.append(GraphTensor(output, node.op_type, flow, has_weights, ends_block=False))

        return [
            GraphTensor(tensor.name, tensor.operator, tensor.flow, tensor.has_weights, tensor.name in sums)
            for tensor in seen
        ]

    def _flow(self, node: Any, output: str, sources: Sequence[Flow], weighted: int | None) -> Flow:
        weights = frozenset([weighted]) if weighted is not None else frozenset().union(*(s.weights for s in sources))
        before = next((source for source in sources if source.first_tokens), sources[0])
        first_tokens, tokens = before.first_tokens, before.tokens

        axis = self._axis(node, output)
        if node.op_type == "Concat" and self._puts_tokens_in_front(node, output):
            first_tokens = self._first_tokens(node)
            tokens = self._shapes[output][1]
        return Flow(axis, first_tokens, tokens, weights)

    def _axis(self, node: Any, output: str) -> int | None:
        shape = self._shapes.get(output)
        if shape is None or node.op_type in _WITHOUT_READING:
            return None

        last = len(shape) - 1
        if node.op_type in _UNITS_BEHIND_BATCH:
            return 1
        if node.op_type in _PRODUCTS:
            return last if self._has_constant(node) else None
        if node.op_type in _UNITS_LAST:
            return last if len(shape) < 4 or "Attention" not in node.op_type else None
        return 1 if len(shape) == 2 else self._axis_moved(node, shape)

    def _axis_moved(self, node: Any, shape: tuple[int, ...]) -> int | None:
        """Of operators that leave the units what they are, but not always where they are."""
        source = next((name for name in node.input if name in self._flows), "")
        before = self._shapes_of(source)
        axis = self._flows[source].axis if source else None
        if axis is None or before is None:
            return self._axis_kept(node, shape)

        if node.op_type == "Transpose":
            permutation = _ints(node, "perm") or list(reversed(range(len(shape))))
            return permutation.index(axis)
        if node.op_type in _RESHAPES:
            return _axis_after_reshape(axis, before, shape)
        if node.op_type.startswith("Reduce"):
            return self._axis_after_reducing(node, axis, len(before))
        if node.op_type == "Gather":
            gathered = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 0) % len(before)
            return _axis_after_gathering(axis, gathered, len(shape) - len(before))
        return self._axis_kept(node, shape)

    def _axis_kept(self, node: Any, shape: tuple[int, ...]) -> int | None:
        """Of element-wise operators, and of those that change the sizes of axes but not their order."""
        for name in node.input:
            flow = self._flows.get(name)
            before = self._shapes_of(name)
            if flow is None or flow.axis is None or before is None or len(before) != len(shape):
                continue
            if node.op_type in _MOVES:  # with an axis that is not known, nothing is known afterwards
                continue
            if node.op_type in _KEEP_AXIS or before[flow.axis] == shape[flow.axis]:
                return flow.axis
        return None

    def _axis_after_reducing(self, node: Any, axis: int, rank: int) -> int | None:
        given = self._numbers(node, "axes", 1)
        gone = {number % rank for number in (given if given else range(rank))}
        if axis in gone:
            return None
        keeps = next((attribute.i for attribute in node.attribute if attribute.name == "keepdims"), 1)
        return axis if keeps else axis - sum(number < axis for number in gone)

    def _is_residual(self, node: Any) -> bool:
        """Whether it adds a branch with weights of its own to the stream (an approximation of GELU adds, too)."""
        if node.op_type not in {"Add", "Sum"} or len(node.input) != 2:
            return False
        one, other = (self._flows.get(name) for name in node.input)
        shapes = [self._shapes_of(name) for name in node.input]
        if one is None or other is None or shapes[0] is None or len(shapes[0]) < 3:
            return False
        return shapes[0] == shapes[1] and one.weights != other.weights

    def _end_of_block(self, node: Any) -> str:
        name: str = node.output[0]
        takers = self._takers.get(name, [])
        if len(takers) == 1 and takers[0].op_type in _ACTIVATIONS:
            name = takers[0].output[0]
        return name

    def _puts_tokens_in_front(self, node: Any, output: str) -> bool:
        axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 0)
        shape = self._shapes.get(output, ())
        return len(shape) == 3 and axis in {1, -2} and node.input[0] not in self._flows

    def _first_tokens(self, node: Any) -> tuple[int, ...]:
        parts = []
        for name in node.input:
            if name in self._flows:
                break
            shape = self._shapes_of(name)
            parts.append(shape[1] if shape is not None and len(shape) == 3 else 1)
        return tuple(parts)

    def _has_constant(self, node: Any) -> bool:
        """Whether it multiplies with weights, not two tensors of the images with each other."""
        factors = (node.input[0], node.input[3]) if node.op_type == "QLinearMatMul" else node.input[:2]
        return any(name and name not in self._flows for name in factors)

    def _shapes_of(self, name: str) -> tuple[int, ...] | None:
        return self._shapes.get(name, self._constants.get(name))

    def _numbers(self, node: Any, attribute: str, place: int) -> list[int]:
        """Integers that are an attribute in older operators and an input in newer ones."""
        ints = _ints(node, attribute)
        if ints or len(node.input) <= place or node.input[place] not in self._arrays:
            return ints

        from onnx import numpy_helper

        return [int(number) for number in numpy_helper.to_array(self._arrays[node.input[place]]).flatten()]


def _axis_after_reshape(axis: int, before: tuple[int, ...], after: tuple[int, ...]) -> int | None:
    """Where the axis is afterwards, if it is one axis still: as long, with as much before and behind it."""
    in_front = prod(before[:axis])
    for place, size in enumerate(after):
        if size == before[axis] and prod(after[:place]) == in_front and place > 0:
            return place
    return None


def _axis_after_gathering(axis: int, gathered: int, more_axes: int) -> int | None:
    """more_axes: -1 where one position of an axis was taken."""
    if gathered == axis:
        return None
    return axis + more_axes if gathered < axis else axis


def _read_by(node: Any) -> Iterator[str]:
    """What a node reads, its branches and bodies included."""
    yield from node.input
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            for inner in graph.node:
                yield from _read_by(inner)


def _ints(node: Any, name: str) -> list[int]:
    return next((list(attribute.ints) for attribute in node.attribute if attribute.name == name), [])
