"""Manifests and images are regular files below the roots, at every reading and not only at the first."""

import errno
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import cv2
import pytest

from service.concepts.must_have import read_must_have
from service.concepts.parse import read_concept_set
from service.domain.preprocessing import MAMMO_CLIP
from service.domain.probes import ImagePlace, PatchGrid
from service.errors import (
    DissectError,
    FileOutOfReach,
    ImageChanged,
    InvalidConceptSet,
    InvalidInput,
    InvalidManifest,
    UnreadableImage,
)
from service.files import DataRoots, WrittenMeanwhile
from service.probes import image_file
from service.probes.decoders.pool import DecoderPool
from service.probes.images import open_images
from service.probes.manifest import read_manifest, with_digests
from service.probes.measuring import measure, read_patches
from service.reports.evidence_map import read_mapping
from service.reports.thumbnails import Thumbnails
from tests.probes.dicom_files import film
from tests.probes.test_images import SMALL

pytestmark = pytest.mark.timeout(20)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    write(folder / "0.png")
    (folder / "m.csv").write_text("image\n0.png\n")
    return folder


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    write(tmp_path / "outside.png")
    return tmp_path / "outside.png"


def write(path: Path) -> None:
    cv2.imwrite(str(path), film(8, 40, 30, seed=1))


def odd_files(folder: Path, name: str) -> Iterator[Path]:
    """Things that are not regular files, one after another under the same name."""
    path = folder / name
    os.mkfifo(path)
    yield path
    path.unlink()
    path.symlink_to("/dev/zero")
    yield path
    path.unlink()
    path.mkdir()
    yield path


@pytest.mark.parametrize("ending", ["csv", "json", "jsonl"])
def test_a_manifest_that_is_no_file_is_refused_at_once(tmp_path: Path, ending: str) -> None:
    for path in odd_files(tmp_path, f"m.{ending}"):
        with pytest.raises(InvalidManifest, match="it is not a regular file"):
            read_manifest(path, name="p")


@pytest.mark.parametrize("patches", [None, PatchGrid(16, 8)])
def test_an_image_that_is_no_file_is_refused_with_its_row(root: Path, patches: PatchGrid | None) -> None:
    (root / "m.csv").write_text("image\n0.png\n1.png\n")
    for _ in odd_files(root, "1.png"):
        with pytest.raises(InvalidManifest, match="row 2 is not a regular file"):
            read_manifest(root / "m.csv", name="p", patches=patches)


def test_an_image_that_becomes_a_fifo_is_unreadable_and_holds_nobody(root: Path) -> None:
    images = open_images(read_manifest(root / "m.csv", name="p"))
    (root / "0.png").unlink()
    os.mkfifo(root / "0.png")
    with pytest.raises(UnreadableImage, match="row 1 cannot be read: it is not a regular file"):
        images.load(0, [SMALL])
    assert with_digests(images.items)[0].sha256 is None


def test_what_else_is_named_must_be_a_file(tmp_path: Path) -> None:
    for path in odd_files(tmp_path, "concepts.txt"):
        with pytest.raises(InvalidConceptSet, match="it is not a regular file"):
            read_concept_set(path)
        with pytest.raises(InvalidConceptSet, match="it is not a regular file"):
            read_must_have(path)
        with pytest.raises(InvalidInput, match="it is not a regular file"):
            read_mapping(path)


