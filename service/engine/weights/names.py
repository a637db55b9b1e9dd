"""The names that a pickle of weights may hold, and what of ours stands for each of them.

The allow-list has the names that say something about tensors, and the functions that harmless objects are rebuilt with.
Any other class becomes an inert stand-in, which is never imported; any other function is refused.
"""

from collections.abc import Mapping

import torch

from service.engine.weights.faults import Damaged
from service.engine.weights.pickles import ForeignName, Inert, Name, checked_key, would_run
from service.engine.weights.tensors import DTYPES, STORAGE_TYPES, Storage, StoredTensor, unsupported_tensor

_OTHER_TENSORS = "torch._utils._rebuild_"
_LONGEST_NAME = 1024

_INERT = (
    # What the published Mammo-CLIP files hold of their configuration.
    "omegaconf.base.ContainerMetadata",
    "omegaconf.base.Metadata",
    "omegaconf.dictconfig.DictConfig",
    "omegaconf.listconfig.ListConfig",
    "omegaconf.nodes.AnyNode",
    "typing.Any",
    "builtins.bool",
    "builtins.float",
    "builtins.frozenset",
    "builtins.int",
    "builtins.list",
    "builtins.object",
    "builtins.range",
    "builtins.slice",
    "builtins.str",
    "builtins.tuple",
    "builtins.type",
    "builtins.xrange",
    # Objects whose names are not written as those of classes.
    "collections.deque",
    "datetime.date",
    "datetime.datetime",
    "datetime.time",
    "datetime.timedelta",
    "datetime.timezone",
    "functools.partial",
    "numpy.random._pickle.__bit_generator_ctor",
    "numpy.random._pickle.__generator_ctor",
    "numpy.random._pickle.__randomstate_ctor",
    # Their predictions and scores. numpy 2 and numpy 1 call the same functions differently.
    "numpy.ndarray",
    "numpy.dtype",
    "numpy._core.multiarray._reconstruct",
    "numpy._core.multiarray.scalar",
    "numpy.core.multiarray._reconstruct",
    "numpy.core.multiarray.scalar",
    "_codecs.encode",
    # What torch.save writes beside tensors.
    "builtins.bytearray",
    "builtins.complex",
    "builtins.set",
    "torch.Size",
    "torch.Tensor",
    "torch.device",
    "torch.nn.parameter.Parameter",
    "torch.serialization._get_layout",
)

_RUN_CODE = {
    "_posixsubprocess", "asyncio", "builtins", "cloudpickle", "code", "codeop", "commands", "ctypes", "dill", "imp",
    "importlib", "io", "joblib", "marshal", "multiprocessing", "nt", "os", "pdb", "pickle", "pip", "pkgutil", "posix",
    "pty", "runpy", "shutil", "signal", "socket", "subprocess", "sys", "threading", "timeit", "types", "webbrowser",
}  # fmt: skip
"""Packages that no object of a checkpoint comes from. A file that names them is refused, whatever it does with them."""


class StorageType(Name):
    """A class of storages, as a value. dtype: None where the storage's tensors say it."""

    __slots__ = ("dtype",)

    def __init__(self, dtype: torch.dtype | None) -> None:
        super().__init__(_refuse_storage)
        self.dtype = dtype


def _refuse_storage(*_: object) -> object:
    raise Damaged  # a storage is referred to; torch.save never makes one


def _inert(*_: object) -> object:
    return Inert()


def _instance(base: object = None, *_: object) -> object:
    """`copyreg._reconstructor`: an instance of a class."""
    return Inert(base if type(base) is ForeignName else None)


def _attribute(owner: object = None, name: object = None, *_: object) -> object:
    """`getattr`, which pickles use for classes inside classes only."""
    if type(owner) is not ForeignName or type(name) is not str or owner.length + len(name) > _LONGEST_NAME:
        raise would_run("getattr")
    return ForeignName(name, owner)


def _dictionary(*arguments: object) -> object:
    """dict, OrderedDict or Counter: a dictionary, whose entries follow, or are the argument.

    Never a copy: a file could have a large dictionary copied as often as it has instructions.
    """
    if not arguments:
        return {}
    if len(arguments) > 1:
        raise Damaged

    entries = arguments[0]
    return entries if type(entries) is dict else _take_pairs(entries)


def _take_pairs(pairs: object) -> dict[object, object]:
    """The dictionary of a list of pairs, as Python 2 wrote it. No writer uses such a list twice, so nobody may."""
    if type(pairs) is not list or not all(type(pair) in (list, tuple) and len(pair) == 2 for pair in pairs):
        raise Damaged

    entries = {checked_key(key): value for key, value in pairs}
    pairs[:] = [Inert()]
    return entries


