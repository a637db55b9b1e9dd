"""What names, patterns and words stand for."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.layers import STAGES, asked_layers, expand_layers, words_of_layers
from service.errors import InvalidInput, UnknownLayer

KNOWN: dict[str, bool | None] = {
    "conv1": False,
    "layer1": False,
    "layer1.0": False,
    "layer1.0.conv1": False,
    "layer1.1": True,
    "layer2.0": True,
    "layer10.0": False,
    "stages": False,
}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["layer1.*"], ("layer1.0", "layer1.1")),
        (["layer1[*]"], None),
        (["layer?.0"], ("layer1.0", "layer2.0")),
        (["layer*.0"], ("layer1.0", "layer2.0", "layer10.0")),
        (["layer1.**"], ("layer1.0", "layer1.0.conv1", "layer1.1")),
        (["**.conv1"], ("layer1.0.conv1",)),
        (["layer2[0]", "layer?.0", "layer2.0"], ("layer2.0", "layer1.0")),
        ("stages", ("layer1.1", "layer2.0")),
        (["stages"], ("stages",)),
    ],
)
def test_patterns_stand_for_layers_in_the_order_of_the_network(
    words: str | list[str], expected: tuple[str, ...] | None
) -> None:
    asked = asked_layers(words)
    assert asked is not None
    if expected is None:
        with pytest.raises(UnknownLayer, match=r"fits 'layer1\[\*\]'"):
            expand_layers(asked, KNOWN)
    else:
        assert expand_layers(asked, KNOWN) == expected


def test_words_come_back_as_they_were_written() -> None:
    assert asked_layers("all") is None
    assert words_of_layers(None) == ["all"]
    assert words_of_layers(asked_layers("stages")) == ["stages"]
    assert words_of_layers(asked_layers(["layer1[0]", "**.conv1"])) == ["layer1.0", "**.conv1"]


@pytest.mark.parametrize(("name", "near"), [("layer3.*", "layer2.0"), ("layer1.2", "layer1.1"), ("x.**", "conv1")])
def test_what_no_layer_fits_is_refused_with_near_matches(name: str, near: str) -> None:
    with pytest.raises(UnknownLayer) as caught:
        expand_layers([name], KNOWN)
    assert name in caught.value.detail
    assert near in str(caught.value.remedy)
    assert (caught.value.field, caught.value.value) == ("layers", name)


def test_stages_wait_for_a_worker_where_an_earlier_release_listed_the_layers() -> None:
    assert expand_layers([STAGES, "a"], {"a": None, "b": None}) == (STAGES, "a")
    assert expand_layers(["*"], {"a": None, "b": None}) == ("a", "b")


PARTS = st.sampled_from(["**", "*", "?", ".", "a", "ab", "b"])
REGULAR = {"**": ".*", "*": "[^.]*", "?": "[^.]", ".": r"\."}


@given(st.lists(PARTS, min_size=1, max_size=6), st.text("ab.", min_size=1, max_size=8))
def test_a_pattern_fits_what_its_regular_expression_fits(parts: list[str], layer: str) -> None:
    pattern = "".join(parts)
    expression = "".join(REGULAR.get(part, part) for part in re.findall(r"\*\*|.", pattern))
    known: dict[str, bool | None] = {layer: False, pattern + "x": False}
    try:
        chosen = expand_layers([pattern], known)
    except UnknownLayer:
        chosen = ()
    assert (layer in chosen) is (re.fullmatch(expression, layer) is not None)


def test_a_pattern_that_could_be_read_in_very_many_ways_is_answered() -> None:
    known: dict[str, bool | None] = {f"image_encoder.features.block{i}.layer{i}.conv": False for i in range(300)}
    with pytest.raises(UnknownLayer):
        expand_layers(["**?" * 4 + "z"], known)


@pytest.mark.parametrize("asked", [["*" * 17], ["**?" * 5], ["?" * 9], ["a.*"] * 33])
def test_too_many_patterns_or_wildcards_are_refused(asked: list[str]) -> None:
    with pytest.raises(InvalidInput, match=r"more than 8 wildcards|More than 32 patterns") as caught:
        expand_layers(asked, KNOWN)
    assert caught.value.field == "layers"
    assert caught.value.remedy


@pytest.mark.parametrize("asked", ["visual.head.*", "visual.h*", "visual.head", "visual.head.proj"])
def test_a_layer_that_was_left_out_is_said_to_be(asked: str) -> None:
    with pytest.raises(UnknownLayer, match="has no weights that fit"):
        expand_layers([asked], KNOWN, ("visual.head",))
