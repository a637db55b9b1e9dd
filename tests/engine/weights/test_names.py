"""The allow-list is what it is meant to be, and nothing on it does harm whatever it is given."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from service.engine.networks.checkpoints import open_checkpoint
from service.engine.weights.names import NAMES
from service.errors import InvalidCheckpoint, UnsafeCheckpoint
from tests.chaos.field import ROOT
from tests.engine.weights.pickled import called, plain, reduced, tensor, write_archive

DTYPES = """
    bfloat16 bool complex128 complex32 complex64 float16 float32 float64 float8_e4m3fn float8_e4m3fnuz float8_e5m2
    float8_e5m2fnuz float8_e8m0fnu int16 int32 int64 int8 uint16 uint32 uint64 uint8
"""
STORAGES = "BFloat16 Bool Byte Char ComplexDouble ComplexFloat Double Float Half Int Long Short"
OTHERS = """
    _codecs.encode builtins.bool builtins.bytearray builtins.complex builtins.dict builtins.float builtins.frozenset
    builtins.getattr builtins.int builtins.list builtins.object builtins.range builtins.set builtins.slice builtins.str
    builtins.tuple builtins.type builtins.xrange copy_reg._reconstructor copyreg._reconstructor
    collections.deque datetime.date datetime.datetime datetime.time datetime.timedelta datetime.timezone
    functools.partial numpy.random._pickle.__bit_generator_ctor numpy.random._pickle.__generator_ctor
    numpy.random._pickle.__randomstate_ctor
    collections.Counter collections.OrderedDict collections.defaultdict
    numpy._core.multiarray._reconstruct numpy._core.multiarray.scalar
    numpy.core.multiarray._reconstruct numpy.core.multiarray.scalar numpy.dtype numpy.ndarray
    omegaconf.base.ContainerMetadata omegaconf.base.Metadata omegaconf.dictconfig.DictConfig
    omegaconf.listconfig.ListConfig omegaconf.nodes.AnyNode typing.Any
    torch.Size torch.Tensor torch.device torch.nn.parameter.Parameter torch.serialization._get_layout
    torch._tensor._rebuild_from_type_v2 torch._utils._rebuild_parameter torch._utils._rebuild_parameter_with_state
    torch._utils._rebuild_tensor torch._utils._rebuild_tensor_v2 torch._utils._rebuild_tensor_v3
    torch.storage.UntypedStorage
"""


def test_the_allow_list_is_this_one() -> None:
    dtypes = {f"torch.{name}" for name in DTYPES.split()}
    storages = {f"torch.{name}Storage" for name in STORAGES.split()}
    assert set(NAMES) == dtypes | storages | set(OTHERS.split())


def test_nothing_on_the_list_can_be_called_by_python() -> None:
    assert not any(callable(value) for value in NAMES.values())


def test_hostile_arguments_for_every_name(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.engine.weights.fuzz", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) > 50 * len(NAMES)


def test_an_array_of_pointers_is_nothing(tmp_path: Path) -> None:
    """numpy would take these bytes for the addresses of objects."""
    pointers = reduced("_codecs.encode", "A" * 512, "latin1")
    array = reduced("numpy.ndarray", (64,), reduced("numpy.dtype", "O8"), pointers)
    checkpoint = open_checkpoint(write_archive(tmp_path / "w.pt", plain({"model": {}, "extra": array})))
    assert not isinstance(checkpoint.contents["extra"], np.ndarray)


@pytest.mark.parametrize(
    "name", ["os.system", "builtins.eval", "builtins.getattr", "torch.load", "numpy.load", "torch.hub.load"]
)
def test_any_other_name_is_refused_and_named(tmp_path: Path, name: str) -> None:
    path = write_archive(tmp_path / "w.pt", plain({"model": {}, "extra": reduced(name, "x")}))
    with pytest.raises(UnsafeCheckpoint, match=name.removeprefix("builtins.")):
        open_checkpoint(path)


@pytest.mark.parametrize("value", [torch.eye(3).to_sparse(), torch.ones(2, device="meta")], ids=["sparse", "meta"])
def test_tensors_that_are_no_plain_arrays_are_refused_with_a_remedy(tmp_path: Path, value: torch.Tensor) -> None:
    torch.save({"w": value}, tmp_path / "w.pt")
    with pytest.raises(InvalidCheckpoint, match="dense ones") as caught:
        open_checkpoint(tmp_path / "w.pt")
    assert not isinstance(caught.value, UnsafeCheckpoint)


@pytest.mark.parametrize(
    "name",
    [
        "_rebuild_qtensor",
        "_rebuild_nested_tensor",
        "_rebuild_wrapper_subclass",
        "_rebuild_device_tensor_from_numpy",
        "_rebuild_device_tensor_from_cpu_tensor",
    ],
)
def test_so_is_whatever_else_torch_rebuilds(tmp_path: Path, name: str) -> None:
    path = write_archive(tmp_path / "w.pt", plain({"w": reduced(f"torch._utils.{name}", 2**40)}))
    with pytest.raises(InvalidCheckpoint, match=f"{name}.*dense ones"):
        open_checkpoint(path)


@pytest.mark.parametrize(
    "weights",
    [
        reduced("collections.OrderedDict", [["w", tensor(4, 0, (4,), (1,))], ["v", tensor(4, 0, (2,), (1,))]]),
        reduced("collections.OrderedDict", [("w", tensor(4, 0, (4,), (1,))), ("v", tensor(4, 0, (2,), (1,)))]),
        reduced(
            "collections.defaultdict",
            called("builtins.list"),
            {"w": tensor(4, 0, (4,), (1,)), "v": tensor(4, 0, (2,), (1,))},
        ),
    ],
    ids=["as Python 2 wrote it", "tuples", "with a default"],
)
def test_the_entries_of_a_dictionary_are_all_there(tmp_path: Path, weights: bytes) -> None:
    for path in (
        write_archive(tmp_path / "w.pt", weights, s0=bytes(16)),
        write_archive(tmp_path / "w.pt", plain({"state_dict": weights}), s0=bytes(16)),
    ):
        opened = open_checkpoint(path).weights
        assert {key: tuple(value.shape) for key, value in opened.items()} == {"w": (4,), "v": (2,)}


@pytest.mark.parametrize(
    "arguments",
    [
        ("ab",),
        (1,),
        ([["a", 1, 2]],),
        (["ab"],),
        ([[("a", "b"), 1]],),
        ((("a", 1),),),
        ({"a": 1}, {"b": 2}),
        (called("builtins.list"), {"a": 1}),
    ],
)
def test_entries_that_cannot_be_understood_are_never_left_out(tmp_path: Path, arguments: tuple[object, ...]) -> None:
    path = write_archive(tmp_path / "w.pt", plain({"model": reduced("collections.OrderedDict", *arguments)}))
    with pytest.raises(InvalidCheckpoint, match=r"damaged|neither words nor numbers"):
        open_checkpoint(path)
