"""Files that a registry leads to, on a drive of this machine."""

import errno
import io
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, cast

import pytest

from service.errors import InvalidInput, Unavailable
from service.files import DataRoots
from service.sources.files import FileReader


@pytest.fixture
def reader(tmp_path: Path) -> FileReader:
    return FileReader(DataRoots.of([tmp_path]))


@pytest.mark.parametrize("named", ["run 1", "run 1/w.safetensors"])
@pytest.mark.parametrize("as_source", [str, Path.as_uri])
def test_a_file_or_the_one_file_of_weights_in_a_folder_is_read(
    reader: FileReader, tmp_path: Path, named: str, as_source: Callable[[Path], str]
) -> None:
    (tmp_path / "run 1").mkdir()
    file = tmp_path / "run 1" / "w.safetensors"
    file.write_bytes(b"weights")
    with reader.open(as_source(tmp_path / named)) as content:
        assert (content.size, content.place) == (7, file.as_uri())
        assert b"".join(content.pieces) == b"weights"


def test_what_cannot_be_read_says_why(reader: FileReader, tmp_path: Path) -> None:
    for path, said in ((tmp_path / "missing.pt", "No such file"), (Path("/etc/hostname"), "outside the data roots")):
        with pytest.raises(InvalidInput, match=said) as refused, reader.open(path.as_uri()):
            pass
        assert refused.value.field == "checkpoint"


def test_trouble_of_whoever_takes_the_content_is_not_blamed_on_the_file(reader: FileReader, tmp_path: Path) -> None:
    file = tmp_path / "w.pt"
    file.write_bytes(b"weights")
    with pytest.raises(OSError, match="cache is full"), reader.open(file.as_uri()):
        raise OSError(errno.ENOSPC, "the cache is full")


class _FailingFile(io.FileIO):
    def read(self, size: int | None = -1, /) -> bytes:
        raise OSError(errno.EIO, f"Input/output error after {size} bytes")


class _FailingDrive(DataRoots):
    def open(self, path: Path, *, most: int | None = None) -> BinaryIO:
        return cast("BinaryIO", _FailingFile(path))


def test_a_drive_that_fails_while_it_is_read_may_come_back(tmp_path: Path) -> None:
    file = tmp_path / "w.pt"
    file.write_bytes(b"weights")
    with FileReader(_FailingDrive()).open(file.as_uri()) as content, pytest.raises(Unavailable, match="Input/output"):
        next(content.pieces)
