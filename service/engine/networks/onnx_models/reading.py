"""Reading an ONNX file: the model, whole and checked, with the digests of all bytes that it consists of.

The format describes a graph of operators and carries no code. What could reach beyond the file is refused: operators
that onnxruntime would have to load a library for, and data outside the file's own folder.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from service.engine.networks.onnx_models.faults import needed, refused
from service.errors import DigestMismatch
from service.files import DataRoots, FileVersion, OutsideRoots, WrittenMeanwhile, is_lasting, out_of_reach, remedy_for

Model = Any
"""An `onnx.ModelProto`; onnx itself is loaded only where a file is opened."""

DOMAINS = ("ai.onnx", "ai.onnx.ml", "com.microsoft")
"""Of the operators that onnxruntime brings along. ONNX's own domain is also written as an empty text."""

_MOST = (1 << 31) - 1
"""Bytes of one model: protobuf takes no more."""

_EXTERNAL = 1
_FOREIGN_PROGRAM = "EPContext"
"""An operator that stands for a compiled program of a device's maker."""

_OTHER_FORMATS = {
    b"PK\x03\x04": "a file of torch.save or another zip archive",
    b"\x80": "a Python pickle",
    b"\x89HDF": "an HDF5 file",
}


@dataclass(frozen=True, slots=True)
class OnnxFile:
    """An ONNX file as it was read."""

    path: Path
    model: Model
    """With all data inside, and without functions of its own."""

    sha256: str
    """Of the file itself."""

    data: Mapping[str, str]
    """SHA-256 of each file beside it that holds some of its weights, by name."""


def read_onnx(path: Path, *, sha256: str | None, roots: DataRoots, data: Mapping[str, str] | None = None) -> OnnxFile:
    """Read, check and complete a model.

    Each file is opened once, below the roots, and its digest is that of the bytes that were read.

    sha256: the digest that the file must have. data: those of the files beside it.
    Raises InvalidCheckpoint, DigestMismatch, InvalidInput where the extra is missing, or the OSError of a machine in
    trouble.
    """
    onnx = needed("onnx")
    content = _content(path, path, roots)
    digest = hashlib.sha256(content).hexdigest()
    if sha256 is not None and sha256.lower() != digest:
        raise DigestMismatch(
            f"The ONNX file's SHA-256 is {digest}, not the expected {sha256}.",
            field="sha256",
            value=sha256,
            remedy="Fetch the file again, or correct the digest if the file is the intended one.",
        )

    model = _parsed(onnx, content, path)
    del content
    _check_operators(model, path)
    digests = _take_in_data(model, path, roots)
    if data is not None:
        _check_data(data, digests)

    if model.functions:
        model = needed("onnx.inliner").inline_local_functions(model)
    return OnnxFile(path, model, digest, digests)


