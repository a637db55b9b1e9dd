"""Pickles read by an interpreter of our own: the instructions that `torch.save` writes, and no way to call Python.

Names in a pickle are looked up among our own makers only, so there is no object of Python's or of a library's that a
file could get hold of. No name is ever imported. Whatever a file does not describe with plain values or tensors becomes
an `Inert`, and a name that nobody knows a `ForeignName`.
"""

import pickle
import struct
from collections.abc import Callable

import torch

from service.engine.weights.faults import Damaged, Program, Unsupported

Maker = Callable[..., object]
"""What stands for a name of the allow-list: takes the arguments that the file gives, and makes a value of ours."""

_MOST_INSTRUCTIONS = 4_000_000
"""Each may make an object of about a hundred bytes. A tensor takes some 25 of them."""
_MOST_ARGUMENTS = 32
"""Tensors have nine at most."""

_UNPACKED = {pickle.BININT: "<i", pickle.BININT1: "<B", pickle.BININT2: "<H", pickle.BINFLOAT: ">d"}
_CONSTANTS: dict[bytes, object] = {
    pickle.NONE: None,
    pickle.NEWTRUE: True,
    pickle.NEWFALSE: False,
    pickle.EMPTY_TUPLE: (),
}
_PYTHON_2 = {"__builtin__.long": "builtins.int", "__builtin__.unicode": "builtins.str"}
"""Names of today that are written as they were when protocol 2 was new."""
_REBUILDING = ("unpickle", "reconstruct", "rebuild")
_TUPLES = {pickle.TUPLE1: 1, pickle.TUPLE2: 2, pickle.TUPLE3: 3}


class Name:
    """A name of the allow-list, as a value. make: what is done where the file calls it or makes an instance of it."""

    __slots__ = ("_make",)

    def __init__(self, make: Maker) -> None:
        self._make = make

    def make(self, arguments: object) -> object:
        """Make the value of a tuple of arguments. Raises Damaged for anything else, and what the maker raises."""
        # Each call copies its arguments: a file could have a long tuple copied as often as it has instructions.
        if type(arguments) is not tuple or len(arguments) > _MOST_ARGUMENTS:
            raise Damaged
        return self._make(*arguments)


class ForeignName:
    """A name that is not on the allow-list, as a value. Its instances are inert, and a function is never called.

    owner: where it was looked up; None for a name that stands in the file as it is. It is kept apart: a file can name
    the same two texts together as often as it has instructions.
    """

    __slots__ = ("_name", "_owner", "length")

    def __init__(self, name: str, owner: "ForeignName | None" = None) -> None:
        self._name = name
        self._owner = owner
        self.length: int = len(name) + (0 if owner is None else owner.length + 1)

    @property
    def full_name(self) -> str:
        """With the names of all owners."""
        parts = [self._name]
        owner = self._owner
        while owner is not None:
            parts.append(owner._name)
            owner = owner._owner
        return ".".join(reversed(parts))

    @property
    def makes_objects(self) -> bool:
        """Whether it is written as names of classes are, or of functions that rebuild objects of a library."""
        name = self._name.rpartition(".")[2].lstrip("_")
        return name[:1].isupper() or any(word in name for word in _REBUILDING)


class Inert:
    """Stands in for an object that is of no use here. It keeps nothing but its class, and does nothing."""

    __slots__ = ("_class",)

    def __init__(self, of_class: ForeignName | None = None) -> None:
        self._class = of_class

    @property
    def class_name(self) -> str:
        """Empty where the class is one of the allow-list."""
        return "" if self._class is None else self._class.full_name


