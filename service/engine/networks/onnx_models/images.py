"""The one input of a graph through which images come in."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.engine.networks.onnx_models.faults import refused
from service.engine.networks.onnx_models.reading import Model

_KINDS = {1: "float32", 10: "float16", 11: "float64"}
_CHANNELS = (1, 3)
_ONE_INPUT = "Export the network with one input, the images: float32 [batch, channels, height, width]."


@dataclass(frozen=True, slots=True)
class ImageInput:
    """What a graph says of its images; None stands for any number."""

    name: str

    kind: str
    """Name of numpy's type."""

    batch: int | None
    channels: int
    height: int | None
    width: int | None

    channels_last: bool
    """[B, H, W, C], as TensorFlow has it."""

    def shape(self, batch: int, height: int, width: int) -> tuple[int, int, int, int]:
        """The shape of so many images of that size."""
        if self.channels_last:
            return batch, height, width, self.channels
        return batch, self.channels, height, width


def image_input(model: Model, path: Path) -> ImageInput:
    """The graph's input. Raises InvalidCheckpoint unless it has exactly one, of float images with 1 or 3 channels."""
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    if len(inputs) != 1:
        names = ", ".join(value.name[:60] for value in inputs[:5]) or "none"
        raise refused(path, f"The graph has {len(inputs)} inputs ({names}), not one.", _ONE_INPUT)

    value = inputs[0]
    tensor = value.type.tensor_type
    if tensor.elem_type not in _KINDS:
        raise refused(
            path,
            f"The graph's input '{value.name[:60]}' takes {_kind_in_words(tensor.elem_type)}, not floating-point "
            "images.",
            "Export the network from where its images are floating-point numbers; scaling, mean and standard "
            "deviation belong into the input contract.",
        )

    dims = [dim.dim_value if dim.HasField("dim_value") else None for dim in tensor.shape.dim]
    if len(dims) != 4:
        raise refused(path, f"The graph's input '{value.name[:60]}' has {len(dims)} dimensions, not four.", _ONE_INPUT)

    last = _is_channels_last(model, value.name, dims)
    channels = dims[3] if last else dims[1]
    if channels is None:
        channels = 3
    if channels not in _CHANNELS:
        raise refused(
            path, f"The graph's images have {channels} channels; an image can be given as 1 or 3.", _ONE_INPUT
        )

    height, width = (dims[1], dims[2]) if last else (dims[2], dims[3])
    return ImageInput(value.name, _KINDS[tensor.elem_type], dims[0] or None, channels, height, width, last)


def _is_channels_last(model: Model, name: str, dims: list[int | None]) -> bool:
    if dims[1] in _CHANNELS:
        return False
    if dims[3] in _CHANNELS:
        return True

    takers = [node for node in model.graph.node if name in node.input]
    permutations = [_permutation(node) for node in takers if node.op_type == "Transpose"]
    return [0, 3, 1, 2] in permutations


def _permutation(node: Any) -> list[int]:
    return next((list(attribute.ints) for attribute in node.attribute if attribute.name == "perm"), [])


def _kind_in_words(kind: int) -> str:
    from onnx import TensorProto

    return str(TensorProto.DataType.Name(kind)).lower() if kind in TensorProto.DataType.values() else "no tensor"