def graphs_in(graph: Any) -> Iterator[Any]:
    """A graph, and all that are attributes of its nodes (the branches of `If`, the body of `Loop`)."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                if inner.node:
                    yield from graphs_in(inner)


def _content(path: Path, named: Path, roots: DataRoots) -> bytes:
    """named: what the caller called the file that this one belongs to."""
    try:
        with roots.open(path, most=_MOST) as file:
            return _read_whole(file)
    except FileNotFoundError as error:
        raise refused(
            named, f"The file {path.name} does not exist.", "Check the path; keep an ONNX file and its data together."
        ) from error
    except OutsideRoots as error:
        raise refused(
            named,
            f"The file {path.name} lies outside the folders that are allowed.",
            "Put it, and what it links to, into its model's folder inside DATA_ROOTS.",
        ) from error
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and not is_lasting(error):
            raise out_of_reach(f"file {path.name}", error, field="checkpoint", value=named) from error
        reason = error.strerror if isinstance(error, OSError) else "it is not a path"
        raise refused(
            named,
            f"The file {path.name} cannot be read: {reason}.",
            remedy_for(error, "Name a regular file of at most 2 GB."),
        ) from error


def _read_whole(file: BinaryIO) -> bytes:
    before = FileVersion.of(file)
    content = file.read(before.size + 1)
    after = FileVersion.of(file)
    if len(content) != before.size or (after.size, after.written_ns) != (before.size, before.written_ns):
        raise WrittenMeanwhile
    return content


def _parsed(onnx: Any, content: bytes, path: Path) -> Model:
    for magic, what in _OTHER_FORMATS.items():
        if content.startswith(magic):
            raise refused(
                path,
                f"The file is {what}, not an ONNX model.",
                "Name the architecture that its weights belong to, or export the network to ONNX.",
            )

    damaged = "The file is damaged, cut short or no ONNX model."
    again = "Fetch the file again, or export it again with torch.onnx.export or tf2onnx."
    try:
        model = onnx.load_model_from_string(content)
    except Exception as error:
        raise refused(path, damaged, again) from error
    if not model.graph.node or not model.ir_version:
        raise refused(path, damaged, again)
    return model


def _check_operators(model: Model, path: Path) -> None:
    own = {(function.domain, function.name) for function in model.functions}
    nodes = [node for graph in graphs_in(model.graph) for node in graph.node]
    nodes += [node for function in model.functions for graph in _graphs_of(function) for node in graph.node]

    foreign = sorted(
        {
            f"{node.domain}::{node.op_type}"
            for node in nodes
            if (node.domain not in {"", *DOMAINS} or node.op_type == _FOREIGN_PROGRAM)
            and (node.domain, node.op_type) not in own
        }
    )
    if foreign:
        raise refused(
            path,
            f"The graph uses {len(foreign)} operators that onnxruntime does not bring along; the first is "
            f"'{foreign[0][:120]}'.",
            f"Export the network with standard operators alone (domains {', '.join(DOMAINS)}); an own operator can "
            "be exported as a function of these.",
        )


def _graphs_of(function: Any) -> Iterator[Any]:
    yield from graphs_in(function)


def _take_in_data(model: Model, path: Path, roots: DataRoots) -> dict[str, str]:
    """Put the data of other files into the model; the digests of these files by name."""
    external = [tensor for tensor in _tensors_of(model) if tensor.data_location == _EXTERNAL]
    by_file: dict[str, list[Any]] = {}
    for tensor in external:
        by_file.setdefault(_entries(tensor).get("location", ""), []).append(tensor)

    digests = {}
    left = _MOST
    for location, tensors in sorted(by_file.items()):
        content = _content(_place_of(location, path), path, _inside(path, roots))
        digests[location] = hashlib.sha256(content).hexdigest()
        for tensor in tensors:
            part = _part_of(content, tensor, path)
            left -= len(part)
            if left < 0:
                raise refused(path, "The model has more than 2 GB of weights.", "Export it in half precision.")
            tensor.raw_data = part
            tensor.data_location = 0
            del tensor.external_data[:]
    return digests


def _check_data(promised: Mapping[str, str], digests: Mapping[str, str]) -> None:
    for name, digest in digests.items():
        if promised.get(name) != digest:
            raise DigestMismatch(
                f"The ONNX file's data '{name[:120]}' has SHA-256 {digest}, not {promised.get(name)} as when the "
                "model was first opened.",
                field="checkpoint",
                value=name,
                remedy="Put the data back. For the new weights, save them as one ONNX file and register that: it "
                "becomes a new version.",
            )


def _inside(path: Path, roots: DataRoots) -> DataRoots:
    folder = path.parent.resolve()
    # No folder but the model's own; and where that is a link that leads out, none.
    return DataRoots((folder,) if roots.contain(folder) else roots.paths, roots.most)


def _place_of(location: str, path: Path) -> Path:
    parts = PurePosixPath(location).parts
    if not parts or location.startswith("/") or ".." in parts or "\\" in location or "\0" in location:
        raise refused(
            path,
            f"The model's weights are said to be in '{location[:120]}', which is outside the file's own folder.",
            "Put the data beside the ONNX file and save the model anew with that name, or save it as one file: "
            "onnx.save_model(onnx.load(path), 'whole.onnx').",
        )
    return path.parent.joinpath(*parts)


def _part_of(content: bytes, tensor: Any, path: Path) -> bytes:
    entries = _entries(tensor)
    try:
        offset = int(entries.get("offset", "0"))
        length = int(entries.get("length", str(len(content) - offset)))
    except ValueError:
        offset = length = -1

    if offset < 0 or length < 0 or offset + length > len(content):
        raise refused(
            path,
            f"The weights '{tensor.name[:120]}' lie beyond the end of '{entries.get('location', '')[:120]}'.",
            "Fetch both files again: they do not belong together, or one was cut short.",
        )
    return content[offset : offset + length]


def _entries(tensor: Any) -> dict[str, str]:
    return {entry.key: entry.value for entry in tensor.external_data}


def _tensors_of(model: Model) -> Iterator[Any]:
    graphs = [*graphs_in(model.graph), *(graph for function in model.functions for graph in _graphs_of(function))]
    for graph in graphs:
        yield from getattr(graph, "initializer", ())
        for sparse in getattr(graph, "sparse_initializer", ()):
            yield from (sparse.values, sparse.indices)
        yield from _tensors_of_attributes(attribute for node in graph.node for attribute in node.attribute)


def _tensors_of_attributes(attributes: Iterable[Any]) -> Iterator[Any]:
    for attribute in attributes:
        yield from (attribute.t, *attribute.tensors)
        for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
            yield from (sparse.values, sparse.indices)
