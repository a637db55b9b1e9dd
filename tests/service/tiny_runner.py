"""An `ItemRunner` without database or networks; an item's label says how it behaves."""

import os
import time
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from service.config import Settings
from service.domain.work import Lease
from service.errors import ArtifactLost, InvalidInput, Unavailable


def open_runner(settings: Settings) -> "TinyRunner":
    if settings.device == "cuda:99":
        raise InvalidInput("There is no such device.", field="device")
    return TinyRunner()


def open_dying_inspector(settings: Settings) -> "DyingInspector":
    return DyingInspector()


def open_stranded_inspector(settings: Settings) -> "StrandedInspector":
    return StrandedInspector()


class TinyRunner:
    def run(self, lease: Lease, tell: Callable[[int], None], /) -> Mapping[str, Any]:
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
            case "wrong":
                raise InvalidInput("The job is wrong.", field="layers")
            case "away":
                raise Unavailable("The database cannot be reached.")
            case "crash":
                raise RuntimeError("secret")
            case "memory":
                raise MemoryError
            case "vanished":
                raise FileNotFoundError("secret")
            case "lost":
                raise ArtifactLost("The artifact is damaged.")
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
