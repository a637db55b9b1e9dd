"""Parts of a probe set by the values of columns: which images they have, their digests, and what cannot be one."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from service.domain.digests import digest_of
from service.domain.probes import ProbeItem, ProbeSet
from service.errors import DissectError, InvalidInput, TooFewImages
from service.usecases.parts import part_of, read_where

DENSITIES = "ABCD"


def item(number: int) -> ProbeItem:
    strata = {"density": DENSITIES[number % 4], "device": "Hologic, Selenia" if number % 2 else "GE"}
    return ProbeItem(
        str(number),
        Path(f"{number}.png"),
        number + 1,
        patient_id=f"p{number // 2}",
        view="CC" if number < 60 else "MLO",
        strata=strata if number else {},
    )


WHOLE = ProbeSet("set", tuple(map(item, range(120))), "digest")


@pytest.mark.parametrize(
    ("where", "numbers"),
    [
        ({"density": ["C", "D"]}, [number for number in range(120) if number % 4 in (2, 3)]),
        ({"view": ["CC"]}, list(range(60))),
        ({"density": ["A"], "view": ["CC", "MLO"]}, list(range(4, 120, 4))),
        ({"device": ["Hologic, Selenia"], "view": ["MLO"]}, list(range(61, 120, 2))),
    ],
)
def test_a_part_has_the_images_for_which_all_columns_hold(where: dict[str, list[str]], numbers: list[int]) -> None:
    part = part_of(WHOLE, where)
    assert [int(image.image_id) for image in part.items] == numbers
    assert part.whole == WHOLE.digest
    assert {column: list(values) for column, values in part.where.items()} == where


def test_a_part_by_one_value_keeps_the_digest_that_it_had() -> None:
    part = WHOLE.part({"density": ("A",)})
    assert part.digest == digest_of({"of": "digest", "stratum": "density", "value": "A"})


def test_order_and_repetition_make_no_other_part() -> None:
    parts = [
        WHOLE.part({"view": ("CC",), "density": ("C", "D")}),
        WHOLE.part({"density": ("D", "C", "C"), "view": ("CC",)}),
    ]
    assert parts[0] == parts[1]
    others = [WHOLE.part({"density": ("C",)}), WHOLE.part({"density": ("C", "D")}), WHOLE.part({"view": ("CC",)})]
    assert len({part.digest for part in (*parts, *others)}) == 4


@pytest.mark.parametrize(
    ("where", "error", "field", "said"),
    [
        ({"densty": ["C"]}, InvalidInput, "where", ("'densty'", "Did you mean 'density'", "'view'")),
        ({"laterality": ["L"]}, InvalidInput, "where", ("'laterality'", "'density'")),
        ({"density": ["C", "E"]}, InvalidInput, "where.density", ("'E'", "'A', 'B', 'C', 'D'")),
        ({"view": ["cc"]}, InvalidInput, "where.view", ("'cc'", "'CC', 'MLO'")),
    ],
)
def test_what_no_image_has_is_named_with_what_there_is(
    where: dict[str, list[str]], error: type[DissectError], field: str, said: Sequence[str]
) -> None:
    with pytest.raises(error) as raised:
        part_of(WHOLE, where)
    assert raised.value.field == field
    assert all(words in f"{raised.value.detail} {raised.value.remedy}" for words in said)


def test_a_value_that_is_wrong_is_not_compared_with_one_of_every_image() -> None:
    items = tuple(replace(WHOLE.items[1], strata={"uid": f"1.2.{number}"}) for number in range(5_000))
    with pytest.raises(InvalidInput) as raised:
        part_of(replace(WHOLE, items=items), {"uid": ["1.2.3x"]})
    assert str(raised.value.remedy).startswith("The values are '1.2.0', ")
    assert str(raised.value.remedy).endswith(" and 4,980 more.")


def with_a_small_site(images: int) -> ProbeSet:
    """A probe set whose last images, all MLO and two of each patient, are of site `small`."""
    first = len(WHOLE.items) - images
    items = [
        replace(image, strata={"site": "small" if number >= first else "large"})
        for number, image in enumerate(WHOLE.items)
    ]
    return replace(WHOLE, items=tuple(items))


def test_a_part_may_have_ten_exams() -> None:
    assert len(part_of(with_a_small_site(20), {"site": ["small"]}).items) == 20


@pytest.mark.parametrize(
    ("images", "where", "said"),
    [
        (18, {"site": ["small"]}, "site small has 9 patients, but a part must have at least 10"),
        (1, {"site": ["small"]}, "has 1 patient, but"),
        (20, {"site": ["small"], "view": ["CC"]}, "site small, view CC has 0 images"),
    ],
)
def test_a_part_with_too_few_exams_is_an_answer(images: int, where: dict[str, list[str]], said: str) -> None:
    with pytest.raises(TooFewImages, match=said) as raised:
        part_of(with_a_small_site(images), where)
    assert raised.value.field == "where"


def test_a_part_of_a_part_is_refused() -> None:
    with pytest.raises(InvalidInput, match="itself a part"):
        part_of(WHOLE.part({"view": ("CC",)}), {"density": ["A"]})


@pytest.mark.parametrize(
    ("entries", "where"),
    [
        (["density=C,D"], {"density": ["C", "D"]}),
        (["density=C", "density=D", "view = CC"], {"density": ["C", "D"], "view": ["CC"]}),
        (["device=Hologic, Selenia"], {"device": ["Hologic, Selenia"]}),
    ],
)
def test_the_command_line_says_columns_and_values(entries: list[str], where: dict[str, list[str]]) -> None:
    assert read_where(entries, WHOLE) == where


@pytest.mark.parametrize("entry", ["density", "=C", "density=", ""])
def test_an_entry_of_another_form_is_refused(entry: str) -> None:
    with pytest.raises(InvalidInput, match="names no column and values"):
        read_where([entry], WHOLE)
