"""Answers as tables of pandas."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from client.errors import ClientError

if TYPE_CHECKING:
    from pandas import DataFrame


def to_frame(items: Iterable[Mapping[str, Any]]) -> "DataFrame":
    """A row for each item, a column for each field; fields of fields have names with a dot, as `evidence.quality`.

    Raises ClientError where pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError:
        raise ClientError(
            "pandas is not installed.",
            remedy="Install the client extra: pip install 'mammo-clip-dissect-service[client]'.",
        ) from None

    return pd.json_normalize([dict(item) for item in items])
