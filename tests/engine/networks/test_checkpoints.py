import errno
import io
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from service.domain.digests import digest_of_file
from service.engine.networks import checkpoints
from service.engine.networks.checkpoints import open_checkpoint
from service.engine.weights.faults import Changed
from service.engine.weights.tensors import StoredTensor
from service.errors import DigestMismatch, FileOutOfReach, InvalidCheckpoint, UnsafeCheckpoint
from service.files import DataRoots, WrittenMeanwhile
from tests.engine.published import pretraining_file

WEIGHTS = {"layer.weight": torch.arange(6.0).reshape(2, 3), "layer.bias": torch.tensor([1.0, -1.0])}

# What the published classifier files hold beside the weights.
METRICS: dict[str, dict[str, Any]] = {
    "several classes": {"predictions": np.array([0, 3, 1]), "epoch": 4, "accuracy": np.float64(0.5), "f1": 0.4},
    "binary": {"predictions": np.array([0.5, 0.25], dtype=np.float32), "epoch": 0, "auroc": np.float64(0.75)},
}


class RunsCode:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.mkdir, (str(self.target),)


def assert_holds_the_weights(path: Path) -> None:
    checkpoint = open_checkpoint(path)
    assert checkpoint.sha256 == digest_of_file(path)
    assert list(checkpoint.weights) == list(WEIGHTS)
    assert all(torch.equal(checkpoint.weights[key], WEIGHTS[key]) for key in WEIGHTS)


def test_opens_a_pretraining_file_with_its_omegaconf_lists(tmp_path: Path) -> None:
    path = tmp_path / "b5-model-best-epoch-7.tar"
    torch.save(pretraining_file("b5", WEIGHTS), path)
    assert_holds_the_weights(path)
    encoder = open_checkpoint(path).contents["config"]["model"]["image_encoder"]
    assert encoder["name"] == "tf_efficientnet_b5_ns-detect"


@pytest.mark.parametrize("metrics", METRICS.values(), ids=METRICS.keys())
def test_opens_classifier_files_with_their_numpy_metrics(tmp_path: Path, metrics: dict[str, Any]) -> None:
    path = tmp_path / "model.pth"
    torch.save({"model": WEIGHTS, **metrics}, path)
    assert_holds_the_weights(path)


