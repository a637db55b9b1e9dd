from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier

import cv2
import numpy as np
import pytest

from service.domain.preprocessing import MAMMO_CLIP, Preprocessing
from service.domain.probes import PatchGrid, ProbeSet
from service.engine.probing.batches import image_batches
from service.errors import UnreadableImage
from service.probes.images import open_images
from service.probes.measuring import read_patches
from tests.probes.dicom_files import film, write_crashing_dicom, write_dicom

SMALL = Preprocessing(height=8, width=8, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4))
TALL = Preprocessing(
    height=20, width=12, mean=MAMMO_CLIP.mean, std=MAMMO_CLIP.std, crop_to_breast=True, scale="min_max"
)


def probe_set(folder: Path, patches: PatchGrid | None = None, images: int = 4) -> ProbeSet:
    """DICOM and PNG images in turn, named by number."""
    names = []
    for number in range(images):
        pixels = film(12, 40, 30, seed=number)
        names.append(f"{number}.{'png' if number % 2 else 'dcm'}")
        if number % 2:
            cv2.imwrite(str(folder / names[-1]), pixels)
        else:
            write_dicom(folder / names[-1], pixels, bits=12)
    (folder / "m.csv").write_text("\n".join(["image", *names]), encoding="utf-8")
    return read_patches(folder / "m.csv", name="p", patches=patches)


@pytest.mark.parametrize("patches", [None, PatchGrid(16, 8)])
def test_one_array_for_each_contract_and_the_same_each_time(tmp_path: Path, patches: PatchGrid | None) -> None:
    probe = probe_set(tmp_path, patches)
    images = open_images(probe)
    assert tuple(images.items) == probe.items
    for index in range(len(probe.items)):
        small, tall = images.load(index, [SMALL, TALL])
        assert (small.shape, tall.shape) == ((3, 8, 8), (3, 20, 12))
        assert small.dtype == tall.dtype == np.float32
        again = open_images(probe).load(index, [TALL, SMALL])
        assert again[0].tobytes() == tall.tobytes()
        assert again[1].tobytes() == small.tobytes()


def test_patches_show_their_place_in_the_image(tmp_path: Path) -> None:
    contract = Preprocessing(16, 16, mean=(0.0,) * 3, std=(1.0,) * 3, resize="none")
    pixels = np.arange(40 * 30, dtype=np.uint16).reshape(40, 30) % 256
    cv2.imwrite(str(tmp_path / "a.png"), pixels.astype(np.uint8))
    (tmp_path / "m.csv").write_text("image\na.png\n", encoding="utf-8")
    images = open_images(read_patches(tmp_path / "m.csv", name="p", patches=PatchGrid(16, 10)))
    for index, item in enumerate(images.items):
        assert item.box is not None
        expected = pixels[item.box.top : item.box.top + 16, item.box.left : item.box.left + 16]
        np.testing.assert_allclose(images.load(index, [contract])[0][1] * 255, expected, atol=1e-3)


@pytest.mark.parametrize("patches", [None, PatchGrid(16, 8)])
@pytest.mark.parametrize("cache_bytes", [0, 40 * 30, 1 << 20])
def test_threads_get_the_arrays_that_one_thread_gets(
    tmp_path: Path, patches: PatchGrid | None, cache_bytes: int
) -> None:
    probe = probe_set(tmp_path, patches)
    alone = open_images(probe)
    expected = [alone.load(index, [SMALL, TALL]) for index in range(len(probe.items))]
    shared = open_images(probe, cache_bytes=cache_bytes)
    order = np.random.default_rng(0).permutation(np.repeat(np.arange(len(probe.items)), 4))
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda index: shared.load(int(index), [SMALL, TALL]), order))
    for index, arrays in zip(order, results, strict=True):
        for array, wanted in zip(arrays, expected[index], strict=True):
            assert array.tobytes() == wanted.tobytes()


def test_patches_of_one_image_decode_it_once(tmp_path: Path) -> None:
    probe = probe_set(tmp_path, PatchGrid(16, 8), images=1)
    images = open_images(probe)
    first = images.load(0, [SMALL])
    probe.items[0].path.unlink()  # a second decoding would have to fail
    assert images.load(0, [SMALL])[0].tobytes() == first[0].tobytes()
    assert len({images.load(index, [SMALL])[0].tobytes() for index in range(len(probe.items))}) == len(probe.items)


def test_the_image_used_longest_ago_makes_room(tmp_path: Path) -> None:
    probe = probe_set(tmp_path, PatchGrid(30, 30), images=3)
    first, second, third = (
        next(index for index, item in enumerate(probe.items) if item.row == row) for row in (1, 2, 3)
    )
    images = open_images(probe, cache_bytes=2 * 40 * 30)
    for index in (first, second, first, third):
        images.load(index, [SMALL])
    for row in {item.path for item in probe.items}:
        row.unlink()
    images.load(first, [SMALL])
    images.load(third, [SMALL])
    with pytest.raises(UnreadableImage, match="row 2"):
        images.load(second, [SMALL])


def test_an_unreadable_image_fails_for_every_thread_and_again_later(tmp_path: Path) -> None:
    probe = probe_set(tmp_path, PatchGrid(16, 8), images=1)
    probe.items[0].path.write_bytes(b"no image any more")
    images = open_images(probe)
    together = Barrier(4)

    def load(index: int) -> str:
        together.wait()
        with pytest.raises(UnreadableImage) as caught:
            images.load(index, [SMALL])
        return caught.value.detail

    with ThreadPoolExecutor(4) as pool:
        details = set(pool.map(load, range(4)))
    assert len(details) == 1
    assert "row 1" in details.pop()
    write_dicom(probe.items[0].path, film(12, 40, 30), bits=12)
    assert images.load(0, [SMALL])[0].shape == (3, 8, 8)


def test_an_image_that_crashes_its_decoder_is_skipped_and_the_next_one_is_shown(tmp_path: Path) -> None:
    probe = probe_set(tmp_path)
    write_crashing_dicom(probe.items[2].path)
    batches = image_batches(open_images(probe), SMALL, SMALL, span=range(4), batch_size=8, on_unreadable="skip")
    assert [(batch.indices, batch.skipped) for batch in batches] == [((0, 1, 3), (2,))]


def test_an_image_that_crashes_its_decoder_fails_the_job_with_its_row(tmp_path: Path) -> None:
    probe = probe_set(tmp_path)
    write_crashing_dicom(probe.items[2].path)
    with pytest.raises(UnreadableImage, match="The image of manifest row 3 cannot be read: the decoder crashed"):
        open_images(probe).load(2, [SMALL])


@pytest.mark.parametrize("patches", [None, PatchGrid(16, 8)])
def test_each_network_sees_the_window_that_its_contract_names(tmp_path: Path, patches: PatchGrid | None) -> None:
    write_dicom(tmp_path / "a.dcm", film(12, 40, 30), bits=12, WindowCenter=1000, WindowWidth=500)
    (tmp_path / "m.csv").write_text("image\na.dcm\n", encoding="utf-8")
    probe = read_patches(tmp_path / "m.csv", name="p", patches=patches)
    windowed = replace(SMALL, window="voi")
    stored_first, windowed_then = open_images(probe).load(0, [SMALL, windowed])
    assert not np.array_equal(stored_first, windowed_then)
    np.testing.assert_array_equal(open_images(probe).load(0, [SMALL])[0], stored_first)
    np.testing.assert_array_equal(open_images(probe).load(0, [windowed])[0], windowed_then)