class PickleReader:
    """Interprets one pickle.

    read: takes a number of bytes and returns exactly as many, or raises Damaged.
    look_up: what stands for each name on the allow-list, by its full name.
    storage_of: makes a value of a reference to a storage.
    """

    def __init__(
        self,
        read: Callable[[int], bytes],
        look_up: Callable[[str], object],
        storage_of: Callable[[tuple[object, ...]], object],
    ) -> None:
        self._read = read
        self._look_up = look_up
        self._storage_of = storage_of
        self._stack: list[object] = []
        self._marked: list[list[object]] = []
        self._memo: dict[int, object] = {}

    def load(self) -> object:
        """The pickled value. Raises Damaged, Program or Unsupported."""
        for _ in range(_MOST_INSTRUCTIONS):
            instruction = self._read(1)
            if instruction == pickle.STOP:
                return self._stack.pop()
            self._follow(instruction)

        raise Damaged("The weights file describes more objects than any real weights file.")

    def _follow(self, instruction: bytes) -> None:
        if instruction in _CONSTANTS:
            self._stack.append(_CONSTANTS[instruction])
        elif instruction in _UNPACKED:
            form = _UNPACKED[instruction]
            self._stack.append(struct.unpack(form, self._read(struct.calcsize(form)))[0])
        elif instruction in _TUPLES:
            self._tuple(_TUPLES[instruction])
        else:
            self._follow_other(instruction)

    def _follow_other(self, instruction: bytes) -> None:
        match instruction:
            case pickle.BINGET | pickle.LONG_BINGET:
                self._stack.append(self._memo[self._index(instruction == pickle.LONG_BINGET)])
            case pickle.BINPUT | pickle.LONG_BINPUT:
                self._memo[self._index(instruction == pickle.LONG_BINPUT)] = self._stack[-1]
            case pickle.BINUNICODE:
                self._stack.append(str(self._read(self._number("<I")), "utf-8", "surrogatepass"))
            case pickle.SHORT_BINSTRING:
                self._stack.append(str(self._read(self._number("<B")), "utf-8", "replace"))
            case pickle.LONG1:
                self._stack.append(int.from_bytes(self._read(self._number("<B")), "little", signed=True))
            case pickle.EMPTY_LIST:
                self._stack.append([])
            case pickle.EMPTY_DICT:
                self._stack.append({})
            case pickle.MARK:
                self._marked.append(self._stack)
                self._stack = []
            case pickle.TUPLE:
                values = self._since_mark()
                self._stack.append(tuple(values))
            case _:
                self._change(instruction)

    def _change(self, instruction: bytes) -> None:
        match instruction:
            case pickle.APPEND:
                self._append([self._stack.pop()])
            case pickle.APPENDS:
                self._append(self._since_mark())
            case pickle.SETITEM:
                value, key = self._stack.pop(), self._stack.pop()
                self._set([key, value])
            case pickle.SETITEMS:
                self._set(self._since_mark())
            case pickle.GLOBAL:
                self._stack.append(self._look_up(self._full_name()))
            case pickle.REDUCE | pickle.NEWOBJ:
                self._make(is_instance=instruction == pickle.NEWOBJ)
            case pickle.BUILD:
                self._build()
            case pickle.BINPERSID:
                self._refer()
            case pickle.PROTO:
                self._check_protocol(self._number("<B"))
            case _:
                raise Damaged

    def _number(self, form: str) -> int:
        number: int = struct.unpack(form, self._read(struct.calcsize(form)))[0]
        return number

    def _index(self, long: bool) -> int:
        return self._number("<I" if long else "<B")

    def _tuple(self, length: int) -> None:
        if len(self._stack) < length:
            raise Damaged
        self._stack[-length:] = [tuple(self._stack[-length:])]

    def _since_mark(self) -> list[object]:
        values = self._stack
        self._stack = self._marked.pop()
        return values

    def _append(self, values: list[object]) -> None:
        target = self._stack[-1]
        if type(target) is list:
            target.extend(values)
        elif type(target) is not Inert:
            raise Damaged

    def _set(self, values: list[object]) -> None:
        target = self._stack[-1]
        if type(target) is not dict:
            if type(target) is Inert:
                return
            raise Damaged

        for key, value in zip(values[::2], values[1::2], strict=True):
            target[checked_key(key)] = value

    def _full_name(self) -> str:
        module, name = self._line(), self._line()
        written = f"{module}.{name}"
        return _PYTHON_2.get(written, written.replace("__builtin__.", "builtins."))

    def _line(self) -> str:
        line = bytearray()
        while (character := self._read(1)) != b"\n":
            line += character
            if len(line) > 512:
                raise Damaged
        return line.decode()

    def _make(self, *, is_instance: bool) -> None:
        arguments, name = self._stack.pop(), self._stack.pop()
        if type(name) is ForeignName:
            self._stack.append(_stand_in(name, arguments, is_instance=is_instance))
        elif type(name) is Name:
            self._stack.append(name.make(arguments))
        else:
            raise Program(f"Opening the weights file would run code: it asks for {_type_of(name)} to be called.")

    def _build(self) -> None:
        self._stack.pop()
        # The state of a state dict is bookkeeping of modules, that of an Inert of no use. All else has none.
        if type(self._stack[-1]) not in (dict, Inert):
            raise Damaged

    def _refer(self) -> None:
        reference = self._stack.pop()
        if type(reference) is not tuple:
            raise Damaged
        self._stack.append(self._storage_of(reference))

    def _check_protocol(self, protocol: int) -> None:
        if protocol != 2:
            raise Unsupported(
                f"The weights file is written with pickle protocol {protocol}.",
                "Save it with the default pickle_protocol of torch.save, which is 2.",
            )


def _stand_in(name: ForeignName, arguments: object, *, is_instance: bool) -> Inert:
    """What stands for an instance of a class that is not known here. Raises Program where a function is called."""
    if type(arguments) is not tuple:
        raise Damaged
    if not (is_instance or name.makes_objects):
        raise would_run(name.full_name)
    return Inert(name)


def would_run(name: str) -> Program:
    """The fault of a file that asks for a function."""
    return Program(f"Opening the weights file would run code: it asks for {name.removeprefix('builtins.')}.")


def checked_key(key: object) -> object:
    """A dictionary's key, unless a file can choose it so that it is slow to look up: nested tuples, huge integers.

    Raises Damaged.
    """
    if type(key) is int and not -(2**63) <= key < 2**63:
        raise Damaged
    if type(key) not in (str, int, float, bool, type(None), torch.dtype, Inert, ForeignName):
        raise Damaged("The weights file holds a dictionary whose keys are neither words nor numbers.")
    return key


def _type_of(value: object) -> str:
    return f"an object of type {type(value).__name__}"