def _dictionary_with_default(factory: object = None, *arguments: object) -> object:
    """defaultdict. What it would make of missing keys is of no use here."""
    if factory is not None and type(factory) not in (Name, ForeignName):
        raise Damaged
    return _dictionary(*arguments)


def _tensor(storage: object, offset: object, shape: object, strides: object, *_: object) -> StoredTensor:
    """`_rebuild_tensor` and `_rebuild_tensor_v2`, whose further arguments say nothing about the numbers."""
    if type(storage) is not Storage or storage.dtype is None:
        raise Damaged
    return _stored(storage, storage.dtype, offset, shape, strides)


def _tensor_2(
    storage: object,
    offset: object,
    shape: object,
    strides: object,
    _gradient: object,
    _hooks: object,
    marks: object = None,
) -> StoredTensor:
    _refuse_marks(marks)
    return _tensor(storage, offset, shape, strides)


def _tensor_3(
    storage: object,
    offset: object,
    shape: object,
    strides: object,
    _gradient: object,
    _hooks: object,
    dtype: object,
    marks: object = None,
) -> StoredTensor:
    """`_rebuild_tensor_v3`, for types that have no class of storages."""
    _refuse_marks(marks)
    if type(storage) is not Storage or type(dtype) is not torch.dtype:
        raise Damaged
    return _stored(storage, dtype, offset, shape, strides)


def _stored(storage: Storage, dtype: torch.dtype, offset: object, shape: object, strides: object) -> StoredTensor:
    if type(offset) is not int or type(shape) is not tuple or type(strides) is not tuple:
        raise Damaged
    return StoredTensor(storage, dtype, offset, shape, strides)


def _refuse_marks(marks: object) -> None:
    if marks:
        raise unsupported_tensor("one that is marked as negated or conjugated")


def _parameter(tensor: object, *_: object) -> StoredTensor:
    if type(tensor) is not StoredTensor:
        raise Damaged
    return tensor


def _subclass(make: object, _class: object, arguments: object, _state: object) -> object:
    """`_rebuild_from_type_v2`: a tensor with attributes, which are left out."""
    if type(make) is not Name:
        raise Damaged
    return _parameter(make.make(arguments))


NAMES: Mapping[str, object] = {
    **{name: Name(_inert) for name in _INERT},
    **{name: Name(_dictionary) for name in ("builtins.dict", "collections.OrderedDict", "collections.Counter")},
    "copyreg._reconstructor": Name(_instance),
    "copy_reg._reconstructor": Name(_instance),
    "builtins.getattr": Name(_attribute),
    "collections.defaultdict": Name(_dictionary_with_default),
    **{f"torch.{name}": dtype for name, dtype in DTYPES.items()},
    **{f"torch.{name}": StorageType(dtype) for name, dtype in STORAGE_TYPES.items()},
    "torch.storage.UntypedStorage": StorageType(None),
    "torch._utils._rebuild_tensor": Name(_tensor),
    "torch._utils._rebuild_tensor_v2": Name(_tensor_2),
    "torch._utils._rebuild_tensor_v3": Name(_tensor_3),
    "torch._utils._rebuild_parameter": Name(_parameter),
    "torch._utils._rebuild_parameter_with_state": Name(_parameter),
    "torch._tensor._rebuild_from_type_v2": Name(_subclass),
}


def look_up(name: str) -> object:
    """What stands for a full name. Raises Program where it runs code, Unsupported for an unusual tensor."""
    if name in NAMES:
        return NAMES[name]
    if name.startswith(_OTHER_TENSORS):
        raise unsupported_tensor(name)
    if name.partition(".")[0] in _RUN_CODE:
        raise would_run(name)
    return ForeignName(name)


def storage_of(reference: tuple[object, ...]) -> Storage | ForeignName:
    """A reference to a storage: `("storage", class, key, device, elements)`, in old files with a sixth entry, None.

    Files of whole networks, in the old format, refer to the network's class in this way: `("module", class, ...)`.
    """
    if len(reference) > 1 and reference[0] == "module" and type(reference[1]) is ForeignName:
        return reference[1]
    kind, storage_type, key, _, elements, *view = reference
    if kind != "storage" or type(storage_type) is not StorageType or type(key) is not str or view not in ([], [None]):
        raise Damaged
    if type(elements) is not int or not 0 <= elements < 2**62:
        raise Damaged

    itemsize = 1 if storage_type.dtype is None else storage_type.dtype.itemsize
    return Storage(key, elements * itemsize, storage_type.dtype)
