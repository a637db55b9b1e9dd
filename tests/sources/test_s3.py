"""Objects of an S3-compatible store: moto's server speaks the real protocol."""

import hashlib
import sys
from typing import Any

import pytest

from service.errors import InvalidInput, Unavailable
from tests.sources.conftest import OpenFetcher, content_of

DATA = b"weights" * 1000
DIGEST = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def bucket(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Any:
    """A bucket of the test's own, for boto3."""
    import boto3

    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_endpoint)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    resource = boto3.resource("s3", endpoint_url=s3_endpoint, region_name="us-east-1")
    bucket = resource.Bucket("models-" + hashlib.sha256(request.node.name.encode()).hexdigest()[:20])
    bucket.create()
    yield bucket
    resource.meta.client.close()


@pytest.mark.proves("source", "s3://")
def test_an_object_is_fetched_at_the_version_that_it_had(bucket: Any, open_fetcher: OpenFetcher) -> None:
    bucket.Versioning().enable()
    version = bucket.put_object(Key="a b/w.pt", Body=DATA).version_id
    fetcher = open_fetcher()
    result = fetcher.fetch(f"s3://{bucket.name}/a b/w.pt", sha256=None)
    assert (result["sha256"], result["bytes"]) == (DIGEST, len(DATA))
    assert result["place"] == f"s3://{bucket.name}/a%20b/w.pt?versionId={version}"
    assert result["version"], "its ETag"
    assert content_of(fetcher, DIGEST) == DATA

    bucket.put_object(Key="a b/w.pt", Body=b"changed")
    assert fetcher.fetch(result["place"], sha256=DIGEST)["sha256"] == DIGEST


def test_a_prefix_stands_for_the_one_file_of_weights_below_it(bucket: Any, open_fetcher: OpenFetcher) -> None:
    for name in ("v2/MLmodel", "v2/data/w.safetensors", "v2/data/old.pt", "v22/other.pt"):
        bucket.put_object(Key=name, Body=DATA if name.endswith("safetensors") else b"x")
    result = open_fetcher().fetch(f"s3://{bucket.name}/v2", sha256=DIGEST)
    assert result["place"] == f"s3://{bucket.name}/v2/data/w.safetensors"


def test_what_is_not_there_or_not_one(bucket: Any, open_fetcher: OpenFetcher) -> None:
    for name in ("a/1.pt", "a/2.pt"):
        bucket.put_object(Key=name, Body=b"x")
    for uri, said in (
        (f"s3://{bucket.name}/none.pt", "has nothing there"),
        ("s3://no-such-bucket-at-all/w.pt", "has nothing there"),
        (f"s3://{bucket.name}/a", "2 files of weights"),
    ):
        with pytest.raises(InvalidInput, match=said) as refused:
            open_fetcher().fetch(uri, sha256=None)
        assert refused.value.value == uri
    named = str(refused.value.remedy).split()[-1]
    assert open_fetcher().fetch(named, sha256=None)["place"] == named, "the remedy works"


def test_a_store_that_is_away_and_a_package_that_is_missing(
    s3_environment: None, open_fetcher: OpenFetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    with pytest.raises(Unavailable, match="cannot be reached") as away:
        open_fetcher().fetch("s3://bucket/w.pt", sha256=None)
    assert "unused" not in str(away.value.as_problem()), "what the environment holds is not repeated"
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(InvalidInput, match="lack a package") as refused:
        open_fetcher().fetch("s3://bucket/w.pt", sha256=None)
    assert "[s3]" in str(refused.value.remedy)
