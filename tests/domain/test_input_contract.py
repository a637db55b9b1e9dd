from dataclasses import asdict, replace
from typing import Any

import pytest

from service.domain.input_contract import GivenInput, LibraryInput, given_input, resolve_input
from service.domain.preprocessing import MAMMO_CLIP, Preprocessing
from service.errors import InvalidInput

UNSTATED = Preprocessing(height=224, width=224, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
STATED = {"height": 300, "width": 300, "mean": UNSTATED.mean, "std": UNSTATED.std, "resize": "bicubic"}
GENERAL = LibraryInput("torchvision", UNSTATED, STATED, general_purpose=True)
PUBLISHED = LibraryInput("Mammo-CLIP", MAMMO_CLIP, asdict(MAMMO_CLIP), general_purpose=False)

WHOLE = {
    "height": 384,
    "width": 240,
    "channels": 3,
    "resize": "pad",
    "pad_side": "right",
    "crop_to_breast": True,
    "orientation": "left",
    "window": "voi",
    "padding_as_air": True,
    "scale": "range",
    "range_low": -1.0,
    "range_high": 1.0,
    "mean": [0.5, 0.25, 0.125],
    "std": [0.5, 1.0, 2.0],
}


def test_a_whole_contract_is_what_was_given() -> None:
    given = given_input(WHOLE)
    assert given.as_dict() == WHOLE
    contract = resolve_input(given, GENERAL, stem=3)
    assert set(contract.origins.values()) == {"given"}
    assert {name: entry["value"] for name, entry in contract.entries().items()} == WHOLE

    (warning,) = contract.warnings
    assert "neither a VOI lookup table nor a window are shown as with `stored`" in warning
    stored = resolve_input(given_input({**WHOLE, "window": "stored"}), GENERAL, stem=3)
    assert stored.warnings == ()


def test_nothing_given_stays_what_it_was_and_is_warned_of() -> None:
    contract = resolve_input(None, GENERAL, stem=3)
    assert contract.preprocessing == UNSTATED
    assert contract.origins["height"] == "default", "the library says 300"
    assert contract.origins["mean"] == "library"
    assert contract.origins["resize"] == "default"
    (warning,) = contract.warnings
    assert "height, width, mean and std are what torchvision has for photographs" in warning


def test_the_rest_of_what_is_given_is_the_library_s() -> None:
    contract = resolve_input(given_input({"mean": 0.5, "std": [0.25]}), GENERAL, stem=3)
    assert contract.preprocessing == replace(
        UNSTATED, height=300, width=300, resize="bicubic", mean=(0.5,) * 3, std=(0.25,) * 3
    )
    origins = contract.origins
    assert (origins["height"], origins["mean"], origins["scale"]) == ("library", "given", "default")
    assert "height and width are what torchvision has" in contract.warnings[0]


def test_a_network_of_our_own_has_its_paper_s_contract() -> None:
    contract = resolve_input(None, PUBLISHED, stem=3)
    assert contract.preprocessing == MAMMO_CLIP
    assert set(contract.origins.values()) == {"library"}
    assert contract.warnings == ()


def test_a_stem_of_one_channel_takes_one_plane() -> None:
    contract = resolve_input(None, GENERAL, stem=1)
    assert contract.preprocessing == replace(UNSTATED, channels=1, mean=(0.449,), std=(0.226,))
    assert (contract.origins["channels"], contract.origins["mean"]) == ("checkpoint", "default")

    given = resolve_input(given_input({"channels": 1, "mean": 0.5, "std": [0.25]}), GENERAL, stem=1)
    assert (given.preprocessing.mean, given.preprocessing.std) == ((0.5,), (0.25,))


def test_centre_is_another_word_for_both_sides() -> None:
    assert given_input({"resize": "pad", "pad_side": "centre"}) == GivenInput(resize="pad", pad_side="both")


def test_null_is_not_given() -> None:
    assert given_input({"height": None, "mean": None}) == GivenInput()


@pytest.mark.parametrize(
    ("values", "field", "remedy"),
    [
        ({"hight": 384}, "input.hight", "Near matches: height"),
        ({"zzz": 1}, "input.zzz", "Fields: height"),
        ({"height": 0}, "input.height", "8 to 8192"),
        ({"height": 100_000}, "input.height", "8 to 8192"),
        ({"width": 10.5}, "input.width", "whole number"),
        ({"width": True}, "input.width", "whole number"),
        ({"channels": 2}, "input.channels", "1 or 3"),
        ({"channels": True}, "input.channels", "1 or 3"),
        ({"channels": [3]}, "input.channels", "1 or 3"),
        ({"resize": "bicubik"}, "input.resize", "Did you mean bicubic?"),
        ({"resize": 3}, "input.resize", "area, bicubic, pad or none"),
        ({"resize": "area", "pad_side": "left"}, "input.pad_side", "Give resize `pad`"),
        ({"pad_side": "left"}, "input.pad_side", "Give resize `pad`"),
        ({"resize": "pad", "pad_side": "top"}, "input.pad_side", "left, right or both"),
        ({"crop_to_breast": "yes"}, "input.crop_to_breast", "true or false"),
        ({"orientation": "up"}, "input.orientation", "as_acquired"),
        ({"window": "VOI"}, "input.window", "stored or voi"),
        ({"scale": "range"}, "input.scale", "range_low and range_high"),
        ({"scale": "range", "range_low": 0.0}, "input.scale", "range_low and range_high"),
        ({"scale": "range", "range_low": 1, "range_high": 1}, "input.range_low", "below 1"),
        ({"scale": "unit", "range_low": 0}, "input.range_low", "Give scale `range`"),
        ({"std": 0}, "input.std", "Give 1e-06 or more"),
        ({"std": [0.2, -0.2, 0.2]}, "input.std", "or more"),
        ({"std": "0.2"}, "input.std", "number"),
        ({"mean": [0.1, 0.2]}, "input.mean", "1 number, or 3"),
        ({"mean": []}, "input.mean", "1 number, or 3"),
        ({"mean": float("nan")}, "input.mean", "between"),
        ({"mean": [0.1, None, 0.2]}, "input.mean", "number"),
        ({"channels": 1, "mean": [0.1, 0.2, 0.3]}, "input.mean", "Give 1 number."),
        ({"channels": 3.0}, "input.channels", "Give 1 or 3"),
        ({"mean": 10**400}, "input.mean", "between"),
        ({"scale": "range", "range_low": -(10**400), "range_high": 1}, "input.range_low", "between"),
        ({"mean": float("-inf")}, "input.mean", "between"),
    ],
)
def test_what_makes_no_contract_is_refused_by_name(values: dict[str, Any], field: str, remedy: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        given_input(values)
    assert caught.value.field == field
    assert remedy in str(caught.value.remedy)


def test_three_numbers_do_not_go_with_one_channel_of_the_network() -> None:
    with pytest.raises(InvalidInput) as caught:
        resolve_input(given_input({"mean": [0.1, 0.2, 0.3]}), GENERAL, stem=1)
    assert caught.value.field == "input.mean"


@pytest.mark.parametrize(("asked", "stem"), [(1, 3), (3, 1)])
def test_channels_that_the_network_does_not_take_are_refused(asked: int, stem: int) -> None:
    with pytest.raises(InvalidInput) as caught:
        resolve_input(given_input({"channels": asked}), GENERAL, stem=stem)
    assert (caught.value.field, caught.value.value) == ("input.channels", str(asked))
    assert f"Give channels {stem}" in str(caught.value.remedy)
    resolve_input(given_input({"channels": stem}), GENERAL, stem=stem)
