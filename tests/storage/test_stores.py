"""One behaviour, two stores: a folder, and an object store spoken to over the real protocol."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from service.domain.digests import digest_of_file
from service.errors import ArtifactLost, InvalidInput
from service.ports import ArtifactStore
from service.storage import open_store
from service.storage.directory import DirectoryStore
from tests.storage.contents import DATA, KEY, digest


def test_what_is_written_can_be_fetched(store: ArtifactStore) -> None:
    store.write(KEY, DATA)
    assert store.fetch(KEY, digest(DATA)).read_bytes() == DATA
    assert [key for key, _ in store.listing()] == [KEY]
    ((_, written),) = store.listing()
    assert abs(datetime.now(UTC) - written) < timedelta(minutes=1)


def test_a_second_write_takes_the_place_of_the_first(store: ArtifactStore) -> None:
    store.write(KEY, DATA)
    store.fetch(KEY, digest(DATA))
    store.write(KEY, b"new")
    assert store.fetch(KEY, digest(b"new")).read_bytes() == b"new"
    assert len(list(store.listing())) == 1


def test_what_is_not_there_is_lost(store: ArtifactStore) -> None:
    with pytest.raises(ArtifactLost):
        store.fetch(KEY, digest(DATA))
    store.write(KEY, DATA)
    store.delete(KEY)
    store.delete(KEY)
    with pytest.raises(ArtifactLost):
        store.fetch(KEY, digest(DATA))


def test_what_is_damaged_is_lost_and_removed(store: ArtifactStore) -> None:
    store.write(KEY, DATA)
    with pytest.raises(ArtifactLost, match="damaged"):
        store.fetch(KEY, digest(b"something else"))
    assert list(store.listing()) == []


def test_a_flipped_bit_is_noticed(store: ArtifactStore, reopened: Callable[[], ArtifactStore]) -> None:
    flipped = bytes([DATA[0] ^ 1]) + DATA[1:]
    store.write(KEY, flipped)
    with pytest.raises(ArtifactLost, match="damaged"):
        reopened().fetch(KEY, digest(DATA))
    assert list(store.listing()) == []
    store.write(KEY, DATA)
    assert reopened().fetch(KEY, digest(DATA)).read_bytes() == DATA


def test_a_file_that_rots_without_a_trace_is_noticed_by_the_next_process(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    store.write(KEY, DATA)
    path = store.fetch(KEY, digest(DATA))
    status = path.stat()
    path.write_bytes(bytes([DATA[0] ^ 1]) + DATA[1:])
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(ArtifactLost, match="damaged"):
        DirectoryStore(tmp_path).fetch(KEY, digest(DATA))
    assert not path.exists()


def test_what_was_replaced_while_it_was_read_is_not_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = DirectoryStore(tmp_path)
    store.write(KEY, b"damaged")

    def slowly(path: Path) -> str:
        read = digest(path.read_bytes())
        DirectoryStore(tmp_path).write(KEY, DATA)
        return read

    monkeypatch.setattr("service.storage.directory.digest_of_file", slowly)
    with pytest.raises(ArtifactLost):
        store.fetch(KEY, digest(DATA))
    monkeypatch.undo()
    assert store.fetch(KEY, digest(DATA)).read_bytes() == DATA


def test_an_unchanged_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []

    def counted(path: Path) -> str:
        read.append(path)
        return digest_of_file(path)

    monkeypatch.setattr("service.storage.directory.digest_of_file", counted)
    store = DirectoryStore(tmp_path)
    store.write(KEY, DATA)
    assert {store.fetch(KEY, digest(DATA)) for _ in range(3)} == {read[0]}
    assert len(read) == 1
    store.write(KEY, DATA)
    store.fetch(KEY, digest(DATA))
    assert len(read) == 2, "written again, it is another file"


def test_file_and_folders_are_synced_around_the_rename(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def noted_fsync(number: int) -> None:
        steps.append(Path(f"/proc/self/fd/{number}").readlink().name)
        fsync(number)

    def noted_replace(path: Path, target: Path) -> Path:
        steps.append("rename")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "replace", noted_replace)
    DirectoryStore(tmp_path).write(KEY, DATA)
    root, temporary, *rest = steps
    assert root == tmp_path.name, "the new folder's own name"
    assert temporary.startswith(".writing-")
    assert rest == ["rename", KEY[:2]]


def test_a_local_copy_that_was_damaged_is_not_taken(store: ArtifactStore) -> None:
    store.write(KEY, DATA)
    path = store.fetch(KEY, digest(DATA))
    path.write_bytes(DATA[:-1] + b"?")
    try:
        assert store.fetch(KEY, digest(DATA)).read_bytes() == DATA
    except ArtifactLost:
        assert isinstance(store, DirectoryStore), "an object store still has the object"


def test_writers_of_one_key_do_not_mix(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    contents = [bytes([number]) * 200_000 for number in range(6)]
    with ThreadPoolExecutor(6) as threads:
        list(threads.map(lambda content: store.write(KEY, content), contents * 3))
    (file,) = (path for path in tmp_path.rglob("*") if path.is_file())
    assert file.read_bytes() in contents


@pytest.mark.parametrize("key", ["", "a" * 63, "A" * 64, "../" + "a" * 61, "g" * 64])
def test_only_digests_are_keys(store: ArtifactStore, key: str) -> None:
    calls: list[Callable[[], object]] = [
        lambda: store.write(key, DATA),
        lambda: store.fetch(key, "0"),
        lambda: store.delete(key),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="not a content key"):
            call()


KILLED = """
import os, signal, sys
from pathlib import Path
Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
from service.storage import open_store
open_store(sys.argv[1]).write("a" * 64, b"half")
"""


def test_a_writer_killed_before_the_rename_leaves_no_key(tmp_path: Path) -> None:
    folder = tmp_path / "artifacts"
    killed = subprocess.run([sys.executable, "-c", KILLED, folder.as_uri()], check=False)
    assert killed.returncode == -signal.SIGKILL
    store = DirectoryStore(folder)
    assert list(store.listing()) == []
    (remains,) = folder.rglob(".writing-*")
    store.sweep(timedelta(hours=1))
    assert remains.exists(), "it may still be writing"
    old = time.time() - 7200
    os.utime(remains, (old, old))
    store.sweep(timedelta(hours=1))
    assert not remains.exists()


TOO_LARGE = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
from service.errors import ArtifactNotStored
from service.storage import open_store
try:
    open_store(sys.argv[1]).write("a" * 64, bytes(5000))
except ArtifactNotStored as error:
    sys.exit(0 if "File too large" in error.detail and "gc" in error.remedy else 3)
"""


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    """The kernel refuses the write itself, as on a full disk."""
    folder = tmp_path / "artifacts"
    subprocess.run([sys.executable, "-c", TOO_LARGE, folder.as_uri()], check=True)
    assert [path for path in folder.rglob("*") if path.is_file()] == []


