"""Small files cannot become large: tensors, archives and headers are bounded by what the file has."""

import json
import pickle
import struct
import tracemalloc
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from service.engine.networks.checkpoints import open_checkpoint
from service.engine.weights.tensors import STORAGE_TYPES
from service.errors import InvalidCheckpoint
from tests.engine.weights.pickled import MAGIC, called, plain, reduced, tensor, write_archive

WIDE = 2**40


def refuses(path: Path, words: str = "damaged") -> None:
    tracemalloc.start()
    try:
        with pytest.raises(InvalidCheckpoint, match=words):
            open_checkpoint(path)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "described",
    [
        tensor(4, 0, (WIDE,), (0,)),
        tensor(4, 0, (2, 4), (0, 1)),
        tensor(4, 0, (5,), (1,)),
        tensor(4, 1, (4,), (1,)),
        tensor(4, 0, (2, 2), (3, 1)),
        tensor(4, -1, (2,), (1,)),
        tensor(4, 0, (2,), (-1,)),
        tensor(4, 0, (2,), (1, 1)),
        tensor(4, 0, (2,), 1),
        tensor(4, 0, (1,) * 65, (1,) * 65),
        tensor(4, 0, (True,), (1,)),
        tensor(4, 0, (1.0,), (1,)),
        tensor(4, 0, (2**61, 0), (1, 1)),
        tensor(4, 0, (0, 2**61), (2**61, 1)),
        tensor(4, 0, (2**31, 2**31, 0), (0, 1, 1)),
        tensor(4, 0, (1, 1), (2**61, 1)),
        tensor(WIDE, 0, (4,), (1,)),
        tensor(-4, 0, (4,), (1,)),
        tensor(5, 0, (4,), (1,)),
        tensor(4, 0, (4,), (1,), kind="DoubleStorage"),
    ],
)
def test_a_tensor_larger_than_its_storage_is_damage(tmp_path: Path, described: bytes) -> None:
    refuses(write_archive(tmp_path / "w.pt", plain({"w": described}), s0=bytes(16)))


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize(
    "value",
    [
        torch.arange(24.0).reshape(2, 3, 4).permute(2, 0, 1),
        torch.arange(24.0)[3:20:2],
        torch.zeros(0, 3),
        torch.tensor(3),
        torch.tensor([True, False]),
        torch.randn(3).half(),
        torch.randn(3).bfloat16(),
        torch.randn(3, dtype=torch.complex64),
        torch.nn.Parameter(torch.randn(2, 2)),
    ],
    ids=lambda value: f"{value.dtype} {tuple(value.shape)}",
)
def test_tensors_of_every_kind_come_back(tmp_path: Path, value: Tensor, legacy: bool) -> None:
    torch.save(OrderedDict(w=value), tmp_path / "w.pt", _use_new_zipfile_serialization=not legacy)
    opened = open_checkpoint(tmp_path / "w.pt").weights["w"]
    assert (opened.dtype, opened.stride()) == (value.dtype, value.stride())
    assert torch.equal(opened, value.detach())


@pytest.mark.parametrize("dtype", [torch.uint16, torch.float8_e4m3fn])
def test_types_without_a_class_of_storages_come_back(tmp_path: Path, dtype: torch.dtype) -> None:
    value = torch.tensor([1.0, 2.0]).to(dtype)
    torch.save({"w": value}, tmp_path / "w.pt")
    assert torch.equal(open_checkpoint(tmp_path / "w.pt").weights["w"].float(), value.float())


def test_tensors_that_shared_memory_share_it_again(tmp_path: Path) -> None:
    whole = torch.arange(6.0)
    torch.save({"whole": whole, "part": whole[2:]}, tmp_path / "w.pt")
    weights = open_checkpoint(tmp_path / "w.pt").weights
    assert torch.equal(weights["part"], whole[2:])
    assert weights["part"].data_ptr() == weights["whole"].data_ptr() + 8


@pytest.mark.parametrize("kind", ["BoolStorage", "FloatStorage"])
def test_many_tensors_of_one_storage_take_the_memory_of_one(tmp_path: Path, kind: str) -> None:
    elements = (1 << 20) // STORAGE_TYPES[kind].itemsize
    described = {f"w{number}": tensor(elements, 0, (elements,), (1,), kind=kind) for number in range(200)}
    path = write_archive(tmp_path / "w.pt", plain(described), s0=bytes([2]) * (1 << 20))
    weights = open_checkpoint(path).weights
    assert len(weights) == 200
    assert len({value.data_ptr() for value in weights.values()}) == 1
    assert bool(weights["w0"].bool().all())


