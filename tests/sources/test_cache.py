"""Fetched files: whole or not there, within bounds, and not removed under whoever uses them."""

import hashlib
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import pytest

from service.config import Settings
from service.domain.digests import digest_of_open_file
from service.errors import InvalidInput
from service.sources.cache import Kept, SourceCache, TooMuch, open_cache

SIZE = 1000


def data(number: int) -> bytes:
    return bytes([number]) * SIZE


def digest(number: int) -> str:
    return hashlib.sha256(data(number)).hexdigest()


def keep(cache: SourceCache, number: int) -> Kept | str:
    return cache.keep(iter([data(number)]), size=SIZE, most=1 << 20, sha256=None)


def there(cache: SourceCache, number: int) -> bool:
    with cache.held(digest(number)) as path:
        return path is not None


def test_those_that_were_used_last_stay(tmp_path: Path) -> None:
    cache = SourceCache(tmp_path, 3 * SIZE)
    for number in range(3):
        keep(cache, number)
        os.utime(cache.path(digest(number)), (number, number))
    assert there(cache, 0), "is now the one that was used last"
    keep(cache, 3)
    assert [there(cache, number) for number in range(4)] == [True, False, True, True]


def test_what_is_in_use_is_not_removed(tmp_path: Path) -> None:
    cache = SourceCache(tmp_path, 2 * SIZE)
    keep(cache, 0)
    with cache.held(digest(0)) as held:
        for number in (1, 2, 3):
            keep(SourceCache(tmp_path, 2 * SIZE), number)
        assert held is not None
        assert held.read_bytes() == data(0)
    os.utime(cache.path(digest(0)), (0, 0))
    keep(cache, 4)
    keep(cache, 5)
    assert not there(cache, 0)


def test_a_copy_that_was_damaged_is_removed(tmp_path: Path) -> None:
    keep(SourceCache(tmp_path, 10 * SIZE), 0)
    (tmp_path / digest(0)).write_bytes(data(1))
    assert not there(SourceCache(tmp_path, 10 * SIZE), 0)
    assert list(tmp_path.iterdir()) == []


def test_a_fetch_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> Iterator[bytes]:
        yield data(0)
        raise ConnectionError

    cache = SourceCache(tmp_path, 5 * SIZE)
    with pytest.raises(ConnectionError):
        cache.keep(broken(), size=None, most=5 * SIZE, sha256=None)
    for size, most in ((SIZE, SIZE - 1), (None, SIZE - 1), (None, 10 * SIZE), (6 * SIZE, 10 * SIZE)):
        with pytest.raises(TooMuch):
            cache.keep(iter([data(0)] * 6), size=size, most=most, sha256=None)
    assert cache.keep(iter([data(0)]), size=SIZE, most=SIZE, sha256=digest(1)) == digest(0)
    assert list(tmp_path.iterdir()) == []


def test_several_that_fetch_the_same_at_once_leave_it_whole(tmp_path: Path) -> None:
    def fetch(_: int) -> bool:
        cache = SourceCache(tmp_path, 2 * SIZE)
        keep(cache, 0)
        return there(cache, 0)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(fetch, range(40)))
    assert [path.name for path in tmp_path.iterdir()] == [digest(0)]


def test_who_uses_a_file_leaves_a_copy_that_came_meanwhile_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = SourceCache(tmp_path, 2 * SIZE)
    keep(cache, 0)
    path = cache.path(digest(0))

    def replaced(file: BinaryIO) -> str:
        sha256 = digest_of_open_file(file)
        keep(SourceCache(tmp_path, 2 * SIZE), 0)
        os.utime(path, ns=(1, 1))
        return sha256

    monkeypatch.setattr("service.sources.cache.digest_of_open_file", replaced)
    assert there(cache, 0)
    assert path.stat().st_mtime_ns == 1, "else who reads that copy would take it for one that is being written"


def test_what_a_killed_process_left_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".unfinished-x").write_bytes(b"half")
    keep(SourceCache(tmp_path, 5 * SIZE), 0)
    assert (tmp_path / ".unfinished-x").exists(), "it may have been made this moment"
    later = time.time() + 3600
    monkeypatch.setattr(time, "time", lambda: later)
    keep(SourceCache(tmp_path, 5 * SIZE), 1)
    assert not (tmp_path / ".unfinished-x").exists()


def test_a_folder_that_cannot_be_used_names_its_setting(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InvalidInput) as refused:
        open_cache(Settings(source_cache_dir=str(tmp_path / "file" / "below")))
    assert refused.value.field == "source_cache_dir"
    assert "SOURCE_CACHE_DIR" in str(refused.value.remedy)
    open_cache(Settings(source_cache_dir=str(tmp_path / "new" / "folder")))
