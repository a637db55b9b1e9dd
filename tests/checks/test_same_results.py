"""Two runs are compared result by result, and every result of either counts."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from checks import same_results
from checks.same_results import app, flat

DISSECT = {"contrast": "a", "soft_wpmi": "b"}
DEMO = {"before@1 on phantoms@1": {"_blocks.10": "c"}}


def compare(
    monkeypatch: pytest.MonkeyPatch, folder: Path, before: dict[str, Any], after: dict[str, Any], *options: str
) -> tuple[int, list[str]]:
    """Exit status and lines of the comparison."""

    def results(*, demo: bool) -> dict[str, Any]:
        return after if demo else {"dissect": after["dissect"]}

    monkeypatch.setattr(same_results, "results", results)
    (folder / "before.json").write_text(json.dumps(before))
    done = CliRunner().invoke(app, ["compare", str(folder / "before.json"), *options])
    return done.exit_code, done.output.splitlines()


def test_nested_digests_become_paths() -> None:
    assert flat({"dissect": DISSECT, "demo": DEMO}) == {
        "dissect / contrast": "a",
        "dissect / soft_wpmi": "b",
        "demo / before@1 on phantoms@1 / _blocks.10": "c",
    }


def test_equal_results(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    everything = {"dissect": DISSECT, "demo": DEMO}
    assert compare(monkeypatch, tmp_path, everything, everything) == (0, ["3 of 3 results are the same"])


def test_a_result_that_changed_one_that_is_new_and_one_that_is_gone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = {"dissect": DISSECT, "demo": DEMO}
    after = {"dissect": {"contrast": "z", "wpmi": "y"}, "demo": DEMO}
    status, lines = compare(monkeypatch, tmp_path, before, after)
    assert status == 1
    assert lines == [
        "differs: dissect / contrast: a -> z",
        "differs: dissect / soft_wpmi: b -> None",
        "differs: dissect / wpmi: None -> y",
        "1 of 4 results are the same",
    ]


def test_without_the_demo_its_results_do_not_count(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before, after = {"dissect": DISSECT, "demo": DEMO}, {"dissect": {**DISSECT, "contrast": "z"}, "demo": {}}
    status, lines = compare(monkeypatch, tmp_path, before, after, "--no-demo")
    assert (status, lines[-1]) == (1, "1 of 2 results are the same")
    assert compare(monkeypatch, tmp_path, before, before, "--no-demo") == (0, ["2 of 2 results are the same"])
