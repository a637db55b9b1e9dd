"""An ONNX graph as a module: its tensors are layers, which hooks see like any others."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor

from service.engine.networks.onnx_models.axes import GraphTensor, follow
from service.engine.networks.onnx_models.faults import refused
from service.engine.networks.onnx_models.images import ImageInput
from service.engine.networks.onnx_models.names import layer_names
from service.engine.networks.onnx_models.reading import OnnxFile
from service.engine.networks.onnx_models.sessions import Sessions
from service.engine.networks.onnx_models.shapes import ShapeInference, TensorShape, agreeing
from service.engine.networks.protocols import OutputReading
from service.errors import InvalidInput

_TRIED = (2, 3)
"""Numbers of images: what follows them is the axis of the images."""

_AT_ONCE = 32
"""Tensors that are computed together where their shapes are not known otherwise."""

_CHANNELS_LAST = (0, 2, 3, 1)


class GraphLayer(nn.Module):
    """A tensor of the graph: what goes in comes out, and hooks see it."""

    def __init__(self, tensor: GraphTensor, reading: OutputReading) -> None:
        super().__init__()
        self.tensor = tensor.name
        self.is_main = tensor.ends_block
        self.has_weights = tensor.has_weights
        self.output_reading = reading
        self._unit_axis = tensor.flow.axis

    def forward(self, values: Tensor) -> Tensor:
        """The same tensor, its units behind the images: [B, U, H, W]; of tokens at the end: [B, T, U]."""
        if self._unit_axis is None or values.ndim < 3:
            return values
        return values.movedim(self._unit_axis, 1 if values.ndim == 4 else -1)


class OnnxNetwork(nn.Module):
    """float32 [B, C, H, W] through onnxruntime; only the layers that hooks listen to are computed."""

    def __init__(self, file: OnnxFile, image: ImageInput, device: torch.device, height: int, width: int) -> None:
        """height, width: of the images by which the layers are found."""
        super().__init__()
        self._image = image
        self._sessions = Sessions(file.model, file.path, device)
        self._sessions.check()
        self._inference = ShapeInference(file.model, image)
        self._known_shapes: dict[tuple[int, int, int], dict[str, TensorShape]] = {}

        batch, other = _TRIED if image.batch is None else (image.batch, image.batch)
        self._tensors = follow(file.model, image, self._inference.shapes(batch, height, width))
        # Once more: some shapes are known only where the graph was run, which takes the names of its tensors.
        shapes = self._shapes(batch, height, width)
        self._tensors = follow(file.model, image, shapes)
        rows = agreeing(shapes, self._shapes(other, height, width), rows=(batch, other))

        layers = _layers(self._tensors, shapes, rows)
        if not layers:
            raise refused(
                file.path,
                "The graph has no float tensor with one row for each image.",
                "Export the network with a dynamic batch size, from its images to its features.",
            )
        self._layers = list(layers.values())
        for tensor, name in layer_names(layers).items():
            _place(self, name, layers[tensor])

    @property
    def provider(self) -> str:
        """Where onnxruntime computed last."""
        return self._sessions.provider

    def __deepcopy__(self, _memo: object) -> NoReturn:
        """Its sessions are onnxruntime's, and the graph may be large."""
        raise TypeError("an ONNX network cannot be copied")

    def main_layers(self) -> tuple[str, ...]:
        """The tensors in which branches come back to the stream; of a graph without, those that weights make."""
        named = [(name, module) for name, module in self.named_modules() if isinstance(module, GraphLayer)]
        order = {id(layer): place for place, layer in enumerate(self._layers)}
        named.sort(key=lambda pair: order[id(pair[1])])

        blocks = tuple(name for name, layer in named if layer.is_main)
        weighted = tuple(name for name, layer in named if layer.has_weights)
        return blocks or weighted or tuple(name for name, _ in named)

    def forward(self, images: Tensor) -> Tensor:
        """Images as the contract says. Returns the last layer that was listened to, or the images."""
        self._check_size(images)
        listened = [layer for layer in self._layers if layer._forward_hooks]
        if not listened:
            return images

        result = images
        for layer, values in zip(listened, self._values(images, [layer.tensor for layer in listened]), strict=True):
            result = layer(values)
        return result

    def _values(self, images: Tensor, names: Sequence[str]) -> Iterator[Tensor]:
        if isinstance(images, FakeTensor):
            return self._blank_values(images, names)
        return iter(self._computed(images, names))

    def _blank_values(self, images: Tensor, names: Sequence[str]) -> Iterator[Tensor]:
        """Tensors of the right shapes, without arithmetic."""
        count, _, height, width = images.shape
        batch = self._image.batch or count
        shapes = self._shapes(batch, height, width)
        for name in names:
            dims = shapes[name].dims
            yield torch.empty((count * dims[0] // batch, *dims[1:]), device=images.device)

    def _computed(self, images: Tensor, names: Sequence[str]) -> list[Tensor]:
        arrays = images.detach().cpu().float()
        if self._image.channels_last:
            arrays = arrays.permute(_CHANNELS_LAST)

        parts = [self._run(part, names) for part in torch.split(arrays, self._image.batch or len(arrays))]
        if len(parts) == 1:
            return [values.to(images.device) for values in parts[0]]
        return [torch.cat(values).to(images.device) for values in zip(*parts, strict=True)]

    def _run(self, images: Tensor, names: Sequence[str]) -> list[Tensor]:
        """A graph with a fixed batch gets whole ones: the last image again where some are missing."""
        count = len(images)
        missing = (self._image.batch or count) - count
        if missing:
            images = torch.cat([images, images[-1:].expand(missing, -1, -1, -1)])

        feed = {self._image.name: np.ascontiguousarray(images.numpy().astype(self._image.kind, copy=False))}
        return [torch.from_numpy(array)[:count] for array in self._sessions.run(names, feed)]

    def _shapes(self, batch: int, height: int, width: int) -> Mapping[str, TensorShape]:
        size = (batch, height, width)
        if size not in self._known_shapes:
            shapes = self._inference.shapes(*size)
            unknown = [tensor.name for tensor in self._tensors if tensor.name not in shapes]
            self._known_shapes[size] = shapes | self._measured(unknown, size)
        return self._known_shapes[size]

    def _measured(self, names: Sequence[str], size: tuple[int, int, int]) -> dict[str, TensorShape]:
        """The shapes of tensors that do not follow from the graph: blank images are shown to it."""
        feed: dict[str, Any] = {self._image.name: np.zeros(self._image.shape(*size), self._image.kind)}
        shapes = {}
        for start in range(0, len(names), _AT_ONCE):
            some = names[start : start + _AT_ONCE]
            for name, array in zip(some, self._sessions.run(some, feed), strict=True):
                shapes[name] = TensorShape(array.shape, array.dtype.kind == "f")
        return shapes

    def _check_size(self, images: Tensor) -> None:
        channels, height, width = images.shape[1:]
        if channels != self._image.channels:
            raise InvalidInput(
                f"The ONNX graph takes images of {self._image.channels} channels, and is shown {channels}.",
                field="input.channels",
                value=channels,
                remedy=f"Give {self._image.channels} channels, or leave them out.",
            )
        fixed = (self._image.height or height, self._image.width or width)
        if fixed != (height, width):
            raise InvalidInput(
                f"The ONNX graph takes images of {fixed[0]} x {fixed[1]}, and is shown {height} x {width}.",
                field="input",
                value=f"{height} x {width}",
                remedy=f"Show it {fixed[0]} x {fixed[1]}, or export it with dynamic height and width.",
            )


def _layers(tensors: Sequence[GraphTensor], shapes: Mapping[str, TensorShape], rows: set[str]) -> dict[str, GraphLayer]:
    """The tensors that can be dissected, in the order of the graph."""
    layers = {}
    for tensor in tensors:
        axis = tensor.flow.axis
        if tensor.name not in rows or axis is None or axis < 1:
            continue
        dims = shapes[tensor.name].dims
        if 2 <= len(dims) <= 4 and 0 not in dims:
            layers[tensor.name] = _class_of(tensor.operator)(tensor, _reading(tensor, dims))
    return layers


def _reading(tensor: GraphTensor, dims: tuple[int, ...]) -> OutputReading:
    flow = tensor.flow
    if len(dims) != 3:
        return OutputReading(unit_axis=1)
    if flow.axis != 2 or dims[1] != flow.tokens or not flow.first_tokens:
        return OutputReading(unit_axis=2)
    return OutputReading(unit_axis=2, has_class=flow.first_tokens[0] == 1, registers=sum(flow.first_tokens))


@cache
def _class_of(operator: str) -> type[GraphLayer]:
    """Its name is the layer's kind."""
    return type(operator, (GraphLayer,), {})


def _place(network: nn.Module, name: str, layer: GraphLayer) -> None:
    """Make the layer the module of that name; tensors may be named like parts of other tensors' names."""
    *folders, last = name.split(".")
    holder = network
    for folder in folders:
        if folder not in holder._modules:
            holder.add_module(folder, nn.Module())
        holder = holder.get_submodule(folder)

    standing = holder._modules.get(last)
    if standing is not None:  # the parts came first
        for part, module in standing.named_children():
            layer.add_module(part, module)
    holder._modules[last] = layer
