"""Files that callers name are regular, inside the roots, and the same from the first byte to the last."""

import errno
import io
import os
import socket
import stat
from functools import partial
from pathlib import Path

import pytest

from service.config import Settings
from service.domain import digests
from service.domain.digests import (
    TooManyFiles,
    digest_of_directory,
    digest_of_file,
    digest_of_open_file,
    digests_in_directory,
)
from service.errors import InvalidInput
from service.files import (
    ANYWHERE,
    DataRoots,
    FileVersion,
    NotRegular,
    OutsideRoots,
    TooLarge,
    WrittenMeanwhile,
    data_roots,
    is_lasting,
    written_whole,
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


def test_a_file_below_a_root_is_read(root: Path) -> None:
    (root / "weights").write_bytes(b"abc")
    with DataRoots.of([root]).open(root / "weights") as file:
        assert file.read() == b"abc"


@pytest.mark.parametrize(
    ("error", "lasting"),
    [
        (FileNotFoundError(errno.ENOENT, "gone"), True),
        (OSError("a library calls the file truncated"), True),
        (NotRegular(), True),
        (OSError(errno.EIO, "disk"), False),
        (OSError(errno.EMFILE, "descriptors"), False),
    ],
)
def test_trouble_of_the_machine_may_pass(error: OSError, lasting: bool) -> None:
    assert is_lasting(error) is lasting


@pytest.mark.timeout(10)
@pytest.mark.parametrize("kind", ["fifo", "device", "folder", "socket"])
def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "thing"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    else:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(path))
    with pytest.raises(NotRegular):
        ANYWHERE.open(path)


@pytest.mark.timeout(10)
def test_a_file_of_holes_is_as_large_as_it_claims(root: Path) -> None:
    with (root / "holes").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(TooLarge, match="larger than 1,000 bytes"):
        digest_of_file(root / "holes", most=1000)


def test_a_file_may_have_as_many_bytes_as_are_allowed(root: Path) -> None:
    (root / "weights").write_bytes(b"abc")
    with ANYWHERE.open(root / "weights", most=3) as file:
        assert file.read() == b"abc"
    with pytest.raises(TooLarge, match="larger than 2 bytes"):
        ANYWHERE.open(root / "weights", most=2)


@pytest.mark.timeout(10)
def test_no_file_is_larger_than_the_setting_allows(root: Path) -> None:
    roots = data_roots(Settings(data_roots=str(root), max_file_gb=2))
    with (root / "holes").open("wb") as file:
        file.truncate(8 << 40)
    for read in (roots.open, partial(digest_of_file, roots=roots), partial(digest_of_file, roots=roots, most=9 << 40)):
        with pytest.raises(TooLarge, match=r"it has 8,192\.0 GB, and MAX_FILE_GB allows 2\.0"):
            read(root / "holes")


@pytest.mark.timeout(10)
def test_the_files_of_a_folder_count_together(root: Path) -> None:
    roots = DataRoots.of([root], most=5)
    for name in ("a", "b"):
        (root / name).write_bytes(b"abc")
    with pytest.raises(TooLarge):
        digest_of_directory(root, roots)
    (root / "b").write_bytes(b"b")
    assert digest_of_directory(root, roots) == digest_of_directory(root)


def test_a_link_that_leads_out_of_the_roots_is_refused_when_it_is_opened(root: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").write_bytes(b"secret")
    (root / "link").symlink_to(tmp_path / "outside")
    with pytest.raises(OutsideRoots):
        DataRoots.of([root]).open(root / "link")


def test_a_folder_that_has_become_a_link_is_refused(root: Path, tmp_path: Path) -> None:
    (root / "inner").mkdir()
    (root / "inner" / "image").write_bytes(b"inside")
    roots = DataRoots.of([root])
    (root / "inner").rename(tmp_path / "moved")
    (root / "inner").symlink_to(tmp_path / "moved")
    with pytest.raises(OutsideRoots):
        roots.open(root / "inner" / "image")


def test_what_was_opened_stays_what_it_was_when_the_name_is_given_to_another_file(root: Path) -> None:
    (root / "weights").write_bytes(b"first")
    (root / "other").write_bytes(b"second")
    expected = digest_of_file(root / "weights")
    with ANYWHERE.open(root / "weights") as file:
        (root / "other").replace(root / "weights")
        assert digest_of_open_file(file) == expected


def test_writing_to_an_open_file_changes_its_version(root: Path) -> None:
    path = root / "weights"
    path.write_bytes(b"first")
    with ANYWHERE.open(path) as file:
        before = FileVersion.of(file)
        assert FileVersion.of(file) == before
        path.write_bytes(b"second")
        assert FileVersion.of(file) != before


def test_a_directory_is_digested_by_its_files(root: Path) -> None:
    (root / "deep" / "er").mkdir(parents=True)
    for name in ("a", "deep/er/b"):
        (root / name).write_text(name)
    (root / "link").symlink_to("a")
    (root / "around").symlink_to(".")
    found = digests_in_directory(root)
    assert sorted(found) == ["a", "deep/er/b", "link"]
    assert found["link"] == found["a"] == digest_of_file(root / "a")
    assert digest_of_directory(root) == digest_of_directory(root / "around")


@pytest.mark.timeout(10)
@pytest.mark.parametrize("kind", ["fifo", "device", "link out", "link to nothing", "outside"])
def test_a_directory_with_anything_else_in_it_is_refused_at_once(root: Path, kind: str) -> None:
    roots, thing = DataRoots.of([root]), root / "folder" / "thing"
    thing.parent.mkdir()
    match kind:
        case "fifo":
            os.mkfifo(thing)
        case "device":
            thing.symlink_to("/dev/zero")
        case "link out":
            (root / "secret").touch()
            thing.symlink_to("../secret")
        case "link to nothing":
            thing.symlink_to("nothing")
        case _:
            roots = DataRoots.of([thing.parent / "other"])
    with pytest.raises(OSError, match=r"not a regular file|outside the folders|No such file"):
        digest_of_directory(root / "folder", roots)


def test_a_directory_without_end_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digests, "_MOST_FILES", 20)
    for number in range(21):
        (root / f"{number}").mkdir()
    with pytest.raises(TooManyFiles, match="more than 20"):
        digest_of_directory(root)


