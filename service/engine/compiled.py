"""Functions that numba compiles for the CPU."""

from collections.abc import Callable
from typing import Literal, TypeVar, cast

_Function = TypeVar("_Function", bound=Callable[..., object])


def compiled(function: _Function, *, nogil: bool = False, inline: Literal["never", "always"] = "never") -> _Function:
    """The function, compiled for the types that it is called with.

    nogil: other threads run meanwhile. inline: whether it becomes a part of compiled functions that call it.
    No cache on disk: it could be stale or unwritable.
    """
    import numba

    return cast("_Function", numba.njit(nogil=nogil, inline=inline)(function))
