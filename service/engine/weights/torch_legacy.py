"""Files that `torch.save` wrote before version 1.6: five pickles, then the storages one after another."""

import struct
from collections.abc import Callable

from service.engine.weights.faults import Damaged, Unsupported
from service.engine.weights.hashed_file import HashedFile, Place
from service.engine.weights.names import look_up, storage_of
from service.engine.weights.pickles import ForeignName, PickleReader
from service.engine.weights.tensors import Contents, Storage

MAGIC = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."

_BLOCK = 1 << 16
_PROTOCOL = 1001


class _Stream:
    """The pickles, read block by block: only the interpreter knows where one ends."""

    def __init__(self, file: HashedFile) -> None:
        self._file = file
        self._block = b""
        self._start = 0
        self.position = len(MAGIC)

    def exactly(self, size: int) -> bytes:
        """The next bytes. Raises Damaged where there are fewer."""
        begin = self.position - self._start
        if not 0 <= begin <= begin + size <= len(self._block):
            if size > self._file.size:
                raise Damaged
            self._start, begin = self.position, 0
            self._block = self._file.look(self._start, max(_BLOCK, size))
        if begin + size > len(self._block):
            raise Damaged

        self.position += size
        return self._block[begin : begin + size]


def read_legacy(file: HashedFile) -> Contents:
    """What the file holds. Raises Damaged, Program or Unsupported."""
    stream = _Stream(file)
    storages: dict[str, Storage] = {}

    def referred(reference: tuple[object, ...]) -> Storage | ForeignName:
        storage = storage_of(reference)
        if isinstance(storage, ForeignName):
            return storage
        return storages.setdefault(storage.key, storage)

    def next_pickle(referred_storage: Callable[[tuple[object, ...]], object] = _refuse) -> object:
        return PickleReader(stream.exactly, look_up, referred_storage).load()

    if next_pickle() != _PROTOCOL:
        raise Damaged
    system = next_pickle()
    if type(system) is not dict or system.get("little_endian") is not True:
        raise Unsupported("The weights file has the wrong byte order.", "Save it on a little-endian machine.")

    value = next_pickle(referred)
    keys = next_pickle()

    return Contents(value, _places(file, stream.position, keys, storages))


def _refuse(_: tuple[object, ...]) -> object:
    raise Damaged


def _places(file: HashedFile, position: int, keys: object, storages: dict[str, Storage]) -> dict[str, Place]:
    """The storages in the order of `keys`, each behind the number of its elements."""
    # Before anything hashes them: nested tuples of a few bytes take years to hash.
    if type(keys) is not list or any(type(key) is not str for key in keys):
        raise Damaged
    if len(set(keys)) != len(keys) or set(keys) != set(storages):
        raise Damaged

    places = {}
    for key in keys:
        storage = storages[key]
        itemsize = 1 if storage.dtype is None else storage.dtype.itemsize
        count = file.look(position, 8)
        if count != struct.pack("<q", storage.size // itemsize):
            raise Damaged

        places[key] = Place(position + len(count), storage.size)
        position = places[key].end
        if position > file.size:
            raise Damaged

    return places
