"""Targets from ONNX files, which carry their architecture themselves."""

from collections.abc import Iterator
from dataclasses import replace

import torch

from service.domain.input_contract import GivenInput, InputContract, LibraryInput, resolve_input
from service.domain.models import TargetSpec
from service.domain.preprocessing import Preprocessing
from service.engine.networks.onnx_models.faults import needed
from service.engine.networks.onnx_models.images import ImageInput, image_input
from service.engine.networks.onnx_models.network import OnnxNetwork
from service.engine.networks.onnx_models.reading import OnnxFile, read_onnx
from service.engine.networks.onnx_models.shuffling import shuffle_initialisers
from service.engine.networks.protocols import Target
from service.errors import InvalidInput

ONNX = "onnx"
_SIDE = 224
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_DECIDED_IN_TRAINING = ("height", "width", "mean", "std")


def open_onnx_target(spec: TargetSpec, device: torch.device) -> Target:
    """Read the file, and make a module of its graph.

    Raises InvalidCheckpoint, DigestMismatch, or InvalidInput where the extra is not installed or what was given
    of the input contradicts the graph.
    """
    runtime = needed("onnxruntime")
    file = read_onnx(spec.checkpoint, sha256=spec.sha256, roots=spec.roots, data=spec.data)
    image = image_input(file.model, spec.checkpoint)
    if spec.shuffled is not None:
        shuffle_initialisers(file.model, spec.shuffled, spec.checkpoint)

    contract = _contract(spec, image, device, runtime.get_available_providers())
    shown = contract.preprocessing
    network = OnnxNetwork(file, image, device, shown.height, shown.width).eval()
    return Target(
        module=network,
        architecture=spec.architecture,
        preprocessing=shown,
        input=contract,
        sha256=file.sha256,
        main_layers=network.main_layers(),
        shuffled=spec.shuffled,
        origin=_origin(file, str(runtime.__version__), runtime.get_available_providers(), device),
    )


def _contract(spec: TargetSpec, image: ImageInput, device: torch.device, providers: list[str]) -> InputContract:
    """What was given, else what the graph says, else what is usual. The format says nothing of scaling."""
    usual = Preprocessing(height=image.height or _SIDE, width=image.width or _SIDE, mean=_MEAN, std=_STD)
    stated: dict[str, object] = {
        name: size for name, size in (("height", image.height), ("width", image.width)) if size is not None
    }
    given = spec.input or GivenInput()
    for name, size in stated.items():
        asked = getattr(given, name)
        if asked is not None and asked != size:
            raise InvalidInput(
                f"Images would have a {name} of {asked}, but the ONNX graph takes {size}.",
                field=f"input.{name}",
                value=asked,
                remedy=f"Give {name} {size}, leave it out, or export the network with a dynamic {name}.",
            )

    said = LibraryInput("the ONNX graph", usual, stated, general_purpose=False)
    contract = resolve_input(spec.input, said, stem=image.channels)
    return replace(contract, warnings=tuple(_warnings(given, image, device, providers)))


def _warnings(given: GivenInput, image: ImageInput, device: torch.device, providers: list[str]) -> Iterator[str]:
    fixed = {"height": image.height, "width": image.width}
    unsaid = [name for name in _DECIDED_IN_TRAINING if getattr(given, name) is None and fixed.get(name) is None]
    if unsaid:
        yield (
            f"The ONNX file does not say how its images are prepared, and {', '.join(unsaid)} were not given: images "
            "are shown as is usual for photographs. Register it with `input`, giving them as in its training."
        )
    if image.batch is not None:
        each = "one by one" if image.batch == 1 else f"{image.batch} at a time"
        yield f"The ONNX file was exported for {image.batch} images at a time: they are shown {each}."
    if device.type == "cuda" and not _has_cuda(providers):
        yield "The installed onnxruntime has no CUDA: the graph runs on the CPU."


def _origin(file: OnnxFile, version: str, providers: list[str], device: torch.device) -> dict[str, object]:
    origin: dict[str, object] = {"onnxruntime": version}
    if device.type == "cuda":
        origin["runs_on"] = "cuda" if _has_cuda(providers) else "cpu"
    if file.data:
        origin["data"] = dict(file.data)
    return origin


def _has_cuda(providers: list[str]) -> bool:
    return "CUDAExecutionProvider" in providers
