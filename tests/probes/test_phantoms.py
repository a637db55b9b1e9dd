"""Phantoms: deterministic, independent of each other, and true to their ground truth."""

import csv
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from service.errors import InvalidInput
from service.probes.images import open_images
from service.probes.manifest import read_manifest
from service.probes.phantoms import DEFAULT_SIZE, FINDINGS, Phantom, generate, generate_range, write_phantoms
from service.probes.phantoms.lesions import Lesion
from service.probes.phantoms.parallel import generate_in_processes

SIZE = (256, 160)
SERIES = 3


@pytest.fixture(scope="module")
def phantoms() -> list[Phantom]:
    return list(generate_range(SERIES, 0, 160, SIZE))


def with_finding(phantoms: list[Phantom], kind: str) -> list[tuple[Phantom, Lesion]]:
    found = [(one, lesion) for one in phantoms for lesion in one.lesions if lesion.abnormality.kind == kind]
    assert found, f"no {kind} in the series"
    return found


def inside(phantom: Phantom, lesion: Lesion) -> NDArray[np.uint8]:
    box = lesion.box
    return phantom.pixels[box.top : box.top + box.height, box.left : box.left + box.width]


def test_same_seed_and_index_give_the_same_phantom_whatever_else_is_made() -> None:
    alone = generate(5, 7, SIZE)
    in_company = list(generate_range(5, 4, 9, SIZE))[3]
    assert np.array_equal(alone.pixels, in_company.pixels)
    assert (alone.report, alone.findings, alone.lesions) == (
        in_company.report,
        in_company.findings,
        in_company.lesions,
    )


def test_processes_draw_the_same_series_in_order() -> None:
    drawn = list(generate_in_processes(5, 70, (128, 80)))
    assert [one.image_id for one in drawn] == [f"phantom-5-{index:06d}" for index in range(70)]
    for index in (0, 15, 16, 69):
        assert np.array_equal(drawn[index].pixels, generate(5, index, (128, 80)).pixels)


def test_other_seeds_and_indices_give_other_pictures() -> None:
    pictures = [generate(seed, index, SIZE).pixels.tobytes() for seed in (1, 2) for index in range(4)]
    assert len(set(pictures)) == 8


def test_four_images_are_one_exam_in_standard_order() -> None:
    exam = list(generate_range(SERIES, 8, 12, SIZE))
    assert [(one.laterality, one.view) for one in exam] == [("R", "CC"), ("L", "CC"), ("R", "MLO"), ("L", "MLO")]
    assert len({one.patient_id for one in exam}) == len({one.exam_id for one in exam}) == 1
    assert len({one.density for one in exam}) == 1
    assert generate(SERIES, 12, SIZE).patient_id != exam[0].patient_id


def test_both_views_of_a_breast_show_the_same_findings_but_for_the_axilla(phantoms: list[Phantom]) -> None:
    for first in range(0, len(phantoms), 4):
        for side in (0, 1):
            craniocaudal, oblique = phantoms[first + side], phantoms[first + side + 2]
            assert craniocaudal.findings == oblique.findings - {"lymph node"}


def test_pixels_are_8_bit_with_a_black_background_and_a_breast(phantoms: list[Phantom]) -> None:
    for phantom in phantoms:
        assert phantom.pixels.dtype == np.uint8
        assert phantom.pixels.shape == SIZE
        assert 0.1 < (phantom.pixels == 0).mean() < 0.8


def test_the_chest_wall_is_on_the_left_of_left_breasts_and_on_the_right_of_right_ones(phantoms: list[Phantom]) -> None:
    for phantom in phantoms:
        left, right = phantom.pixels[:, :8].mean(), phantom.pixels[:, -8:].mean()
        assert (left > right) == (phantom.laterality == "L")


def test_denser_breasts_are_brighter_on_average(phantoms: list[Phantom]) -> None:
    craniocaudal = [one for one in phantoms if one.view == "CC" and "implant" not in one.findings]
    means = [
        np.mean([one.pixels[one.pixels > 0].mean() for one in craniocaudal if one.density == density])
        for density in "ABCD"
    ]
    assert means == sorted(means)


def test_findings_are_known_names_and_every_name_occurs(phantoms: list[Phantom]) -> None:
    seen = set().union(*(one.findings for one in phantoms))
    assert seen == set(FINDINGS)
    assert len(set(FINDINGS)) == len(FINDINGS)


def test_boxes_lie_inside_the_image(phantoms: list[Phantom]) -> None:
    for phantom in phantoms:
        for lesion in phantom.lesions:
            box = lesion.box
            assert box.left >= 0
            assert box.top >= 0
            assert box.left + box.width <= SIZE[1]
            assert box.top + box.height <= SIZE[0]


def test_calcifications_are_brighter_than_their_neighbourhood() -> None:
    for phantom in generate_range(SERIES, 0, 60, DEFAULT_SIZE):
        for lesion in phantom.lesions:
            if lesion.abnormality.kind != "calcifications" or "implant" in phantom.findings:
                continue
            here, around = [], []
            for x, y in lesion.points:
                patch = phantom.pixels[max(y - 7, 0) : y + 8, max(x - 7, 0) : x + 8]
                here.append(phantom.pixels[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2].max())
                around.append(np.median(patch))
            assert np.mean(here) > np.mean(around) + 4, lesion


