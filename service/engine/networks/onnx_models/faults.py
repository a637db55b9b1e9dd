"""The errors of ONNX files, which all name the file and a remedy."""

from importlib import import_module
from pathlib import Path
from typing import Any

from service.errors import InvalidCheckpoint, InvalidInput


def refused(path: Path, detail: str, remedy: str) -> InvalidCheckpoint:
    """The error for an ONNX file that cannot be used."""
    return InvalidCheckpoint(detail, field="checkpoint", value=path, remedy=remedy)


def needed(module: str) -> Any:
    """A module of the extra `onnx`. Raises InvalidInput where it is not installed."""
    try:
        return import_module(module)
    except ImportError as error:
        raise InvalidInput(
            f"The architecture 'onnx' needs the package '{module.partition('.')[0]}', which the worker does not have.",
            field="architecture",
            value="onnx",
            remedy="Install the extra where the worker runs: pip install 'mammo-clip-dissect-service[onnx]'. "
            "Then ask again with POST /models/{name}/inspect.",
        ) from error


def in_short(error: Exception) -> str:
    """The first line of a library's error, without its codes."""
    lines = str(error).strip().splitlines()
    text = lines[0] if lines else type(error).__name__
    return text.rpartition("ONNXRuntimeError] : ")[2][:300]