def test_other_files_of_the_folder_are_not_listed(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    store.write(KEY, DATA)
    for name in ("notes.txt", "zz/" + KEY, "aa/notes", "aa/.writing-x"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(DATA)
    assert [key for key, _ in store.listing()] == [KEY]


def test_the_folder_is_its_owners_alone(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "artifacts"))
    store.write(KEY, DATA)
    assert store.fetch(KEY, digest(DATA)) == tmp_path / "artifacts" / "aa" / KEY
    assert (tmp_path / "artifacts").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "artifacts" / "aa" / KEY).stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "url",
    [
        "",
        "relative/folder",
        "file://otherhost/x",
        "ftp://host/x",
        "s3://",
        "s3://key:word@bucket/x",
        "s3:///x?secret=word",
        "s3://key:word",
        "s3://key:word/x",
        "s3://[key:word@x",
        "s3://b/x?acl=word",
        "s3://b/x?endpoint=https://key:word@host",
        "s3://b/x?endpoint=https://host?key=word",
        "s3://b/x?endpoint=word",
        "https://host/b?secret=word",
        "file:///x?secret=word",
        "file:///x#word",
        "file:///",
        "/",
    ],
)
def test_urls_that_name_no_store(url: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        open_store(url)
    assert caught.value.field == "artifacts_url"
    assert caught.value.remedy
    assert "word" not in str(caught.value.as_problem())


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InvalidInput, match="cannot be created"):
        open_store((tmp_path / "file" / "below").as_uri())


def test_a_local_store_needs_no_s3_library(tmp_path: Path) -> None:
    script = (
        "import sys, service.storage as s; s.open_store(sys.argv[1]);"
        "sys.exit(any(name in sys.modules for name in ('obstore', 'boto3', 'torch')))"
    )
    subprocess.run([sys.executable, "-c", script, tmp_path.as_uri()], check=True)