def test_opens_files_written_with_numpy_1(tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    torch.save({"model": WEIGHTS, **METRICS["several classes"]}, path, _use_new_zipfile_serialization=False)
    written = path.read_bytes()
    assert b"numpy._core.multiarray" in written
    path.write_bytes(written.replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    assert_holds_the_weights(path)


@pytest.mark.parametrize("entry", ["model", "state_dict", None])
@pytest.mark.parametrize("zipped", [True, False])
def test_finds_the_weights_in_the_usual_places(tmp_path: Path, entry: str | None, zipped: bool) -> None:
    path = tmp_path / "weights.pt"
    contents = WEIGHTS if entry is None else {entry: WEIGHTS, "epoch": 1}
    torch.save(contents, path, _use_new_zipfile_serialization=zipped)
    assert_holds_the_weights(path)


def test_opens_safetensors_whatever_the_file_is_called(tmp_path: Path) -> None:
    path = tmp_path / "weights.bin"
    save_file(WEIGHTS, path)
    assert sorted(open_checkpoint(path).weights) == sorted(WEIGHTS)


def test_a_file_that_is_not_the_promised_one_is_that_whatever_else_is_wrong_with_it(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(pickle.dumps(RunsCode(tmp_path / "ran")))
    with pytest.raises(DigestMismatch, match=digest_of_file(path)):
        open_checkpoint(path, sha256="0" * 64)


@pytest.mark.parametrize("wrong", [False, True])
def test_a_registered_file_is_read_once(tmp_path: Path, wrong: bool) -> None:
    path = tmp_path / "weights.safetensors"
    save_file({"w": torch.zeros(1 << 20)}, path)
    reads: list[int] = []

    class CountedRoots(DataRoots):
        def open(self, path: Path, *, most: int | None = None) -> Any:
            return CountedFile(path, reads)

    if wrong:
        with pytest.raises(DigestMismatch, match=digest_of_file(path)):
            open_checkpoint(path, sha256="0" * 64, roots=CountedRoots())
    else:
        open_checkpoint(path, sha256=digest_of_file(path), roots=CountedRoots())
    assert sum(reads) < path.stat().st_size + 10_000


class CountedFile(io.FileIO):
    """A file that notes how many bytes are read from it."""

    def __init__(self, path: Path, reads: list[int]) -> None:
        super().__init__(path)
        self._reads = reads

    def read(self, size: int | None = -1, /) -> bytes:
        """Read, and note it."""
        content = super().read(size)
        self._reads.append(len(content))
        return content


def test_a_promised_digest_may_be_written_in_capitals(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file(WEIGHTS, path)
    assert open_checkpoint(path, sha256=digest_of_file(path).upper()).sha256 == digest_of_file(path)


@pytest.mark.parametrize("zipped", [True, False])
def test_an_object_that_would_run_code_is_refused_by_name(tmp_path: Path, zipped: bool) -> None:
    path = tmp_path / "model.pth"
    torch.save({"model": WEIGHTS, "extra": RunsCode(tmp_path / "ran")}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(UnsafeCheckpoint, match=r"posix\.mkdir.*safetensors"):
        open_checkpoint(path)
    assert not (tmp_path / "ran").exists()


def test_a_whole_module_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save(nn.Linear(2, 2), path)
    with pytest.raises(UnsafeCheckpoint, match=r"torch\.nn\.modules\.linear\.Linear"):
        open_checkpoint(path)


def test_a_bare_pickle_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps({"model": RunsCode(tmp_path / "ran")}))
    with pytest.raises(UnsafeCheckpoint, match="pickle"):
        open_checkpoint(path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*torch.jit.*:FutureWarning")
def test_torchscript_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.jit.save(torch.jit.script(nn.Linear(3, 2)), path)
    with pytest.raises(UnsafeCheckpoint, match="TorchScript"):
        open_checkpoint(path)


def test_an_exported_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.pt2"
    torch.export.save(torch.export.export(nn.Linear(3, 2), (torch.zeros(1, 3),)), path)
    with pytest.raises(UnsafeCheckpoint, match="exported program"):
        open_checkpoint(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidCheckpoint, match="does not exist") as caught:
        open_checkpoint(tmp_path / "none.pth")
    assert caught.value.value is not None
    assert caught.value.value.endswith("none.pth")


@pytest.mark.parametrize("kept", [0.02, 0.5, 0.98])
@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
def test_a_file_cut_short_is_reported_as_damaged(tmp_path: Path, kind: str, kept: float) -> None:
    path = tmp_path / "weights"
    weights = {"weight": torch.ones(500)}
    if kind == "safetensors":
        save_file(weights, path)
    else:
        torch.save(weights, path, _use_new_zipfile_serialization=kind == "zip")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(InvalidCheckpoint, match=r"damaged or cut short|neither"):
        open_checkpoint(path)


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n" + bytes(100), b"[] not weights at all"])
def test_another_kind_of_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    with pytest.raises(InvalidCheckpoint, match="neither"):
        open_checkpoint(path)


@pytest.mark.parametrize("contents", [[torch.ones(1)], torch.ones(1)])
def test_a_file_without_a_dictionary_is_refused(tmp_path: Path, contents: Any) -> None:
    path = tmp_path / "weights.pth"
    torch.save(contents, path)
    with pytest.raises(InvalidCheckpoint, match="not a dictionary"):
        open_checkpoint(path)


@pytest.mark.parametrize("contents", [{}, {"model": {"epoch": 3}}, {0: torch.ones(1)}])
def test_a_dictionary_without_weights_is_refused(tmp_path: Path, contents: dict[Any, Any]) -> None:
    path = tmp_path / "weights.pth"
    torch.save(contents, path)
    with pytest.raises(InvalidCheckpoint, match="no weights"):
        _ = open_checkpoint(path).weights


def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("/dev/zero")
    for name in ("fifo", "link", "."):
        with pytest.raises(InvalidCheckpoint, match="not a regular file"):
            open_checkpoint(tmp_path / name)


def test_a_file_outside_the_data_roots_is_refused(tmp_path: Path) -> None:
    (tmp_path / "roots").mkdir()
    roots = DataRoots.of([tmp_path / "roots"])
    save_file(WEIGHTS, tmp_path / "weights.safetensors")
    (tmp_path / "roots" / "link").symlink_to(tmp_path / "weights.safetensors")
    with pytest.raises(InvalidCheckpoint, match="outside the folders"):
        open_checkpoint(tmp_path / "roots" / "link", roots=roots)


def test_tensors_that_are_no_weights_stay_in_the_file(tmp_path: Path) -> None:
    torch.save({"model": WEIGHTS, "optimizer": {"momentum": torch.ones(1000)}}, tmp_path / "w.pt")
    checkpoint = open_checkpoint(tmp_path / "w.pt")
    assert isinstance(checkpoint.contents["optimizer"]["momentum"], StoredTensor)


@pytest.mark.parametrize("zipped", [True, False])
def test_of_several_sets_only_the_likely_one_is_loaded(tmp_path: Path, zipped: bool) -> None:
    average = {key: value + 1 for key, value in WEIGHTS.items()}
    contents = {"ema": average, "model": WEIGHTS, "loss": {"weight": torch.ones(1)}}
    torch.save(contents, tmp_path / "w.pt", _use_new_zipfile_serialization=zipped)

    checkpoint = open_checkpoint(tmp_path / "w.pt")

    assert [(source.name, source.is_loaded) for source in checkpoint.sets] == [
        ("ema", False), ("model", True), ("loss", False)
    ]  # fmt: skip
    left = checkpoint.sets[0].weights["layer.weight"]
    assert (left.is_meta, left.shape) == (True, (2, 3))
    assert torch.equal(checkpoint.weights["layer.weight"], WEIGHTS["layer.weight"])
    assert torch.equal(checkpoint.fetch(checkpoint.sets[0]).weights["layer.weight"], average["layer.weight"])
    asked_for = open_checkpoint(tmp_path / "w.pt", wanted="ema")
    assert torch.equal(asked_for.weights["layer.weight"], average["layer.weight"])


def test_a_file_that_changed_before_another_set_is_fetched_is_refused(tmp_path: Path) -> None:
    torch.save({"ema": WEIGHTS, "model": dict(WEIGHTS)}, tmp_path / "w.pt")
    checkpoint = open_checkpoint(tmp_path / "w.pt")
    torch.save({"ema": {"w": torch.ones(2)}}, tmp_path / "w.pt")
    with pytest.raises(DigestMismatch):
        checkpoint.fetch(checkpoint.sets[0])


def failing_roots(error: OSError) -> DataRoots:
    class FailingRoots(DataRoots):
        def open(self, path: Path, *, most: int | None = None) -> Any:
            raise error

    return FailingRoots()


def test_a_disk_that_fails_does_not_blame_the_file(tmp_path: Path) -> None:
    roots = failing_roots(OSError(errno.EIO, os.strerror(errno.EIO)))
    with pytest.raises(FileOutOfReach, match="cannot be read now: Input/output error"):
        open_checkpoint(tmp_path / "w.pt", roots=roots)


def test_a_file_that_is_written_to_while_it_is_read_may_be_read_later(tmp_path: Path) -> None:
    with pytest.raises(FileOutOfReach, match="changed while it was read") as caught:
        open_checkpoint(tmp_path / "w.pt", roots=failing_roots(WrittenMeanwhile()))
    assert "Try again" in str(caught.value.remedy)


def test_a_file_that_changed_is_not_said_to_be_another_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def change(*_: object) -> Any:
        raise Changed

    save_file(WEIGHTS, tmp_path / "w.safetensors")
    monkeypatch.setattr(checkpoints, "_read", change)
    with pytest.raises(FileOutOfReach, match="changed while it was read"):
        open_checkpoint(tmp_path / "w.safetensors", sha256="0" * 64)


class FailingFile(io.FileIO):
    """A file whose disk fails as soon as anything beyond its first bytes is read."""

    def read(self, size: int | None = -1, /) -> bytes:
        """Read, where it is the beginning."""
        if self.tell() > 0:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return super().read(size)


class FailingLater(DataRoots):
    """Folders on a disk that fails while a file is read."""

    def open(self, path: Path, *, most: int | None = None) -> Any:
        """Open the file."""
        return FailingFile(path)


@pytest.mark.parametrize("name", ["w.pt", "w.safetensors"])
def test_a_disk_that_fails_while_a_file_is_read_does_not_blame_it(name: str, tmp_path: Path) -> None:
    save = torch.save if name == "w.pt" else save_file
    save(WEIGHTS, tmp_path / name)
    with pytest.raises(FileOutOfReach, match="cannot be read now: Input/output error"):
        open_checkpoint(tmp_path / name, roots=FailingLater())