def test_numbers_that_too_many_tensors_share_are_refused(tmp_path: Path) -> None:
    described = {f"w{number}": tensor(1 << 18, 0, (1 << 18,), (1,)) for number in range(300)}
    refuses(write_archive(tmp_path / "w.pt", plain(described), s0=bytes(1 << 20)), "more than 8 times the 1,048,576")


def test_packed_members_are_refused(tmp_path: Path) -> None:
    path = write_archive(
        tmp_path / "w.pt",
        plain({"w": tensor(1 << 24, 0, (1 << 24,), (1,))}),
        packing=zipfile.ZIP_DEFLATED,
        s0=bytes(1 << 26),
    )
    assert path.stat().st_size < 100_000
    refuses(path, "packed")


def test_members_that_share_bytes_are_refused(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "w.pt", plain({"w": tensor(4, 0, (4,), (1,))}), s0=bytes(16), s1=bytes(16))
    content = bytearray(path.read_bytes())
    first, second = (content.rindex(b"archive/data/" + key) - 46 for key in (b"0", b"1"))
    content[second + 42 : second + 46] = content[first + 42 : first + 46]  # where the member begins
    path.write_bytes(content)
    refuses(path)


def test_a_member_larger_than_the_file_is_refused(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "w.pt", plain({"w": tensor(2**28, 0, (2**28,), (1,))}), s0=bytes(16))
    content = bytearray(path.read_bytes())
    entry = content.rindex(b"archive/data/0") - 46
    content[entry + 20 : entry + 28] = struct.pack("<II", 2**30, 2**30)
    path.write_bytes(content)
    refuses(path)


@pytest.mark.parametrize(
    ("key", "words"),
    [(2**100, "damaged"), (((),) * 3, "neither words nor numbers"), ((1, 2), "neither words nor numbers")],
)
def test_keys_that_are_slow_to_look_up_are_refused(tmp_path: Path, key: Any, words: str) -> None:
    instructions = plain(key) if key != 2**100 else pickle.LONG1 + b"\x0e" + (2**100).to_bytes(14, "little")
    refuses(write_archive(tmp_path / "w.pt", plain({instructions: 1})), words)


def test_a_pickle_that_never_ends_is_refused(tmp_path: Path) -> None:
    many = pickle.MARK + (pickle.NONE + pickle.BINPUT + b"\0") * 2_500_000 + pickle.TUPLE
    path = write_archive(tmp_path / "w.pt", many)
    with pytest.raises(InvalidCheckpoint, match="more objects"):
        open_checkpoint(path)


def test_a_deep_nest_of_values_is_no_harm(tmp_path: Path) -> None:
    deep = pickle.EMPTY_LIST * 100_000 + pickle.APPEND * 99_999
    path = write_archive(tmp_path / "w.pt", plain({"model": {}, "extra": deep}))
    assert list(open_checkpoint(path).contents) == ["model", "extra"]


@pytest.mark.parametrize("name", ["builtins.dict", "collections.OrderedDict", "collections.Counter"])
def test_a_dictionary_is_not_copied_as_often_as_a_file_asks(tmp_path: Path, name: str) -> None:
    large = plain({str(number): number for number in range(5_000)}) + pickle.BINPUT + b"\1"
    copied = called(name) + pickle.BINGET + b"\1" + pickle.TUPLE1 + pickle.REDUCE
    path = write_archive(tmp_path / "w.pt", plain({"model": large, "extra": plain([copied] * 2_000)}))

    tracemalloc.start()
    try:
        assert list(open_checkpoint(path).contents) == ["model", "extra"]
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


def test_pairs_are_taken_once(tmp_path: Path) -> None:
    pairs = plain([[str(number), number] for number in range(5_000)]) + pickle.BINPUT + b"\1"
    again = called("collections.OrderedDict") + pickle.BINGET + b"\1" + pickle.TUPLE1 + pickle.REDUCE
    refuses(write_archive(tmp_path / "w.pt", plain({"model": {}, "list": pairs, "extra": [again] * 2})))


@pytest.mark.parametrize("name", ["builtins.set", "torch._utils._rebuild_tensor_v2"])
def test_arguments_are_not_copied_as_often_as_a_file_asks(tmp_path: Path, name: str) -> None:
    many = plain(tuple(range(1000))) + pickle.BINPUT + b"\1"
    path = write_archive(tmp_path / "w.pt", plain({"model": {}, "extra": [called(name) + many + pickle.REDUCE]}))
    refuses(path)


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_another_protocol_is_named(tmp_path: Path, protocol: int) -> None:
    torch.save({"w": torch.ones(2)}, tmp_path / "w.pt", pickle_protocol=protocol)
    refuses(tmp_path / "w.pt", f"protocol {protocol}")


