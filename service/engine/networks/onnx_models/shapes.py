"""The shapes of a graph's tensors for images of any size, without the network's arithmetic where that can be."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from service.engine.networks.onnx_models.images import ImageInput
from service.engine.networks.onnx_models.reading import Model

_SMALL = 1024
"""Numbers: of tensors with more, no shape is computed."""

_FLOATS = frozenset({1, 10, 11})
"""float32, float16 and float64, which numpy has too."""


@dataclass(frozen=True, slots=True)
class TensorShape:
    """A tensor's shape."""

    dims: tuple[int, ...]
    is_float: bool


class ShapeInference:
    """What onnx can tell of a graph's shapes. It sees the weights' shapes, not their numbers."""

    def __init__(self, model: Model, image: ImageInput) -> None:
        self._image = image
        self._skeleton = _without_weights(model)

    def shapes(self, batch: int, height: int, width: int) -> dict[str, TensorShape]:
        """Of every tensor of the outermost graph whose shape follows for so many images of that size."""
        import onnx

        model = onnx.ModelProto()
        model.CopyFrom(self._skeleton)
        for value in model.graph.input:
            if value.name == self._image.name:
                dims = value.type.tensor_type.shape.dim
                for dim, size in zip(dims, self._image.shape(batch, height, width), strict=True):
                    dim.Clear()
                    dim.dim_value = size

        try:
            known = onnx.shape_inference.infer_shapes(model, data_prop=True)
        except Exception:  # what cannot be inferred is found by running the graph
            return {}
        shapes = {value.name: _shape(value) for value in (*known.graph.value_info, *known.graph.output)}
        return {name: shape for name, shape in shapes.items() if shape is not None}


def _without_weights(model: Model) -> Model:
    """The graph with large weights as inputs of the same shapes, and with no shapes noted for other images."""
    import onnx

    skeleton = onnx.ModelProto()
    skeleton.ir_version = model.ir_version
    skeleton.opset_import.extend(model.opset_import)
    graph = skeleton.graph
    graph.name = model.graph.name
    graph.node.extend(model.graph.node)
    graph.output.extend(_unshaped(value) for value in model.graph.output)

    large = []
    for tensor in model.graph.initializer:
        if _count(tensor.dims) > _SMALL:
            large.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims)))
        else:
            graph.initializer.append(tensor)

    names = {value.name for value in large}
    graph.input.extend(value for value in model.graph.input if value.name not in names)
    graph.input.extend(large)
    return skeleton


def _unshaped(value: Any) -> Any:
    import onnx

    unshaped = onnx.ValueInfoProto()
    unshaped.name = value.name
    unshaped.type.tensor_type.elem_type = value.type.tensor_type.elem_type
    return unshaped


def _shape(value: Any) -> TensorShape | None:
    tensor = value.type.tensor_type
    if not value.type.HasField("tensor_type") or not tensor.HasField("shape"):
        return None

    dims = [dim.dim_value if dim.HasField("dim_value") else None for dim in tensor.shape.dim]
    if None in dims:
        return None
    return TensorShape(tuple(size for size in dims if size is not None), tensor.elem_type in _FLOATS)


def _count(dims: Any) -> int:
    count = 1
    for size in dims:
        count *= size
    return count


def agreeing(first: Mapping[str, TensorShape], second: Mapping[str, TensorShape], *, rows: tuple[int, int]) -> set[str]:
    """The tensors with one row for each image, and nothing else that follows the number of images.

    first, second: shapes for `rows[0]` and `rows[1]` images.
    """
    names = set()
    for name, shape in first.items():
        other = second.get(name)
        if other is None or not shape.is_float or not shape.dims or len(other.dims) != len(shape.dims):
            continue
        if (shape.dims[0], other.dims[0]) == rows and shape.dims[1:] == other.dims[1:]:
            names.add(name)
    return names
