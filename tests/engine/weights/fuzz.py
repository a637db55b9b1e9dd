"""Opens hostile files in a process with little memory: `python -m tests.engine.weights.fuzz FOLDER`.

For every name on the allow-list: calls, instances and states of hostile arguments. A crash, a hang or memory that runs
out ends the process; all that may happen is that a file is refused, or that nothing comes of it.
"""

import json
import pickle
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

from service.domain.models import DissectorSpec
from service.engine.dissectors import open_dissector
from service.engine.networks.checkpoints import open_checkpoint
from service.engine.networks.mammo_clip import VOCABULARY
from service.engine.weights.names import NAMES
from service.engine.weights.pickles import Inert
from service.engine.weights.tensors import Storage, StoredTensor
from service.errors import InvalidCheckpoint, InvalidDissector
from tests.engine.weights.pickled import called, nested, plain, reduced, storage, tensor, write_archive, write_legacy

_MEMORY = 300 << 20
_POINTERS = "AAAAAAAA" * 64
_ENDLESS = nested(60)
_ARGUMENTS: tuple[tuple[object, ...], ...] = (
    (),
    (2**62,),
    (-1,),
    ((2**40,),),
    (_POINTERS,),
    ([[0] * 50] * 3,),
    ({"__class__": called("numpy.ndarray")},),
    (called("numpy.ndarray"), (0,), "b"),
    ((8,), reduced("numpy.dtype", "O8", False, True), reduced("_codecs.encode", _POINTERS, "latin1")),
    (reduced("numpy.dtype", "O8", False, True), reduced("_codecs.encode", _POINTERS, "latin1")),
    (called("collections.defaultdict"), {"a": 1}),
    (called("builtins.list"), {"a": 1}),
    (storage(2**40), 0, (2**40,), (0,), False, None),
    (storage(4), 0, (2**40,), (0,), False, None),
    (storage(4), 2**61, (2,), (1,), False, None, called("torch.float64")),
    (storage(4), 0, (2, 2), (-(2**40), 1), False, None, called("torch.float32"), {"conj": True}),
    (called("torch.float32"), (2**40,), (1,), False),
    (called("torch._utils._rebuild_tensor_v2"), called("torch.Tensor"), (storage(2**50), 0, (2**50,), (1,)), {}),
    (tensor(4, 0, (2**35,), (0,)), True, None),
    ("a" * 100_000, "utf-7"),
    (_ENDLESS,),
    (_ENDLESS, _ENDLESS),
    ([[_ENDLESS, 1], ["a", _ENDLESS]],),
    (storage(4), 0, (_ENDLESS,), (_ENDLESS,), False, _ENDLESS, _ENDLESS),
    (storage(4), 0, _ENDLESS, _ENDLESS, False, None),
    (called("torch._utils._rebuild_tensor_v2"), _ENDLESS, _ENDLESS, _ENDLESS),
)
_STATES: tuple[object, ...] = (
    {"__class__": called("builtins.list"), "__dict__": None},
    (1, (8,), reduced("numpy.dtype", "O8", False, True), False, reduced("_codecs.encode", _POINTERS, "latin1")),
    (3, "<", None, None, None, -1, -1, 63),
    (None, {"__setstate__": 1, "make": called("_codecs.encode")}),
    (storage(4), 0, (2**40,), (1,)),
    {"__class__": _ENDLESS},
    _ENDLESS,
    None,
)
_ENDLESS_PLACES: tuple[bytes, ...] = (
    _ENDLESS,
    plain({_ENDLESS: 1}),
    plain({"w": _ENDLESS}),
    plain({"model": _ENDLESS, "state_dict": {"w": _ENDLESS}}),
    plain({"w": plain(("storage", called("torch.FloatStorage"), _ENDLESS, "cpu", 4)) + pickle.BINPERSID}),
    plain({"w": plain((_ENDLESS, called("torch.FloatStorage"), "0", "cpu", 4)) + pickle.BINPERSID}),
    plain({"w": plain(("storage", called("torch.FloatStorage"), "0", "cpu", 4, _ENDLESS)) + pickle.BINPERSID}),
    _ENDLESS + pickle.BINPERSID,
    _ENDLESS + plain(()) + pickle.REDUCE,
    _ENDLESS + _ENDLESS + pickle.BUILD,
)


def hostile(name: str) -> Iterator[bytes]:
    """Instructions with a name on the list at their centre."""
    for arguments in _ARGUMENTS:
        yield reduced(name, *arguments)
        yield called(name) + plain(arguments) + pickle.NEWOBJ
    for state in _STATES:
        yield reduced(name) + plain(state) + pickle.BUILD
        yield called(name) + plain(state) + pickle.BUILD
        yield reduced(name) + plain(state) + pickle.APPEND
        yield reduced(name) + plain("key") + plain(state) + pickle.SETITEM


def is_harmless(value: object) -> bool:
    """Whether a value that a file made is plain, a tensor still in its file, or an object that does nothing."""
    waiting, seen = [value], {id(value)}  # each once: the same one may be in many places
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict | list | tuple):
            parts = part.values() if isinstance(part, dict) else part
            waiting.extend(new for new in parts if id(new) not in seen)
            seen.update(map(id, parts))
        elif not _is_harmless_alone(part):
            return False
    return True


def _is_harmless_alone(value: object) -> bool:
    return isinstance(value, str | int | float | None | Inert | Storage | StoredTensor) or type(value).__module__ in (
        "torch",
        "service.engine.weights.names",
        "service.engine.weights.pickles",
    )


def open_endless(folder: Path) -> None:
    """Values that take years to hash, compare or show, wherever a file can put them."""
    for place in _ENDLESS_PLACES:
        for path in (
            write_archive(folder / "endless.pt", place, s0=bytes(16)),
            write_legacy(folder / "endless.pth", place, plain([])),
            write_legacy(folder / "endless.pth", plain({"w": None}), plain([place])),
            write_legacy(folder / "endless.pth", plain({"w": None}), place),
        ):
            try:
                weights = open_checkpoint(path).weights
            except InvalidCheckpoint:
                continue
            raise AssertionError(weights.keys())

    for name in (_ENDLESS, plain([_ENDLESS]), plain({})):
        config = {"config": {"model": {"image_encoder": {"name": name}}}}
        dissector = folder / "dissector"
        dissector.mkdir(exist_ok=True)
        write_archive(dissector / "weights.tar", plain({"model": {}, **config}))
        words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *map(str, range(VOCABULARY - 4))]
        (dissector / "vocab.txt").write_text("\n".join(words))
        described = {"kind": "mammo-clip", "checkpoint": "weights.tar", "vocab": "vocab.txt"}
        (dissector / "dissector.json").write_text(json.dumps(described))
        refusal = ""
        try:
            open_dissector(DissectorSpec(dissector), torch.device("cpu"))
        except InvalidDissector as error:
            refusal = error.detail
        assert "known image encoder" in refusal


def main() -> None:
    """Write how many files were opened."""
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + _MEMORY, now + _MEMORY))
    path, opened = Path(sys.argv[1]) / "hostile.pt", 0
    open_endless(Path(sys.argv[1]))

    for name in NAMES:
        for instructions in hostile(name):
            write_archive(path, plain({"model": {}, "extra": instructions}), s0=bytes(16))
            opened += 1
            try:
                value = open_checkpoint(path).contents["extra"]
            except InvalidCheckpoint:
                continue
            assert is_harmless(value), (name, value)

    sys.stdout.write(f"{opened}\n")


if __name__ == "__main__":
    main()
