"""One behaviour, two stores: a folder, and an object store spoken to over the real protocol."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from service.errors import ArtifactLost, ArtifactNotStored, InvalidInput
from service.ports import ArtifactStore
from service.storage import open_store
from service.storage.directory import DirectoryStore
from service.storage.object_store import open_object_store

KEY, OTHER = "a" * 64, "b" * 64
DATA = bytes(range(256)) * 40


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """moto's server with a bucket: the protocol is real, the store behind it lies in memory."""
    import boto3
    from moto.server import ThreadedMotoServer

    with pytest.MonkeyPatch.context() as environment:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            environment.setenv(name, "unused")
        server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1").create_bucket(Bucket="artifacts")
        yield endpoint
        server.stop()


@pytest.fixture(params=["directory", "object store"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ArtifactStore:
    if request.param == "directory":
        return open_store((tmp_path / "artifacts").as_uri())
    endpoint = request.getfixturevalue("s3_endpoint")
    return open_store(f"s3://artifacts/{tmp_path.name}?endpoint={endpoint}&region=us-east-1")


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
        with pytest.raises(ValueError, match="no content key"):
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


def test_an_object_store_that_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "unused")
    store = open_object_store(urlsplit("s3://artifacts/x?endpoint=http://127.0.0.1:9&region=us-east-1"), cache=tmp_path)
    with pytest.raises(ArtifactNotStored, match="object store"):
        store.write(KEY, DATA)
    with pytest.raises(ArtifactLost):
        store.fetch(KEY, digest(DATA))


def test_local_copies_are_kept_within_bounds(s3_endpoint: str, tmp_path: Path) -> None:
    url = urlsplit(f"s3://artifacts/bounds?endpoint={s3_endpoint}&region=us-east-1")
    store = open_object_store(url, cache=tmp_path, cache_bytes=3 * len(DATA))
    for number in range(5):
        key = str(number) * 64
        store.write(key, DATA)
        store.fetch(key, digest(DATA))
    copies = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(copies) == 3
    assert store.fetch("0" * 64, digest(DATA)).read_bytes() == DATA


@pytest.mark.parametrize(
    "url",
    [
        "",
        "relative/folder",
        "file://otherhost/x",
        "ftp://host/x",
        "s3://",
        "s3://key:word@bucket/x",
        "s3://b/x?acl=all",
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
    with pytest.raises(InvalidInput, match="cannot be made"):
        open_store((tmp_path / "file" / "below").as_uri())


def test_a_local_store_needs_no_s3_library(tmp_path: Path) -> None:
    script = "import sys, service.storage as s; s.open_store(sys.argv[1]); sys.exit('obstore' in sys.modules)"
    subprocess.run([sys.executable, "-c", script, tmp_path.as_uri()], check=True)