def test_a_manifest_outside_the_roots_is_refused(root: Path, tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("image\nroot/0.png\n")
    (root / "link.csv").symlink_to(tmp_path / "m.csv")
    for path in (tmp_path / "m.csv", root / "link.csv"):
        with pytest.raises(InvalidManifest, match="outside the folders"):
            read_manifest(path, name="p", roots=DataRoots.of([root]))


def test_an_image_outside_the_roots_is_refused_whether_it_is_there_or_not(root: Path, outside: Path) -> None:
    (root / "link.png").symlink_to(outside)
    (root / "nothing.png").symlink_to(outside.with_name("nothing.png"))
    for name in (str(outside), "../outside.png", "../nothing.png", "link.png", "nothing.png"):
        (root / "m.csv").write_text(f"image\n{name}\n")
        with pytest.raises(InvalidManifest, match="row 1 lies outside the data roots"):
            read_manifest(root / "m.csv", name="p", roots=DataRoots.of([root]))


@pytest.mark.parametrize("patches", [None, PatchGrid(16, 8)])
def test_a_link_that_was_made_later_shows_nothing_from_outside(
    root: Path, outside: Path, patches: PatchGrid | None
) -> None:
    probe_set = read_patches(
        root / "m.csv", name="p", patches=patches, on_unreadable="skip", roots=DataRoots.of([root])
    )
    images, thumbnails = open_images(probe_set), Thumbnails(probe_set, MAMMO_CLIP)
    shown = ImagePlace(row=1, box=None)
    assert thumbnails(shown) is not None

    (root / "0.png").unlink()
    (root / "0.png").symlink_to(outside)
    with pytest.raises(UnreadableImage, match="row 1 cannot be read: it lies outside the data roots"):
        images.load(0, [SMALL])
    with pytest.raises(UnreadableImage, match="row 1 lies outside the data roots"):
        with_digests(probe_set.items, probe_set.roots)
    assert Thumbnails(probe_set, MAMMO_CLIP)(shown) is None


def test_every_error_of_a_file_has_a_remedy(root: Path) -> None:
    (root / "m.csv").write_text("image\n../x.png\n")
    with pytest.raises(DissectError) as refused:
        read_manifest(root / "m.csv", name="p", roots=DataRoots.of([root]))
    assert refused.value.remedy


@pytest.fixture
def no_more_files() -> Iterator[Callable[[], None]]:
    """From its call on, this process may open no further file."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken: list[int] = []

    def forbid() -> None:
        highest = max(int(entry.name) for entry in Path("/proc/self/fd").iterdir())
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, before[1]))
        with suppress(OSError):
            while True:
                taken.append(os.dup(0))

    yield forbid
    for descriptor in taken:
        os.close(descriptor)
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.parametrize("patches", [None, PatchGrid(16, 8)])
def test_a_machine_without_descriptors_blames_no_image(
    root: Path, patches: PatchGrid | None, no_more_files: Callable[[], None]
) -> None:
    probe_set = read_patches(root / "m.csv", name="p", patches=patches, on_unreadable="skip")
    images = open_images(probe_set)
    readings: list[Callable[[], object]] = [
        lambda: images.load(0, [SMALL]),
        lambda: measure(probe_set),
        lambda: with_digests(probe_set.items),
        lambda: read_manifest(root / "m.csv", name="p"),
        lambda: Thumbnails(probe_set, MAMMO_CLIP)(ImagePlace(row=1, box=None)),
    ]
    no_more_files()
    for read in readings:
        with pytest.raises(FileOutOfReach, match="Too many open files"):
            read()


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENOMEM, errno.ENFILE])
def test_a_disk_that_fails_when_an_image_is_opened_blames_no_image(
    root: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = open_images(read_manifest(root / "m.csv", name="p", on_unreadable="skip"))

    def fail(*_: object) -> object:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(DataRoots, "_place", fail)
    with pytest.raises(FileOutOfReach, match="row 1 cannot be read now"):
        images.load(0, [SMALL])
    with pytest.raises(FileOutOfReach, match="row 1 cannot be read now"):
        with_digests(images.items)


def test_a_disk_that_fails_while_an_image_is_read_blames_no_image(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def open_memory(*_: object, **__: object) -> BinaryIO:
        return Path("/proc/self/mem").open("rb")

    images = open_images(read_manifest(root / "m.csv", name="p", on_unreadable="skip"))
    monkeypatch.setattr(DataRoots, "open", open_memory)
    with pytest.raises(FileOutOfReach, match="row 1 cannot be read now: Input/output error"):
        images.load(0, [SMALL])


def test_an_image_that_has_gone_is_unreadable_and_has_no_digest(root: Path) -> None:
    images = open_images(read_manifest(root / "m.csv", name="p"))
    for target in ("nothing.png", "m.csv/below a file", "0.png"):
        (root / "0.png").unlink()
        (root / "0.png").symlink_to(target)
        with pytest.raises(UnreadableImage, match="row 1 cannot be read: the file is missing"):
            images.load(0, [SMALL])
        assert with_digests(images.items)[0].sha256 is None


def settled(path: Path) -> None:
    """As if it had been written long ago, as far as that can be done."""
    os.utime(path, (1_000_000_000, 1_000_000_000))


def overwrite(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    settled(path)


def replace_with(path: Path, content: bytes) -> None:
    other = path.with_suffix(".new")
    overwrite(other, content)
    other.replace(path)


@pytest.fixture
def any_age(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let versions count whatever their age, as those of files that were written long ago."""
    monkeypatch.setattr(image_file, "_SETTLED_NS", -(10**18))


@pytest.mark.parametrize("change", [overwrite, replace_with])
@pytest.mark.parametrize("patches", [None, PatchGrid(16, 8)])
@pytest.mark.usefixtures("any_age")
def test_an_image_that_was_swapped_after_it_was_digested_is_not_shown(
    root: Path, outside: Path, patches: PatchGrid | None, change: Callable[[Path, bytes], None]
) -> None:
    cv2.imwrite(str(outside), film(8, 40, 30, seed=2))
    before = (root / "0.png").read_bytes()
    settled(root / "0.png")
    probe_set = read_patches(root / "m.csv", name="p", patches=patches, on_unreadable="skip")
    digested = replace(probe_set, items=with_digests(probe_set.items))
    assert digested.items[0].version is not None
    images, thumbnails = open_images(digested, digested=True), Thumbnails(digested, MAMMO_CLIP)

    change(root / "0.png", outside.read_bytes())
    with pytest.raises(ImageChanged, match="row 1 changed"):
        images.load(0, [SMALL])
    assert thumbnails(ImagePlace(row=1, box=None)) is None

    change(root / "0.png", before)
    images.load(0, [SMALL])
    assert thumbnails(ImagePlace(row=1, box=None)) is not None


@pytest.mark.usefixtures("any_age")
def test_an_image_of_a_known_version_is_not_hashed_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    probe_set = read_manifest(root / "m.csv", name="p")
    digested = replace(probe_set, items=with_digests(probe_set.items))
    monkeypatch.setattr(image_file, "digest_of_open_file", None)
    open_images(digested, digested=True).load(0, [SMALL])


def test_a_file_that_was_written_just_now_has_no_version(root: Path) -> None:
    [item] = with_digests(read_manifest(root / "m.csv", name="p").items)
    assert item.sha256 is not None
    assert item.version is None


def test_an_image_that_is_written_to_while_it_is_decoded_is_not_shown(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    probe_set = read_manifest(root / "m.csv", name="p")
    digested = replace(probe_set, items=with_digests(probe_set.items))

    def cut_short_and_decode(pool: DecoderPool, file: BinaryIO, **options: bool) -> object:
        os.truncate(root / "0.png", 40)
        return pool.size(file) and decode_image(pool, file, **options)

    decode_image = DecoderPool.image
    monkeypatch.setattr(DecoderPool, "image", cut_short_and_decode)
    with pytest.raises(ImageChanged, match="row 1 changed"):
        open_images(digested, digested=True).load(0, [SMALL])


def test_an_image_that_appears_after_the_others_were_digested_is_not_shown(root: Path) -> None:
    probe_set = read_manifest(root / "m.csv", name="p")
    (root / "0.png").rename(root / "kept.png")
    digested = replace(probe_set, items=with_digests(probe_set.items))
    (root / "kept.png").rename(root / "0.png")
    with pytest.raises(UnreadableImage, match="row 1 cannot be read: its file was not there"):
        open_images(digested, digested=True).load(0, [SMALL])


def test_an_image_that_is_being_written_to_has_no_digest_yet(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write_meanwhile(_: object) -> str:
        raise WrittenMeanwhile

    monkeypatch.setattr(image_file, "digest_of_open_file", write_meanwhile)
    with pytest.raises(ImageChanged, match="row 1 changed"):
        with_digests(read_manifest(root / "m.csv", name="p").items)


def test_a_giant_file_is_no_image(root: Path) -> None:
    probe_set = read_manifest(root / "m.csv", name="p", on_unreadable="skip")
    os.truncate(root / "0.png", (2 << 30) + 1)
    with pytest.raises(InvalidManifest, match="row 1 is a file of more than 2,147,483,648 bytes"):
        read_manifest(root / "m.csv", name="p")
    assert with_digests(probe_set.items)[0].sha256 is None
    with pytest.raises(UnreadableImage, match="row 1 cannot be read: it is larger than 2,147,483,648 bytes"):
        open_images(probe_set).load(0, [SMALL])
