"""Which row is about which image."""

from pathlib import Path

import pytest

from service.domain.probes import Box, ProbeItem
from service.engine.networks.recorded.matching import check_all_have_rows, match_rows
from service.engine.networks.recorded.table import RecordedTable
from service.engine.networks.recorded.text_tables import read_text_table
from service.errors import InvalidActivations, InvalidInput

FOLDER = Path("/probes/set")


def items(*written: str, ids: tuple[str, ...] = ()) -> list[ProbeItem]:
    return [
        ProbeItem(ids[i] if ids else Path(path).stem, FOLDER / path, row=i + 1, written=path)
        for i, path in enumerate(written)
    ]


def table(*names: str, column: str = "image", ids: tuple[str, ...] = ()) -> RecordedTable:
    rows = [{"image_id": ids[i] if ids else "", column: name, "a": str(i)} for i, name in enumerate(names)]
    header = (column, "image_id", "a") if ids else (column, "a")
    return read_text_table(header, [{name: row[name] for name in header} for row in rows], file_format="csv")


@pytest.mark.parametrize(
    ("names", "written", "way"),
    [
        (("cc/a.png", "mlo/a.png"), ("cc/a.png", "mlo/a.png"), "path"),
        (("cc\\a.png", "./mlo/a.png"), ("cc/a.png", "mlo/a.png"), "path"),
        (("/probes/set/cc/a.png", "/probes/set/mlo/a.png"), ("cc/a.png", "mlo/a.png"), "path"),
        (("/home/me/a.png", "D:\\data\\b.png"), ("cc/a.png", "mlo/b.png"), "file name"),
        (("a.png", "b.png"), ("cc/a.png", "mlo/b.png"), "file name"),
        (("a", "b"), ("cc/a.png", "mlo/b.png"), "image_id"),
    ],
)
def test_rows_are_found_in_the_first_way_that_finds_all(
    names: tuple[str, ...], written: tuple[str, ...], way: str
) -> None:
    recorded = table(*reversed(names))
    match = match_rows(recorded, items(*written))
    assert (match.way, match.rows.tolist()) == (way, [1, 0])
    assert match.use_of(recorded) == {
        "matched_by": way,
        "named_by": "image",
        "images_without_row": 0,
        "rows_unused": 0,
    }


def test_ids_of_a_column_of_their_own_are_compared_too() -> None:
    recorded = table("elsewhere/1", "elsewhere/2", ids=("x", "y"))
    match = match_rows(recorded, items("a.png", "b.png", ids=("y", "x")))
    assert (match.way, match.column, match.rows.tolist()) == ("image_id", "image_id", [1, 0])


def test_a_column_of_ids_may_hold_paths() -> None:
    match = match_rows(table("cc/a.png", column="image_id"), items("cc/a.png"))
    assert (match.way, match.column) == ("path", "image_id")


def test_file_names_that_several_images_share_find_nothing() -> None:
    probes = items("p1/cc.png", "p2/cc.png", "p3/mlo.png")
    match = match_rows(table("cc.png", "mlo.png"), probes)
    assert match.rows.tolist() == [-1, -1, 1]
    with pytest.raises(InvalidActivations, match="file names of 2 of them stand for several images") as caught:
        check_all_have_rows(match, probes)
    assert caught.value.value == "manifest rows 1, 2"


def test_a_row_for_several_frames_of_a_film_is_of_none() -> None:
    film = [ProbeItem(f"film-{frame}", FOLDER / "film.dcm", row=1, written="film.dcm") for frame in range(2)]
    with pytest.raises(InvalidActivations, match="No row of the table"):
        match_rows(table("film.dcm"), film)
    assert match_rows(table("film-1", "film-0"), film).rows.tolist() == [1, 0]


def test_images_without_a_row_are_counted_and_the_first_are_named() -> None:
    probes = items(*(f"{number}.png" for number in range(30)))
    recorded = table("3.png", "5.png", "other.png")
    match = match_rows(recorded, probes)
    with pytest.raises(
        InvalidActivations, match="no row for 28 of 30 images: those of manifest rows 1, 2, 3, 5"
    ) as caught:
        check_all_have_rows(match, probes)
    assert "on_unreadable" in str(caught.value.remedy)
    assert match.use_of(recorded)["images_without_row"] == 28
    assert match.use_of(recorded)["rows_unused"] == 1


def test_a_table_of_other_images_is_refused_whatever_may_be_skipped() -> None:
    with pytest.raises(InvalidActivations, match="No row of the table names an image"):
        match_rows(table("x.png"), items("a.png"))


def test_patches_have_no_rows() -> None:
    patch = ProbeItem("a", FOLDER / "a.png", row=1, box=Box(0, 0, 20, 20), written="a.png")
    with pytest.raises(InvalidInput, match="cuts them into patches"):
        match_rows(table("a.png"), [patch])
