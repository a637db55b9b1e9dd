"""The column type of pgvector's half-precision vectors."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Dialect
from sqlalchemy.dialects.postgresql.base import ischema_names
from sqlalchemy.types import UserDefinedType

Vector = NDArray[np.floating[Any]]
"""float16 or float32 [D]."""


class HalfVector(UserDefinedType[Vector]):
    """`halfvec`, or `halfvec(width)`: float16 [D]."""

    cache_ok = True

    def __init__(self, width: int | None = None) -> None:
        self.width = width

    def get_col_spec(self, **_: object) -> str:
        """The type's name in SQL."""
        return "halfvec" if self.width is None else f"halfvec({self.width})"

    def bind_processor(self, dialect: Dialect) -> Callable[[Vector | None], str | None]:  # noqa: ARG002
        """What writes a vector as pgvector reads it."""
        return lambda vector: None if vector is None else written(vector)

    def result_processor(
        self,
        dialect: Dialect,  # noqa: ARG002
        coltype: object,  # noqa: ARG002
    ) -> Callable[[str | None], NDArray[np.float16] | None]:
        """What reads a vector as pgvector writes it."""
        return lambda text: None if text is None else read(text)


def written(vector: Vector) -> str:
    """A vector in pgvector's notation: six digits tell all float16 numbers apart."""
    return "[" + ",".join([f"{number:.6g}" for number in vector.tolist()]) + "]"


def read(text: str) -> NDArray[np.float16]:
    """A vector in pgvector's notation."""
    return np.array(text[1:-1].split(","), dtype=np.float32).astype(np.float16)


# So that Alembic, which reads the type's name from the database, knows it.
_names: dict[str, Any] = ischema_names
_names.setdefault("halfvec", HalfVector)