def test_what_lies_outside_is_answered_like_what_is_not_there(root: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "closed").mkdir()
    roots = DataRoots.of([root])
    for name in ("fifo", "closed", "closed/file", "nothing", "nothing/at/all", "root/../nothing"):
        for look in (roots.open, roots.look):
            with pytest.raises(OutsideRoots):
                look(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        roots.look(root / "nothing")


def test_a_folder_whose_name_begins_like_a_root_is_none(root: Path) -> None:
    beside = root.with_name("root-of-others")
    beside.mkdir()
    (beside / "image").write_bytes(b"theirs")
    with pytest.raises(OutsideRoots):
        DataRoots.of([root]).open(beside / "image")
    with DataRoots.of([Path("/")]).open(beside / "image") as file:
        assert file.read() == b"theirs"


def test_a_small_file_is_read_up_to_its_bound(root: Path) -> None:
    (root / "key").write_bytes(b"abc")
    assert ANYWHERE.read(root / "key", most=3) == b"abc"
    with pytest.raises(TooLarge):
        ANYWHERE.read(root / "key", most=2)


def test_a_file_that_grows_for_ever_has_no_digest(root: Path) -> None:
    path = root / "weights"
    path.write_bytes(b"abc")

    class Growing(io.FileIO):
        """A file to which more is written before each look at it than the look takes."""

        def read(self, size: int | None = -1, /) -> bytes:
            with path.open("ab") as writer:
                writer.write(bytes(1 << 16))
            return super().read(size)

    with Growing(path) as file, pytest.raises(WrittenMeanwhile):
        digest_of_open_file(file)


def test_another_link_to_a_file_does_not_keep_it_from_being_read(root: Path) -> None:
    (root / "weights").write_bytes(b"abc")
    expected = digest_of_file(root / "weights")
    with ANYWHERE.open(root / "weights") as file:
        (root / "other").hardlink_to(root / "weights")
        assert digest_of_open_file(file) == expected


@pytest.mark.parametrize("value", ["", " ", ":", " : "])
def test_data_roots_must_be_set(value: str) -> None:
    with pytest.raises(InvalidInput, match="DATA_ROOTS is not set") as refused:
        data_roots(Settings(data_roots=value))
    assert "DATA_ROOTS=/" in str(refused.value.remedy)


def test_data_roots_are_absolute_and_may_be_several(root: Path) -> None:
    assert data_roots(Settings(data_roots=f"{root}: /:")).paths == (root.resolve(), Path("/"))
    with pytest.raises(InvalidInput, match="'images', which is not an absolute path"):
        data_roots(Settings(data_roots=f"{root}:images"))


@pytest.mark.parametrize(("mode", "expected"), [(None, 0o644), (0o600, 0o600)])
def test_a_file_written_whole_takes_the_place_of_the_old_one(root: Path, mode: int | None, expected: int) -> None:
    path = root / ("n" * 255)  # the longest name that there is
    path.write_bytes(b"old")
    before = os.umask(0o022)
    try:
        with written_whole(path, mode=mode) as unfinished:
            unfinished.write_bytes(b"new")
            assert path.read_bytes() == b"old"
    finally:
        os.umask(before)
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == expected
    assert list(root.iterdir()) == [path]


@pytest.mark.parametrize("mode", [None, 0o600])
def test_what_fails_on_its_way_to_a_file_leaves_nothing(root: Path, mode: int | None) -> None:
    path = root / "report.json"
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), written_whole(path, mode=mode) as unfinished:  # noqa: PT012
        unfinished.write_bytes(b"half")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"old"
    assert list(root.iterdir()) == [path]


@pytest.mark.parametrize("place", ["report.json/below", "nowhere/report.json", "."])
def test_a_place_that_nothing_can_be_written_to_is_an_error_of_the_system(root: Path, place: str) -> None:
    (root / "report.json").write_bytes(b"old")
    with pytest.raises(OSError), written_whole(root / place) as unfinished:  # noqa: PT011
        unfinished.write_bytes(b"new")
    assert list(root.iterdir()) == [root / "report.json"]
