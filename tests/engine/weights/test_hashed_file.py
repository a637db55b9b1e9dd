"""The digest is that of the bytes that were used, whatever happens to the file."""

import hashlib
import io
import os
import threading
from contextlib import suppress
from itertools import cycle
from pathlib import Path
from typing import BinaryIO

import pytest
import torch
from safetensors.torch import save, save_file

from service.domain.digests import digest_of_file
from service.engine.networks.checkpoints import open_checkpoint
from service.engine.weights.faults import Changed, Damaged
from service.engine.weights.hashed_file import HashedFile, Place
from service.errors import DigestMismatch, FileOutOfReach, InvalidCheckpoint
from service.files import DataRoots

SIZE = (3 << 20) + 5


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "file").write_bytes(os.urandom(SIZE))
    return tmp_path / "file"


def test_places_are_collected_while_the_file_is_hashed(path: Path) -> None:
    content = path.read_bytes()
    places = [Place(0, 3), Place((1 << 20) - 2, (1 << 20) + 7), Place(SIZE - 5, 5), Place(7, 0), Place(1, 2)]
    with path.open("rb") as file:
        source = HashedFile(file)
        assert source.look(SIZE - 3, 10) == content[-3:]
        digest, parts = source.collect(places)
    assert digest == hashlib.sha256(content).hexdigest()
    assert [part.numpy().tobytes() for part in parts] == [content[place.offset : place.end] for place in places]


@pytest.mark.parametrize("place", [Place(0, SIZE + 1), Place(SIZE, 1), Place(-1, 1), Place(0, 2**40)])
def test_a_place_outside_of_the_file_is_damage(path: Path, place: Place) -> None:
    with path.open("rb") as file, pytest.raises(Damaged):
        HashedFile(file).collect([place])


def test_what_was_looked_at_must_be_the_same_still(path: Path) -> None:
    with path.open("rb") as file:
        source = HashedFile(file)
        source.look(2 << 20, 100)
        with path.open("r+b") as other:
            other.seek((2 << 20) + 50)
            other.write(b"other")
        with pytest.raises(Changed):
            source.collect([])


def test_a_file_that_is_cut_meanwhile_has_changed(path: Path) -> None:
    with path.open("rb") as file:
        source = HashedFile(file)
        os.truncate(path, 1 << 20)
        with pytest.raises(Changed):
            source.collect([Place(0, 10)])


class GrowingFile(io.FileIO):
    """A file that somebody appends to whenever it is read."""

    def read(self, size: int | None = -1, /) -> bytes:
        """Read, after it has grown by as much."""
        with Path(str(self.name)).open("ab") as other:
            other.write(bytes(1 << 20))
        return super().read(size)


def test_a_file_that_grows_as_fast_as_it_is_read_has_changed(path: Path) -> None:
    with GrowingFile(path) as file, pytest.raises(Changed):
        HashedFile(file).collect([])
    assert path.stat().st_size < 3 * SIZE


def test_a_file_that_is_written_to_behind_the_reader_has_changed(path: Path) -> None:
    with path.open("rb") as file:
        source = HashedFile(file)
        with path.open("r+b") as other:
            other.write(b"other")
        os.utime(path, ns=(0, 0))
        with pytest.raises(Changed):
            source.collect([Place(10, 10)])


class SwappingRoots(DataRoots):
    """Folders in which a file is written to again as soon as it is open."""

    def open(self, path: Path, *, most: int | None = None) -> BinaryIO:
        """Open, and swap the content in place."""
        file = super().open(path, most=most)
        path.write_bytes(save({"w": torch.full((4,), 2.0)}))
        return file


def test_a_file_that_is_written_to_while_it_is_opened_has_the_digest_of_what_was_read(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_file({"w": torch.full((4,), 1.0)}, path)
    promised = digest_of_file(path)
    with pytest.raises(DigestMismatch):
        open_checkpoint(path, sha256=promised, roots=SwappingRoots())
    opened = open_checkpoint(path)
    assert (opened.sha256, opened.weights["w"][0].item()) == (digest_of_file(path), 2.0)


def test_swapping_a_file_never_gives_other_weights_under_a_digest(tmp_path: Path) -> None:
    contents = [save({"w": torch.full((1 << 16,), value)}) for value in (1.0, 2.0)]
    digests = {hashlib.sha256(content).hexdigest(): value for content, value in zip(contents, (1.0, 2.0), strict=True)}
    path, ended = tmp_path / "w.safetensors", threading.Event()
    path.write_bytes(contents[0])
    written = path.stat().st_mtime_ns

    def swap() -> None:
        with path.open("r+b", buffering=0) as file:
            for content in cycle(contents):
                os.pwrite(file.fileno(), content, 0)
                os.utime(file.fileno(), ns=(written, written))  # so that the time of writing does not betray it
                if ended.wait(0.001):
                    return

    def opened(promised: str | None) -> set[float]:
        """The numbers of the weights; none where the file is a mixture of both contents, or was written to."""
        with suppress(FileOutOfReach, InvalidCheckpoint):
            checkpoint = open_checkpoint(path, sha256=promised)
            if checkpoint.sha256 in digests:
                assert set(checkpoint.weights["w"].tolist()) == {digests[checkpoint.sha256]}
                return set(checkpoint.weights["w"].tolist())
        return set()

    writer = threading.Thread(target=swap)
    writer.start()
    try:
        for promised in (None, *digests):
            seen = [values for _ in range(100) if (values := opened(promised))]
            assert len(seen) >= 5
            assert promised is None or all(values == {digests[promised]} for values in seen)
    finally:
        ended.set()
        writer.join()
