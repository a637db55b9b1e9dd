"""An `ItemRunner` without database or networks; an item's label says how it behaves."""

import os
import resource
import time
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from pydantic import SecretStr

from service.config import Settings
from service.domain.work import Lease
from service.errors import ArtifactLost, InvalidInput, Unavailable

ERRORS: dict[str | None, Exception] = {
    "wrong": InvalidInput("The job is wrong.", field="layers"),
    "away": Unavailable("The database cannot be reached."),
    "crash": RuntimeError("secret"),
    "memory": MemoryError(),
    "vanished": FileNotFoundError("secret"),
    "lost": ArtifactLost("The artifact is damaged."),
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


def _plain(value: object) -> object:
    return value.get_secret_value() if isinstance(value, SecretStr) else value


def open_runner(settings: Settings) -> "TinyRunner":
    if settings.device == "cuda:99":
        raise InvalidInput("There is no such device.", field="device")
    return TinyRunner(settings)


def open_dying_inspector(settings: Settings) -> "DyingInspector":
    return DyingInspector(settings)


def open_stranded_inspector(settings: Settings) -> "StrandedInspector":
    return StrandedInspector(settings)


class TinyRunner:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def run(self, lease: Lease, tell: Callable[[int], None], /) -> Mapping[str, Any]:
        if lease.label == "given":
            return given(self._settings)
        if lease.label in ERRORS:
            raise ERRORS[lease.label]
        match lease.label:
            case "die":
                os._exit(9)
            case "hoard":
                hoard = [bytearray(os.urandom(1 << 20)) * 32 for _ in range(100)]
                return {"hoarded": len(hoard)}
            case "stuck":
                time.sleep(60)
            case "short":
                time.sleep(0.5)
            case "batches":
                for done in range(600):
                    tell(done)
                    time.sleep(0.05)
            case "burst":
                return {"grown": len(bytearray(os.urandom(1 << 20)) * (64 << 10))}
        tell(3)
        return {"pid": os.getpid()}

    def inspect(self, model_id: UUID, /) -> None:
        if model_id.int == 0:
            raise InvalidInput("There is no such model.", field="model")


class DyingInspector(TinyRunner):
    """Is killed by every model that it opens."""

    def inspect(self, model_id: UUID, /) -> None:
        os._exit(9)


class StrandedInspector(TinyRunner):
    """Has no database."""

    def inspect(self, model_id: UUID, /) -> None:
        raise Unavailable("The database cannot be reached.")
