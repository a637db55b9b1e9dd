"""BROKER_URL: what nobody could send to is refused at the start, by name and without its password."""

import pytest
from pydantic import SecretStr

from broker.queue import open_broker
from service.errors import InvalidInput


@pytest.mark.parametrize(
    "url",
    [
        "redis://127.0.0.1:9/abc",
        "redis://127.0.0.1:9/-1",
        "redis://127.0.0.1:9/0/1",
        "redis://127.0.0.1:9/0?db=x",
        "redis://127.0.0.1:many/0",
        "redis://127.0.0.1:9/0;redis://127.0.0.1:10/abc",
        "redis+socket:///tmp/x.sock?virtual_host=abc",
        "sentinel://127.0.0.1:26379",
        "rediss://127.0.0.1:9/0?ssl_cert_reqs=perhaps",
        "amqp://127.0.0.1",
        "nonsense",
    ],
)
def test_a_url_that_cannot_be_used_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput, match="BROKER_URL is not a Redis or Valkey URL") as refused:
        open_broker(SecretStr(url.replace("127.0.0.1", ":hidden@127.0.0.1")))
    assert refused.value.field == "broker_url"
    assert "hidden" not in str(refused.value.as_problem())


@pytest.mark.parametrize(
    "url",
    [
        "redis://",
        "redis://127.0.0.1",
        "redis://:word@127.0.0.1:6379/",
        "redis://127.0.0.1:6379/15",
        "rediss://127.0.0.1:6379/0?ssl_cert_reqs=required",
        "redis+socket:///tmp/x.sock",
        "redis+socket:///tmp/x.sock?virtual_host=3",
        "redis+socket:///tmp/x.sock?virtual_host=/3",
        "redis://127.0.0.1:6379/0;redis://127.0.0.1:6380/0",
    ],
)
def test_a_url_of_redis_or_valkey_is_taken(url: str) -> None:
    assert open_broker(SecretStr(url)).conf.broker_url == url