def test_a_clip_is_almost_white(phantoms: list[Phantom]) -> None:
    for phantom, lesion in with_finding(phantoms, "surgical clip"):
        assert inside(phantom, lesion).max() > 225


def test_an_implant_fills_its_box_with_white(phantoms: list[Phantom]) -> None:
    for phantom, lesion in with_finding(phantoms, "implant"):
        assert np.median(inside(phantom, lesion)) > 175
        plain = next(one for one in phantoms if one.view == phantom.view and "implant" not in one.findings)
        assert np.percentile(plain.pixels, 85) < np.percentile(phantom.pixels, 85)


def test_masses_are_brighter_than_fat(phantoms: list[Phantom]) -> None:
    for phantom, lesion in with_finding(phantoms, "mass"):
        box = lesion.box
        y, x = box.top + box.height // 2, box.left + box.width // 2
        breast = phantom.pixels[phantom.pixels > 0]
        assert phantom.pixels[y - 2 : y + 3, x - 2 : x + 3].mean() > np.percentile(breast, 40)


def test_skin_is_brighter_where_it_is_thickened(phantoms: list[Phantom]) -> None:
    def skin(phantom: Phantom) -> float:
        rows = phantom.pixels if phantom.laterality == "L" else phantom.pixels[:, ::-1]
        middle = rows[int(rows.shape[0] * 0.4) : int(rows.shape[0] * 0.6)]
        bands = []
        for row in middle:
            edge = int(np.flatnonzero(row > 12)[-1]) if (row > 12).any() else 0
            bands.append(row[max(edge - 5, 0) : max(edge - 1, 1)].mean())
        return float(np.median(bands))

    craniocaudal = [one for one in phantoms if one.view == "CC" and "nipple retraction" not in one.findings]
    thick = [skin(one) for one in craniocaudal if "skin thickening" in one.findings]
    thin = [skin(one) for one in craniocaudal if "skin thickening" not in one.findings]
    assert np.mean(thick) > np.mean(thin) + 10


def test_the_report_names_what_is_there(phantoms: list[Phantom]) -> None:
    words = {
        "mass": ("mass",),
        "calcifications": ("calcifications",),
        "architectural distortion": ("distortion",),
        "asymmetry": ("asymmetr",),
        "skin thickening": ("thicken",),
        "nipple retraction": ("retract",),
        "lymph node": ("lymph node",),
        "implant": ("implant",),
        "surgical clip": ("clip",),
        "almost entirely fatty": ("fatty",),
        "scattered fibroglandular densities": ("scattered",),
        "heterogeneously dense": ("heterogeneously dense",),
        "extremely dense": ("extremely dense",),
        "spiculated mass": ("spiculated",),
        "irregular mass": ("irregular", "third"),
        "fine linear calcifications": ("fine linear",),
    }
    for phantom in phantoms:
        for finding in phantom.findings & set(words):
            assert any(word in phantom.report.lower() for word in words[finding]), (finding, phantom.report)
        assert "{" not in phantom.report
        assert not any(f" a {vowel}" in phantom.report for vowel in "aeio")


def test_reports_of_normal_breasts_name_no_lesion(phantoms: list[Phantom]) -> None:
    normal = [one for one in phantoms if not one.lesions]
    assert normal
    for phantom in normal:
        lowered = phantom.report.lower()
        assert "clip" not in lowered
        assert "spiculated" not in lowered


def test_reports_are_worded_in_many_ways(phantoms: list[Phantom]) -> None:
    assert len({one.report for one in phantoms}) > 100


def test_the_manifest_reads_back_as_a_probe_set(tmp_path: Path) -> None:
    manifest = write_phantoms(tmp_path / "set", count=6, seed=11, size=SIZE)
    probe_set = read_manifest(manifest, name="phantoms")
    expected = list(generate_range(11, 0, 6, SIZE))
    assert [item.image_id for item in probe_set.items] == [one.image_id for one in expected]
    assert [item.findings for item in probe_set.items] == [one.findings for one in expected]
    assert [item.text for item in probe_set.items] == [one.report for one in expected]
    assert [item.patient_id for item in probe_set.items] == [one.patient_id for one in expected]
    assert probe_set.items[1].strata["density"] == expected[1].density
    assert open_images(probe_set).items == probe_set.items


def test_writing_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    first = write_phantoms(tmp_path / "a", count=3, seed=11, size=SIZE)
    second = write_phantoms(tmp_path / "b", count=5, seed=11, size=SIZE)
    with first.open() as file:
        names = [row["image"] for row in csv.DictReader(file)]
    for name in names:
        assert (first.parent / name).read_bytes() == (second.parent / name).read_bytes()


@pytest.mark.parametrize(("count", "size", "field"), [(0, SIZE, "count"), (3, (32, 160), "size")])
def test_impossible_requests_name_their_field(tmp_path: Path, count: int, size: tuple[int, int], field: str) -> None:
    with pytest.raises(InvalidInput) as error:
        write_phantoms(tmp_path, count=count, seed=1, size=size)
    assert error.value.field == field
