"""A folder and an object store to test with."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from service.ports import ArtifactStore
from service.storage import open_store


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """Endpoint of moto's server with a bucket: the protocol is real, the store behind it lies in memory."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="unused",
        aws_secret_access_key="unused",  # noqa: S106
    )
    client.create_bucket(Bucket="artifacts")
    client.close()
    yield endpoint
    server.stop()


@pytest.fixture
def s3_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Credentials that are none, no endpoint, and a temp folder of the test's own for local copies."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "unused")
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@pytest.fixture
def s3_endpoint(s3_server: str, s3_environment: None) -> str:
    """The same server, for a test whose environment is set up for it."""
    return s3_server


@pytest.fixture(params=["directory", "object store"])
def reopened(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], ArtifactStore]:
    """Opens the test's store, anew with each call as another process does."""
    if request.param == "directory":
        url = (tmp_path / "artifacts").as_uri()
    else:
        url = f"s3://artifacts/{tmp_path.name}?endpoint={request.getfixturevalue('s3_endpoint')}&region=us-east-1"
    return lambda: open_store(url)


@pytest.fixture
def store(reopened: Callable[[], ArtifactStore]) -> ArtifactStore:
    return reopened()
