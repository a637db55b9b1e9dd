"""What only an object store has: an endpoint, other things in its bucket, local copies, and a network to fail."""

import os
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from structlog.testing import capture_logs

from service.errors import ArtifactLost, ArtifactNotStored, InvalidInput, Unavailable
from service.storage import open_store
from service.storage.object_store import ObjectStore, open_object_store
from tests.storage.contents import DATA, KEY, digest

AWAY = "http://127.0.0.1:9"


def opened(endpoint: str, prefix: str, cache: Path, *, copies: int = 100) -> ObjectStore:
    url = urlsplit(f"s3://artifacts/{prefix}?endpoint={endpoint}&region=us-east-1")
    return open_object_store(url, cache=cache, cache_bytes=copies * len(DATA))


@pytest.mark.usefixtures("s3_environment")
def test_an_object_store_that_is_away(tmp_path: Path) -> None:
    store = opened(AWAY, "x", tmp_path)
    with pytest.raises(ArtifactNotStored, match="object store"):
        store.write(KEY, DATA)
    with pytest.raises(Unavailable, match="object store"):
        store.fetch(KEY, digest(DATA))


def test_a_bucket_that_is_not_there(s3_endpoint: str) -> None:
    store = open_store(f"s3://missing/x?endpoint={s3_endpoint}&region=us-east-1")
    with pytest.raises(ArtifactNotStored):
        store.write(KEY, DATA)
    with pytest.raises(ArtifactLost):
        store.fetch(KEY, digest(DATA))


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"])
def test_the_endpoint_may_come_from_the_environment_and_the_url_goes_before_it(
    s3_endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, s3_endpoint)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    open_store(f"s3://artifacts/{tmp_path.name}").write(KEY, DATA)
    monkeypatch.setenv(name, AWAY)
    assert opened(s3_endpoint, tmp_path.name, tmp_path / "other").fetch(KEY, digest(DATA)).read_bytes() == DATA


def test_other_objects_of_the_bucket_are_not_listed(s3_endpoint: str, tmp_path: Path) -> None:
    import boto3

    store, beside = (opened(s3_endpoint, f"{tmp_path.name}{suffix}", tmp_path) for suffix in ("", "-beside"))
    store.write(KEY, DATA)
    beside.write("b" * 64, DATA)
    client = boto3.client("s3", endpoint_url=s3_endpoint, region_name="us-east-1")
    for name in ("notes.txt", f"zz/{KEY}", f"old/aa/{KEY}"):
        client.put_object(Bucket="artifacts", Key=f"{tmp_path.name}/{name}", Body=b"")
    client.close()
    assert [key for key, _ in store.listing()] == [KEY]


def copies_in(folder: Path) -> dict[str, Path]:
    return {path.name: path for path in folder.rglob("?" * 64)}


def let_hours_pass(folder: Path) -> None:
    """Since the copies in that folder were used."""
    for path in copies_in(folder).values():
        status = path.stat()
        os.utime(path, ns=(status.st_atime_ns - 7_200 * 10**9, status.st_mtime_ns))


def test_the_least_recently_used_copies_make_room(s3_endpoint: str, tmp_path: Path) -> None:
    store = opened(s3_endpoint, "bounds", tmp_path, copies=3)
    keys = [str(number) * 64 for number in range(4)]
    for key in keys:
        store.write(key, DATA)
    for key in keys[:3]:
        store.fetch(key, digest(DATA))
    opened(s3_endpoint, "bounds", tmp_path, copies=3).fetch(keys[0], digest(DATA))
    let_hours_pass(tmp_path)
    store.fetch(keys[3], digest(DATA))
    assert copies_in(tmp_path).keys() == {keys[0], keys[2], keys[3]}
    assert store.fetch(keys[1], digest(DATA)).read_bytes() == DATA


def test_copies_that_are_in_use_are_kept_beyond_the_bound(s3_endpoint: str, tmp_path: Path) -> None:
    store = opened(s3_endpoint, "used", tmp_path, copies=2)
    keys = [str(number) * 64 for number in range(5)]
    for key in keys:
        store.write(key, DATA)
    store.fetch(keys[0], digest(DATA))
    let_hours_pass(tmp_path)
    with capture_logs() as logs:
        paths = [store.fetch(key, digest(DATA)) for key in keys[1:]]
    assert [path.read_bytes() for path in paths] == [DATA] * 4
    assert copies_in(tmp_path).keys() == set(keys[1:])
    assert [(entry["log_level"], entry["limit"]) for entry in logs] == [("warning", 2 * len(DATA))] * 2


def test_a_copy_larger_than_the_bound_is_kept_alone(s3_endpoint: str, tmp_path: Path) -> None:
    store = opened(s3_endpoint, "large", tmp_path, copies=0)
    for key in ("0" * 64, "1" * 64):
        store.write(key, DATA)
        assert store.fetch(key, digest(DATA)).read_bytes() == DATA
        let_hours_pass(tmp_path)
    assert copies_in(tmp_path).keys() == {"1" * 64}


def test_copies_outlive_the_process_in_a_folder_of_the_user(s3_endpoint: str, tmp_path: Path) -> None:
    url = f"s3://artifacts/kept?endpoint={s3_endpoint}&region=us-east-1"
    open_store(url).write(KEY, DATA)
    path = open_store(url).fetch(KEY, digest(DATA))
    assert path.parent.parent == tmp_path / f"mammodissect-artifacts-{os.getuid()}"
    assert path.parent.parent.stat().st_mode & 0o777 == 0o700
    inode = path.stat().st_ino
    assert open_store(url).fetch(KEY, digest(DATA)).stat().st_ino == inode, "it is not downloaded again"


@pytest.mark.parametrize("kind", ["readable", "link", "file"])
def test_a_folder_for_copies_that_is_not_the_users_alone(s3_endpoint: str, tmp_path: Path, kind: str) -> None:
    folder = tmp_path / f"mammodissect-artifacts-{os.getuid()}"
    if kind == "readable":
        folder.mkdir()
        folder.chmod(0o755)
    elif kind == "link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        folder.symlink_to(tmp_path / "elsewhere")
    else:
        folder.write_bytes(b"")
    with pytest.raises(InvalidInput, match="Other users can access"):
        open_store(f"s3://artifacts/x?endpoint={s3_endpoint}")


def test_no_room_for_a_copy_is_no_loss(s3_endpoint: str, tmp_path: Path) -> None:
    store = opened(s3_endpoint, tmp_path.name, tmp_path)
    store.write(KEY, DATA)
    (tmp_path / KEY[:2]).write_bytes(b"in the way")
    with pytest.raises(ArtifactNotStored) as caught:
        store.fetch(KEY, digest(DATA))
    assert tempfile.gettempdir() in str(caught.value.remedy)
    assert [key for key, _ in store.listing()] == [KEY]
