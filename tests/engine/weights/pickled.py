"""Pickles written instruction by instruction, as a hostile file would hold them."""

import pickle
import struct
import zipfile
from collections.abc import Iterable
from pathlib import Path

MAGIC = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."


def called(name: str) -> bytes:
    """Instructions that put a name on the stack."""
    module, _, attribute = name.rpartition(".")
    return pickle.GLOBAL + f"{module}\n{attribute}\n".encode()


def plain(value: object) -> bytes:
    """Instructions that put a plain value on the stack; bytes stand for instructions already."""
    match value:
        case bytes():
            return value
        case tuple():
            return pickle.MARK + _all(value) + pickle.TUPLE
        case list():
            return pickle.EMPTY_LIST + pickle.MARK + _all(value) + pickle.APPENDS
        case dict():
            entries = [part for entry in value.items() for part in entry]
            return pickle.EMPTY_DICT + pickle.MARK + _all(entries) + pickle.SETITEMS
        case _:
            return _scalar(value)


def _all(values: Iterable[object]) -> bytes:
    return b"".join(plain(value) for value in values)


def _scalar(value: object) -> bytes:
    match value:
        case str():
            encoded = value.encode("utf-8", "surrogatepass")
            return pickle.BINUNICODE + struct.pack("<I", len(encoded)) + encoded
        case bool():
            return pickle.NEWTRUE if value else pickle.NEWFALSE
        case int():
            encoded = value.to_bytes(9, "little", signed=True)
            return pickle.LONG1 + bytes([len(encoded)]) + encoded
        case float():
            return pickle.BINFLOAT + struct.pack(">d", value)
        case _:
            assert value is None
            return pickle.NONE


def reduced(name: str, *arguments: object) -> bytes:
    """Instructions that call a name."""
    return called(name) + plain(arguments) + pickle.REDUCE


def storage(elements: int, *, kind: str = "FloatStorage", key: str = "0") -> bytes:
    """Instructions that refer to a storage."""
    return plain(("storage", called(f"torch.{kind}"), key, "cpu", elements)) + pickle.BINPERSID


def tensor(elements: int, offset: object, shape: object, strides: object, *, kind: str = "FloatStorage") -> bytes:
    """Instructions that rebuild a tensor."""
    hooks = reduced("collections.OrderedDict")
    stored = storage(elements, kind=kind)
    return reduced("torch._utils._rebuild_tensor_v2", stored, offset, shape, strides, False, hooks)


def nested(levels: int) -> bytes:
    """Instructions for a tuple that holds the same tuple twice, and so on: few objects, but 2^levels to walk over."""
    return pickle.EMPTY_TUPLE + (pickle.BINPUT + b"\x63" + pickle.BINGET + b"\x63" + pickle.TUPLE2) * levels


def write_legacy(path: Path, value: bytes, keys: bytes) -> Path:
    """A file as torch.save wrote it before version 1.6, with these instructions and no storages."""
    pickles = (plain(1001), plain({"little_endian": True}), value, keys)
    path.write_bytes(MAGIC + b"".join(pickle.PROTO + b"\x02" + each + pickle.STOP for each in pickles))
    return path


def write_archive(path: Path, value: bytes, *, packing: int = zipfile.ZIP_STORED, **storages: bytes) -> Path:
    """A file as torch.save writes it, with a pickle of these instructions and these storages (`s0` is key 0)."""
    with zipfile.ZipFile(path, "w", packing) as archive:
        archive.writestr("archive/data.pkl", pickle.PROTO + b"\x02" + value + pickle.STOP)
        archive.writestr("archive/byteorder", "little")
        for name, content in storages.items():
            archive.writestr(f"archive/data/{name.removeprefix('s')}", content)
    return path
