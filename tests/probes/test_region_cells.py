"""The column `regions` of a manifest."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from service.domain.probes import Box, FindingRegion
from service.errors import InvalidManifest
from service.probes.manifest import read_manifest
from service.probes.region_cells import read_regions


def write(folder: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    (folder / "a.png").write_bytes(b"an image")
    (folder / "mask.png").write_bytes(b"a mask")
    manifest = folder / "manifest.jsonl"
    manifest.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return manifest


def test_boxes_and_masks_reach_the_item(tmp_path: Path) -> None:
    regions = '[{"finding": "mass", "box": [1, 2, 30, 40]}, {"finding": "Mass ", "mask": "mask.png"}]'
    manifest = write(tmp_path, [{"image": "a.png", "findings": "mass", "regions": regions}])

    (item,) = read_manifest(manifest, name="probes").items

    assert item.regions == (
        FindingRegion("Mass", box=Box(1, 2, 30, 40)),
        FindingRegion("Mass", mask=tmp_path / "mask.png"),
    )
    assert item.findings == frozenset({"Mass"})
    assert item.strata == {}


def test_a_list_in_json_is_the_same_as_its_text(tmp_path: Path) -> None:
    listed = [{"finding": "mäss", "box": [1, 2, 30, 40]}]
    text = read_manifest(
        write(tmp_path, [{"image": "a.png", "regions": json.dumps(listed, ensure_ascii=False)}]), name="p"
    )
    row: dict[str, object] = {"image": "a.png", "regions": listed}

    assert read_manifest(write(tmp_path, [row]), name="p") == text
    assert text.items[0].regions == (FindingRegion("mäss", box=Box(1, 2, 30, 40)),)


def test_rows_of_one_image_unite_their_regions(tmp_path: Path) -> None:
    def row(left: int) -> dict[str, str]:
        regions = json.dumps([{"finding": "mass", "box": [left, 0, 5, 5]}])
        return {"image": "a.png", "findings": "mass", "regions": regions}

    probe_set = read_manifest(write(tmp_path, [row(1), row(2), row(1)]), name="probes")

    (item,) = probe_set.items
    assert [region.box for region in item.regions] == [Box(1, 0, 5, 5), Box(2, 0, 5, 5)]
    assert probe_set.merged_rows == 2


def test_regions_are_part_of_the_digest_and_their_absence_is_not(tmp_path: Path) -> None:
    plain = read_manifest(write(tmp_path, [{"image": "a.png"}]), name="probes").digest
    empty = read_manifest(write(tmp_path, [{"image": "a.png", "regions": ""}]), name="probes").digest
    box = '[{"finding": "mass", "box": [0, 0, 5, 5]}]'
    with_box = read_manifest(write(tmp_path, [{"image": "a.png", "regions": box}]), name="probes").digest

    assert plain == empty
    assert plain != with_box


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("[", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ('{"finding": "mass"}', "not a list"),
        ('["mass"]', "need a finding"),
        ('[{"finding": "mass"}]', "need a finding"),
        ('[{"finding": "mass", "box": [0, 0, 5, 5], "mask": "m.png"}]', "need a finding"),
        ('[{"finding": " ", "box": [0, 0, 5, 5]}]', "finding that is not a text"),
        ('[{"finding": 3, "box": [0, 0, 5, 5]}]', "finding that is not a text"),
        ('[{"finding": "mass", "box": [0, 0, 5]}]', "four whole numbers"),
        ('[{"finding": "mass", "box": [0, 0, 5.5, 5]}]', "four whole numbers"),
        ('[{"finding": "mass", "box": [true, 0, 5, 5]}]', "four whole numbers"),
        ('[{"finding": "mass", "box": [0, 0, NaN, 5]}]', "four whole numbers"),
        ('[{"finding": "mass", "box": [-1, 0, 5, 5]}]', "begins before the image"),
        ('[{"finding": "mass", "box": [0, 0, 0, 5]}]', "is empty"),
        ('[{"finding": "mass", "box": [0, 0, 5, 2000000]}]', "beyond any image"),
        ('[{"finding": "mass", "mask": ""}]', "mask that is not a path"),
        ('[{"finding": "mass", "mask": 7}]', "mask that is not a path"),
        ("[" + ",".join(['{"finding": "mass", "box": [0, 0, 5, 5]}'] * 1_001) + "]", "more than 1,000"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_row(text: str, what: str) -> None:
    with pytest.raises(InvalidManifest, match=what) as refused:
        read_regions(text, Path("/probes"), 7)

    assert (refused.value.field, refused.value.value) == ("regions", "row 7")


def test_a_mask_that_is_not_there_is_refused_with_its_row(tmp_path: Path) -> None:
    regions = '[{"finding": "mass", "mask": "other.png"}]'
    manifest = write(tmp_path, [{"image": "a.png", "regions": regions}])

    with pytest.raises(InvalidManifest, match="The mask of row 1 does not exist") as refused:
        read_manifest(manifest, name="probes")

    assert refused.value.field == "regions"
