"""The drawing of verdicts over time, and that of a figure with its interval."""

import pytest

from service.reports.interval import auroc_interval
from service.reports.time_line import Mark, verdict_line


def test_each_verdict_has_a_shape_of_its_own_and_its_words() -> None:
    verdicts = ("pass", "warn", "fail", None)
    drawing = verdict_line([Mark(verdict, f"1 May <2026>: {verdict}") for verdict in verdicts], "1 May to 4 May")
    for shape, number in (("<circle", 2), ("<polygon", 1), ("<rect", 1), ("<title>", 4)):
        assert drawing.count(shape) == number
    assert 'role="img"' in drawing
    assert drawing.index("<circle") < drawing.index("<polygon") < drawing.index("<rect")
    assert "1 May &lt;2026&gt;: warn; 1 May &lt;2026&gt;: fail" in drawing
    assert ">1 May to 4 May</text>" in drawing


def test_marks_stay_within_the_drawing() -> None:
    drawing = verdict_line([Mark("pass", "PASS")] * 20, "May")
    assert 'viewBox="0 0 688 58"' in drawing
    assert 'cx="667.0"' in drawing


@pytest.mark.parametrize(("low", "colour"), [(0.51, "#0072B2"), (0.5, "#B45F06"), (0.2, "#B45F06"), (None, "#B45F06")])
def test_only_what_is_above_chance_is_blue(low: float | None, colour: str) -> None:
    drawing = auroc_interval(0.9, low, None if low is None else 0.99)
    assert f'r="4.5" fill="{colour}"' in drawing
    assert 'aria-hidden="true"' in drawing
    assert drawing.count("<line") == (2 if low is None else 3)
