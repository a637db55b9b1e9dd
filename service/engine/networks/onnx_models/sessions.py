"""Running a graph with onnxruntime, for just the tensors that are asked for."""

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from service.engine.networks.onnx_models.faults import in_short, needed, refused
from service.engine.networks.onnx_models.reading import Model
from service.memory import is_out_of_memory

_KEPT = 2
"""Sessions. A job asks for one set of layers, and for another one when it looks for regions."""

_OUT_OF_MEMORY = ("Failed to allocate memory", "bad_alloc", "bad allocation")
_CUDA = "CUDAExecutionProvider"
_CPU = "CPUExecutionProvider"
_ONLY_ERRORS = 4


class Sessions:
    """Sessions of one graph by what they return. The graph ends at the last tensor that is asked for."""

    def __init__(self, model: Model, path: Path, device: torch.device) -> None:
        self._model = model
        self._path = path
        self._device = device
        self._opened: OrderedDict[tuple[str, ...], Any] = OrderedDict()

    def run(self, outputs: Sequence[str], feed: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """The tensors of these names.

        Raises InvalidCheckpoint where onnxruntime cannot run the graph, MemoryError, and InvalidInput without the
        extra.
        """
        session = self._session(tuple(outputs))
        try:
            arrays = session.run(list(outputs), feed)
        except Exception as error:
            raise self._failed(error) from error
        return [np.asarray(array) for array in arrays]

    def check(self) -> None:
        """Raise what `run` raises where onnxruntime does not take the graph at all."""
        self._open(tuple(value.name for value in self._model.graph.output))

    @property
    def provider(self) -> str:
        """Where it runs: of the session that was opened last."""
        session = next(reversed(self._opened.values()), None)
        return _CPU if session is None else str(session.get_providers()[0])

    def _session(self, outputs: tuple[str, ...]) -> Any:
        if outputs not in self._opened:
            self._opened[outputs] = self._open(outputs)
        self._opened.move_to_end(outputs)

        while len(self._opened) > _KEPT:
            self._opened.popitem(last=False)
        return self._opened[outputs]

    def _open(self, outputs: tuple[str, ...]) -> Any:
        runtime = needed("onnxruntime")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.inter_op_num_threads = 1
        options.use_deterministic_compute = True
        options.log_severity_level = _ONLY_ERRORS

        try:
            content = self._ending_in(outputs)
            return runtime.InferenceSession(content, options, providers=self._providers(runtime))
        except Exception as error:
            raise self._failed(error) from error

    def _providers(self, runtime: Any) -> list[Any]:
        if self._device.type != "cuda" or _CUDA not in runtime.get_available_providers():
            return [_CPU]
        return [(_CUDA, {"device_id": self._device.index or 0, "use_tf32": 0}), _CPU]

    def _ending_in(self, outputs: tuple[str, ...]) -> bytes:
        import onnx

        own = list(self._model.graph.output)
        known = {value.name: value for value in own}
        del self._model.graph.output[:]
        try:
            for name in outputs:
                self._model.graph.output.append(known.get(name) or onnx.ValueInfoProto(name=name))
            content: bytes = self._model.SerializeToString()
            return content
        finally:
            del self._model.graph.output[:]
            self._model.graph.output.extend(own)

    def _failed(self, error: Exception) -> Exception:
        if is_out_of_memory(error) or any(words in str(error) for words in _OUT_OF_MEMORY):
            return MemoryError(in_short(error))
        return refused(
            self._path,
            f"onnxruntime cannot run the graph: {in_short(error)}",
            "Run the file with onnxruntime where it was exported, and export it with an opset that it knows.",
        )
