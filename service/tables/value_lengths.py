"""How long the values of a parquet file's columns are, by the types that its writer gave them."""

from typing import Any

import numpy as np

_OTHER_VALUE_BYTES = 32


def is_measurable(kind: Any) -> bool:
    """Can `longest_value` say how long values of this type of Arrow are?"""
    import pyarrow as pa

    if isinstance(kind, pa.BaseExtensionType):
        return is_measurable(kind.storage_type)
    if pa.types.is_dictionary(kind) or _is_list(kind):
        return is_measurable(kind.value_type)
    if pa.types.is_struct(kind):
        return all(is_measurable(kind.field(place).type) for place in range(kind.num_fields))

    is_number = pa.types.is_primitive(kind) or pa.types.is_decimal(kind) or pa.types.is_null(kind)
    return bool(is_number or _is_text(kind) or _is_view(kind))


def longest_value(column: Any) -> int:
    """At least the bytes of the longest value of an array of Arrow, whose type is measurable."""
    import pyarrow as pa
    from pyarrow import compute

    if isinstance(column, pa.ExtensionArray):
        return longest_value(column.storage)
    if pa.types.is_dictionary(column.type):
        return longest_value(column.dictionary)
    if pa.types.is_struct(column.type):
        return sum(longest_value(column.field(place)) for place in range(column.type.num_fields))
    if _is_list(column.type):
        most = compute.max(compute.list_value_length(column)).as_py() or 0
        return most * max(1, longest_value(column.values))
    return _longest_text(column)


def _longest_text(column: Any) -> int:
    from pyarrow import compute

    if _is_view(column.type):
        # Arrow has no function for their lengths. A view is four integers, and its length is the first.
        views = np.frombuffer(column.buffers()[1], np.int32)
        return int(views[::4][column.offset : column.offset + len(column)].max(initial=0))
    if _is_text(column.type):
        return compute.max(compute.binary_length(column)).as_py() or 0
    return _OTHER_VALUE_BYTES


def _is_text(kind: Any) -> bool:
    from pyarrow import types

    texts = types.is_string(kind) or types.is_large_string(kind)
    return bool(texts or types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind))


def _is_view(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_string_view(kind) or types.is_binary_view(kind))


def _is_list(kind: Any) -> bool:
    from pyarrow import types

    lists = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
    return bool(lists or types.is_list_view(kind) or types.is_large_list_view(kind))