def test_a_file_of_the_old_layout_whose_storage_is_longer_than_promised_is_refused(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(4)}, tmp_path / "w.pt", _use_new_zipfile_serialization=False)
    content = (tmp_path / "w.pt").read_bytes()
    assert content.startswith(MAGIC)
    (tmp_path / "w.pt").write_bytes(content[: -16 - 8] + struct.pack("<q", 2**40) + content[-16:])
    refuses(tmp_path / "w.pt")


def safetensors(header: object, content: bytes = b"", *, length: int | None = None) -> bytes:
    written = json.dumps(header).encode()
    return struct.pack("<Q", len(written) if length is None else length) + written + content


def entry(shape: object, offsets: object, dtype: str = "F32") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


@pytest.mark.parametrize(
    "content",
    [
        safetensors({}, length=2**63),
        safetensors({}, length=2**30),
        safetensors({"w": entry([WIDE], [0, 4 * WIDE])}, bytes(16)),
        safetensors({"w": entry([4], [0, 16])}, bytes(12)),
        safetensors({"w": entry([4], [0, 16])}, bytes(20)),
        safetensors({"w": entry([4], [-16, 0])}, bytes(16)),
        safetensors({"w": entry([-4], [0, 16])}, bytes(16)),
        safetensors({"w": entry([2, 2], [0, 16]), "v": entry([4], [0, 16])}, bytes(16)),
        safetensors({"w": entry([4], [4, 20])}, bytes(20)),
        safetensors({"w": entry([1] * 65, [0, 4])}, bytes(4)),
        safetensors({"w": entry([2**61] * 60, [0, 4])}, bytes(4)),
        safetensors({"w": entry("4", [0, 16])}, bytes(16)),
        safetensors({"w": entry([2**61, 0], [0, 0])}),
        safetensors({"w": entry([0] + [2**61] * 60, [0, 0])}),
        safetensors({"w": [1]}, bytes(16)),
        safetensors({"w": {}}, bytes(16)),
        struct.pack("<Q", 200_000) + b'{"w":' + b"[" * 199_995,
        struct.pack("<Q", 2) + b"{]",
    ],
)
def test_a_header_that_promises_what_the_file_has_not_is_damage(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "w.safetensors").write_bytes(content)
    refuses(tmp_path / "w.safetensors")


@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool, torch.float8_e5m2]
)
def test_safetensors_of_every_type_come_back(tmp_path: Path, dtype: torch.dtype) -> None:
    values = {"w": torch.tensor([[1.0, 0.0], [1.0, 1.0]]).to(dtype), "empty": torch.zeros(0, 2, dtype=dtype)}
    save_file({**values, "scalar": torch.tensor(1.0)}, tmp_path / "w.safetensors", metadata={"format": "pt"})
    weights = open_checkpoint(tmp_path / "w.safetensors").weights
    assert set(weights) == {"w", "empty", "scalar"}
    assert all(torch.equal(weights[key].float(), value.float()) for key, value in values.items())


def test_an_unknown_type_is_named(tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(safetensors({"w": entry([2], [0, 1], "F4")}, bytes(1)))
    refuses(tmp_path / "w.safetensors", "type F4")


def test_names_inside_names_are_not_written_out_as_often_as_a_file_asks(tmp_path: Path) -> None:
    def again(place: int) -> bytes:
        return pickle.BINGET + bytes([place])

    known = [
        called("builtins.getattr") + pickle.BINPUT + b"\1",
        called(f"ward.{'A' * 400}") + pickle.BINPUT + b"\2",
        plain("B" * 500) + pickle.BINPUT + b"\3",
    ]
    inner = again(1) + again(2) + again(3) + pickle.TUPLE2 + pickle.REDUCE
    made = inner + pickle.EMPTY_TUPLE + pickle.NEWOBJ
    path = write_archive(tmp_path / "w.pt", plain({"model": {}, "known": known, "extra": [inner, made] * 20_000}))

    tracemalloc.start()
    try:
        assert list(open_checkpoint(path).contents) == ["model", "known", "extra"]
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


def test_a_class_inside_a_class_is_named_whole(tmp_path: Path) -> None:
    inner = reduced("builtins.getattr", called("ward.Outer"), "Inner") + pickle.EMPTY_TUPLE + pickle.NEWOBJ
    refuses(write_archive(tmp_path / "w.pt", plain({"model": inner})), r"ward\.Outer\.Inner")
