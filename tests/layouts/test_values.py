"""Values as data sets write them."""

import pytest

from service.layouts.values import whole


@pytest.mark.parametrize(
    ("written", "meant"),
    [("61.0", "61"), ("12345678901234567.0", "12345678901234567"), ("61", "61"), ("61.5", "61.5"), ("v1.0", "v1.0")],
)
def test_a_whole_number_keeps_all_its_digits(written: str, meant: str) -> None:
    assert whole(written) == meant
