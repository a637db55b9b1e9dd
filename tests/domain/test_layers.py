"""What names, patterns and words stand for."""

import pytest

from service.domain.layers import STAGES, asked_layers, expand_layers, words_of_layers
from service.errors import UnknownLayer

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
