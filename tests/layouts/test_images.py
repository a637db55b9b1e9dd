"""Image files that are found below another root."""

from pathlib import Path

from service.files import ANYWHERE
from service.layouts.images import ImageFolder
from service.layouts.notes import Notes
from tests.layouts.data_sets import write_images


def test_as_much_of_a_path_as_there_is_counts_whatever_was_found_before(tmp_path: Path) -> None:
    write_images(tmp_path, "2.png", "1.png", "x/1.png")
    images = ImageFolder(tmp_path, ANYWHERE, Notes())

    assert images.find_rerooted("/old/deep/2.png") == tmp_path / "2.png"
    assert images.find_rerooted("/old/x/1.png") == tmp_path / "x/1.png"
    assert images.find_rerooted("/old/y/1.png") == tmp_path / "1.png"


def test_a_path_is_found_in_the_folders_where_it_may_begin(tmp_path: Path) -> None:
    write_images(tmp_path, "set/case/1.dcm", "other/1.dcm")
    images = ImageFolder(tmp_path, ANYWHERE, Notes())

    assert images.find_rerooted("/old/case/1.dcm", below=("", "set/"), fewest_parts=2) == tmp_path / "set/case/1.dcm"
    assert images.find_rerooted("/old/1.dcm", below=("", "other/"), fewest_parts=2) is None
