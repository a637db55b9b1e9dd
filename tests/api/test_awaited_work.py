"""How long callers wait for what workers make."""

import pytest

from api.awaited_work import wait_of


@pytest.mark.parametrize(
    ("query", "prefer", "seconds"),
    [
        ("", "", None),
        ("", "wait=5", 5),
        ("", 'return=minimal, wait="7"', 7),
        ("", "WAIT = 3; x", 3),
        ("", "wait=1000000", 10),
        ("", "wait=-1", None),
        ("", "await=5", None),
        ("", "wait", None),
        ("wait=2", "wait=5", 2),
        ("wait=soon", "wait=5", 5),
        ("wait=", "", None),
        ("wait=99999999999999999999", "", 10),
    ],
)
def test_how_long_the_caller_would_wait(query: str, prefer: str, seconds: int | None) -> None:
    assert wait_of({"query_string": query.encode(), "headers": [(b"prefer", prefer.encode())]}) == seconds
