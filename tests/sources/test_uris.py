"""What may be named as a source: each other thing is refused with a remedy, and a secret is not repeated."""

import pytest

from service.errors import InvalidInput
from service.sources.uris import check_source, is_remote


@pytest.mark.parametrize(
    "uri",
    [
        "s3://bucket/weights.pt",
        "s3://bucket/a%20b/weights.pt?versionId=3HL4k",
        "https://models.example/a/weights.safetensors",
        "models:/screening/3",
        "models:/screening/3/extra/weights.pt",
        "models:/screening@champion",
        "models:/m-0123456789abcdef0123456789abcdef",
        "models:/123",
        "runs:/0123456789abcdef/weights.safetensors",
        "mlflow-artifacts:/1/r/artifacts/weights.pt",
    ],
)
def test_a_source_is_taken_as_it_is(uri: str) -> None:
    assert is_remote(uri)
    assert check_source(uri, field="checkpoint") == uri


@pytest.mark.parametrize("uri", ["/models/b5.tar", "file:///models/b5.tar", "models/b5.tar", "C:/b5.tar", "ftp://h/x"])
def test_what_no_worker_fetches_is_no_source(uri: str) -> None:
    assert not is_remote(uri)


@pytest.mark.parametrize(
    "uri",
    [
        "s3://bucket",
        "s3:///key",
        "s3:key",
        "https://host/",
        "https:///x",
        "https://[::1/x",
        "https://host:99999/x",
        "https://host/a\nb",
        "https://host/a\\b",
        "https://host/../x",
        "models:/",
        "models:/screening/latest",
        "models:/screening/Production",
        "models:/a/../b",
        "runs:/abc",
        "runs:/abc/",
        "mlflow-artifacts:/",
        "https://host/" + "x" * 2000,
    ],
)
def test_what_does_not_say_which_file_is_meant_is_refused(uri: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        check_source(uri, field="checkpoint")
    assert refused.value.field == "checkpoint"
    assert "models:/name@alias" in str(refused.value.remedy)


@pytest.mark.parametrize(
    "uri",
    [
        "https://user:hidden@host/x",
        "s3://key:hidden@bucket/x",
        "https://host/x?X-Amz-Signature=hidden",
        "https://host/x#hidden",
        "s3://bucket/x?secret=hidden",
        "mlflow-artifacts://user:hidden@host/x",
    ],
)
def test_a_secret_in_a_source_is_refused_and_not_repeated(uri: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        check_source(uri, field="checkpoint")
    assert "hidden" not in str(refused.value.as_problem())
    assert "eave it out" in str(refused.value.remedy)
