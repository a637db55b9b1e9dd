"""An `ItemRunner` without database or networks; an item's label says how it behaves."""

import errno
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from service.config import Settings
from service.domain.work import AnyLease, Lease, PreparationLease
from service.errors import ArtifactLost, FileOutOfReach, InvalidInput, Unavailable
from service.pipelines import messages

ERRORS: dict[str | None, Exception] = {
    "wrong": InvalidInput("The job is wrong.", field="layers"),
    "away": Unavailable("The database cannot be reached."),
    "crash": RuntimeError("secret"),
    "memory": MemoryError(),
    "vanished": FileNotFoundError("secret"),
    "disk": OSError(errno.EIO, "secret"),
    "files": OSError(errno.EMFILE, "secret"),
    "forbidden": PermissionError(errno.EACCES, "secret"),
    "image": FileOutOfReach("The image of manifest row 1 cannot be read now."),
    "lost": ArtifactLost("The artifact is damaged."),
    "strange": InvalidInput("a\0b\ud800" + "x" * 100_000),
}
UNUSABLE: dict[str | None, Callable[[], Any]] = {
    "not JSON": Path,
    "NaN": lambda: float("nan"),
    "NUL": lambda: "a\0b",
    "half a character": lambda: "\ud800",
    "nested deeply": lambda: nested(100),
    "nested endlessly": lambda: nested(100_000),
    "many values": lambda: [0] * 1_000_001,
    "many bytes": lambda: "x" * messages.MOST_BYTES,
}
LIMITS = {
    "core": resource.RLIMIT_CORE,
    "data": resource.RLIMIT_DATA,
    "files": resource.RLIMIT_NOFILE,
    "processes": resource.RLIMIT_NPROC,
}


def given(settings: Settings) -> dict[str, Any]:
    """What this process was given, and what it may take."""
    return {
        "settings": {name: _plain(value) for name, value in settings},
        "environment": dict(os.environ),
        "limits": {name: resource.getrlimit(number) for name, number in LIMITS.items()},
    }


def nested(levels: int) -> object:
    value: list[object] = []
    for _ in range(levels):
        value = [value]
    return value


def status_of_reader() -> int:
    """The exit status of a process of ours, as decoders are, that looks for a key in our environment."""
    search = ["grep", "-aqs", "KEY=secret", f"/proc/{os.getpid()}/environ"]
    return subprocess.run(search, check=False).returncode


VALUES = UNUSABLE | {"status of a reader": status_of_reader}


def misbehave(how: str) -> None:
    """Say to the host what code in the child might say, which has its connection."""
    connection = Connection(int(sys.argv[1]))
    match how:
        case "pickle":
            connection.send(RunsCode(os.environ["TINY_PLACE"]))
        case "nonsense":
            connection.send_bytes(b'{"result": {}, "lasting": true}')
        case "flood":
            connection.send_bytes(bytes(messages.MOST_BYTES + 1))
        case _:
            os.write(connection.fileno(), b"\0\0")
    time.sleep(60)


class RunsCode:
    """An object that makes a folder when it is read from its pickle."""

    def __init__(self, place: str) -> None:
        self.place = place

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (self.place,)


def _plain(value: object) -> object:
    return value.get_secret_value() if isinstance(value, SecretStr) else value


def open_runner(settings: Settings) -> "TinyRunner":
    if settings.device == "cuda:99":
        raise InvalidInput("There is no such device.", field="device")
    return TinyRunner(settings)


class TinyRunner:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def run(self, lease: AnyLease, report_progress: Callable[[int], None], /) -> Mapping[str, Any]:
        label = lease.label if isinstance(lease, Lease) else None
        if label == "given":
            return given(self._settings)
        if label in VALUES:
            return {"value": VALUES[label]()}
        if label in ERRORS:
            raise ERRORS[label]
        match label:
            case "die":
                os._exit(9)
            case "hoard":
                return _hoard()
            case "stuck":
                time.sleep(60)
            case "short":
                time.sleep(0.5)
            case "batches":
                for done in range(600):
                    report_progress(done)
                    time.sleep(0.05)
            case "burst":
                bytearray(os.urandom(1 << 20)) * (64 << 10)
            case "pickle" | "nonsense" | "flood" | "half a message":
                misbehave(label)
            case "tensors":
                import torch  # as late as the child itself

                torch.empty(16 << 30, dtype=torch.uint8)
        report_progress(3)
        return {"pid": os.getpid()}


class Inspector(TinyRunner):
    """Opens models in a way of its own."""

    def __init__(self, settings: Settings, open_model: Callable[[], Mapping[str, Any]]) -> None:
        super().__init__(settings)
        self._open_model = open_model

    def run(self, lease: AnyLease, report_progress: Callable[[int], None], /) -> Mapping[str, Any]:
        return self._open_model() if isinstance(lease, PreparationLease) else super().run(lease, report_progress)


def _die() -> Mapping[str, Any]:
    os._exit(9)


def _hang() -> Mapping[str, Any]:
    time.sleep(60)
    return {}


def _hoard() -> Mapping[str, Any]:
    hoard = [bytearray(os.urandom(1 << 20)) * 32 for _ in range(100)]
    return {"hoarded": len(hoard)}


def _refuse() -> Mapping[str, Any]:
    raise InvalidInput("There is no such model.", field="model", remedy="Name one that there is.")


def _strand() -> Mapping[str, Any]:
    raise Unavailable("The database cannot be reached.")


def open_dying_inspector(settings: Settings) -> Inspector:
    return Inspector(settings, _die)


def open_hanging_inspector(settings: Settings) -> Inspector:
    return Inspector(settings, _hang)


def open_hoarding_inspector(settings: Settings) -> Inspector:
    return Inspector(settings, _hoard)


def open_refusing_inspector(settings: Settings) -> Inspector:
    return Inspector(settings, _refuse)


def open_stranded_inspector(settings: Settings) -> Inspector:
    return Inspector(settings, _strand)


def open_fine_inspector(settings: Settings) -> Inspector:
    return Inspector(settings, lambda: {"layers": [{"name": "a", "units": 8, "kind": "Conv2d"}]})
