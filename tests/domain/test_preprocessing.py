from dataclasses import fields, replace
from typing import Any

import pytest

from service.domain.preprocessing import MAMMO_CLIP, Preprocessing

IMAGENET = Preprocessing(height=224, width=224, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))

OTHER_VALUES: dict[str, Any] = {
    "height": 384,
    "width": 240,
    "mean": (0.5, 0.5, 0.5),
    "std": (0.5, 0.5, 0.5),
    "resize": "bicubic",
    "crop_to_breast": True,
    "scale": "range",
    "channels": 1,
    "pad_side": "left",
    "orientation": "right",
    "window": "voi",
    "padding_as_air": True,
    "range_low": -1.0,
    "range_high": 255.0,
}


def test_digests_are_those_that_earlier_releases_took() -> None:
    assert MAMMO_CLIP.digest() == "5ee2919652022e43940178963a5384ebaad9e3b4e5c21db9cbcd73f9700cbb31"
    assert IMAGENET.digest() == "2a59e761b48e2d28ad9a1ed7b2d15e88b28c9f85737155b8afe4a5880f9a6ff0"


def test_every_field_makes_another_contract() -> None:
    assert set(OTHER_VALUES) == {field.name for field in fields(Preprocessing)}
    digests = {replace(IMAGENET, **{name: value}).digest() for name, value in OTHER_VALUES.items()}
    assert len(digests | {IMAGENET.digest()}) == len(OTHER_VALUES) + 1


@pytest.mark.parametrize("contract", [MAMMO_CLIP, IMAGENET, replace(IMAGENET, **OTHER_VALUES)])
def test_a_contract_is_read_back_from_its_json(contract: Preprocessing) -> None:
    fields_read: Any = contract.as_dict()
    read_back = Preprocessing(**fields_read)
    assert read_back.digest() == contract.digest()
