import json
from pathlib import Path

import pytest

from cli.input_options import read_input
from service.domain.input_contract import GivenInput
from service.errors import InvalidInput

WHOLE = GivenInput(height=384, width=240, resize="none", crop_to_breast=True, mean=(0.5, 0.25, 0.125), std=(0.001,))


def test_values_are_given_one_by_one_or_in_a_file(tmp_path: Path) -> None:
    options = ["height=384", "width=240", "resize=none", "crop_to_breast=true", "mean=0.5,0.25,0.125", "std=1e-3"]
    assert read_input(options) == WHOLE
    (tmp_path / "input.json").write_text(json.dumps(WHOLE.as_dict()))
    assert read_input([str(tmp_path / "input.json")]) == WHOLE
    (tmp_path / "input.yaml").write_text("height: 384\nresize: none\ncrop_to_breast: true\nmean: [0.5, 0.25, 0.125]\n")
    assert read_input([str(tmp_path / "input.yaml"), "width=240", "std=[0.001]"]) == WHOLE


def test_no_option_gives_nothing_and_an_empty_file_leaves_it_to_the_library(tmp_path: Path) -> None:
    assert read_input(None) is None
    assert read_input([]) is None
    (tmp_path / "input.json").write_text("{}")
    assert read_input([str(tmp_path / "input.json")]) == GivenInput()


@pytest.mark.parametrize(
    ("options", "field"),
    [
        (["height"], "input"),
        (["nothing.yaml"], "input"),
        (["height=384", "height=240"], "input.height"),
        (["hight=384"], "input.hight"),
        (["mean=[0.5"], "input"),
        (["mean=[&a 1, *a]"], "input"),
        (["crop_to_breast=!!bool perhaps"], "input"),
        (["mean=a,b,c"], "input.mean"),
        (["height="], None),
    ],
)
def test_what_cannot_be_read_is_refused(options: list[str], field: str | None) -> None:
    if field is None:
        assert read_input(options) == GivenInput()
        return
    with pytest.raises(InvalidInput) as caught:
        read_input(options)
    assert caught.value.field == field
    assert caught.value.remedy


@pytest.mark.parametrize(
    "text", ['{"mean": [1e-05, 2, 0.5], "std": 1e-06}', "# 2 * 3\nmean: [1e-5, 2, 0.5]\nstd: 1e-06\n"]
)
def test_numbers_with_an_exponent_are_numbers_in_files(tmp_path: Path, text: str) -> None:
    (tmp_path / "input.yaml").write_text(text)
    assert read_input([str(tmp_path / "input.yaml")]) == GivenInput(mean=(1e-5, 2, 0.5), std=(1e-6,))


def test_a_file_without_names_is_refused(tmp_path: Path) -> None:
    (tmp_path / "input.yaml").write_text("- 384\n")
    with pytest.raises(InvalidInput, match="no names with values"):
        read_input([str(tmp_path / "input.yaml")])
