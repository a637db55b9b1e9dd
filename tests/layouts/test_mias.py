"""mini-MIAS."""

from pathlib import Path

import pytest

from tests.layouts.data_sets import read, refused, write_images

LIST = """\
Some lines of prose stand before the list.

mdb001 G CIRC B 535 425 197
mdb002 D NORM
mdb005 F CIRC B 477 133  30
mdb005 F SPIC M 20 1000 40
mdb006 F CALC M *NOTE 3*
mdb010 F MISC B
"""


def write(folder: Path, content: str = LIST) -> None:
    (folder / "Info.txt").write_text(content)
    write_images(folder, *(f"mdb{number:03}.pgm" for number in (1, 2, 5, 6, 10)))


def test_films_in_pairs_with_circles_from_the_bottom(tmp_path: Path) -> None:
    write(tmp_path)

    rows = read("mias", tmp_path).rows

    assert rows[0] == {
        "image": "mdb001.pgm",
        "image_id": "mdb001",
        "patient_id": "1",
        "exam_id": "1",
        "view": "MLO",
        "laterality": "R",
        "findings": "CIRC|CIRC B",
        "regions": '[{"finding": "CIRC", "box": [338, 402, 394, 394]}, '
        '{"finding": "CIRC B", "box": [338, 402, 394, 394]}]',
        "tissue": "G",
        "severity": "B",
    }
    assert rows[1] == {
        "image": "mdb002.pgm",
        "image_id": "mdb002",
        "patient_id": "1",
        "exam_id": "1",
        "view": "MLO",
        "laterality": "L",
        "findings": "",
        "tissue": "D",
    }
    assert rows[2]["findings"] == "CIRC|CIRC B|SPIC|SPIC M"
    assert rows[2]["severity"] == "B; M"
    assert '{"finding": "SPIC", "box": [0, 0, 60, 64]}' in rows[2]["regions"]
    assert (rows[3]["findings"], "regions" in rows[3]) == ("CALC|CALC M", False)
    assert (rows[4]["findings"], rows[4]["patient_id"]) == ("MISC|MISC B", "5")


@pytest.mark.parametrize(
    "place", ["2000 100 5", "a b c", "10 20", "² 20 5", pytest.param(f"{'9' * 5_000} 20 5", id="5,000 digits")]
)
def test_a_place_that_is_none_on_the_film_is_refused(tmp_path: Path, place: str) -> None:
    write(tmp_path, f"mdb001 G CIRC B {place}\n")

    error = refused("mias", tmp_path)

    assert (error.field, error.value) == ("x", "row 1")


def test_a_note_in_place_of_a_place_is_no_error(tmp_path: Path) -> None:
    write(tmp_path, "mdb001 G CIRC B *NOTE3*\n")

    (row,) = read("mias", tmp_path).rows

    assert (row["findings"], "regions" in row) == ("CIRC|CIRC B", False)


@pytest.mark.parametrize("content", ["", "reference,tissue\n1,G\n"])
def test_another_text_is_no_list_of_films(tmp_path: Path, content: str) -> None:
    write(tmp_path, content)

    assert "no list of films" in refused("mias", tmp_path).detail
