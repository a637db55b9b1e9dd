"""CDD-CESM."""

import json
from pathlib import Path

import pytest

from tests.layouts.data_sets import read, refused, write_images, write_table

HEADER = [
    *("Image_name", "Patient_ID", "Side", "Type", "Age", "Breast density (ACR)", "BIRADS", "Findings", "View", "Tags"),
    *("Machine", "Pathology Classification/ Follow up"),
]
LESION = ["P1_L_DM_CC", "1", "L", "DM", "57", "C", "4$2", "Mass  with $Benign scar ", "CC", "suspicious mass, scar"]
NORMAL = ["P2_R_CM_MLO", "2", "R", "CM", "47", "_", "1", "Normal", "MLO", "normal"]
LOW, SUBTRACTED = "Low energy images of CDD-CESM/P1_L_DM_CC.jpg", "Subtracted images of CDD-CESM/P2_R_CM_MLO.jpg"


def write(folder: Path) -> None:
    write_table(
        folder / "Radiology-manual-annotations.csv", [HEADER, [*LESION, "1", "Malignant"], [*NORMAL, "2", "Normal"]]
    )
    write_images(folder, LOW, SUBTRACTED)


def test_dollars_part_findings_and_tags_are_findings_too(tmp_path: Path) -> None:
    write(tmp_path)

    assert read("cdd-cesm", tmp_path).rows == [
        {
            "image": LOW,
            "image_id": "P1_L_DM_CC",
            "patient_id": "1",
            "view": "CC",
            "laterality": "L",
            "text": "Mass with. Benign scar",
            "findings": "Mass with|Benign scar|suspicious mass|scar",
            "density": "C",
            "birads": "4",
            "age_band": "50-59",
            "device": "1",
            "BIRADS": "4$2",
            "Type": "DM",
            "Pathology Classification/ Follow up": "Malignant",
        },
        {
            "image": SUBTRACTED,
            "image_id": "P2_R_CM_MLO",
            "patient_id": "2",
            "view": "MLO",
            "laterality": "R",
            "text": "Normal",
            "findings": "",
            "birads": "1",
            "age_band": "40-49",
            "device": "2",
            "Type": "CM",
            "Pathology Classification/ Follow up": "Normal",
        },
    ]


def test_paths_and_masks_that_the_table_names(tmp_path: Path) -> None:
    write_images(tmp_path, "images/P1_L_DM_CC.jpg", "masks/P1_L_DM_CC.jpg")
    write_table(
        tmp_path / "labels.csv",
        [
            ["path", "mask_path", *HEADER],
            ["images/P1_L_DM_CC.jpg", "masks/P1_L_DM_CC.jpg", *LESION, "1", "Malignant"],
        ],
    )

    (row,) = read("cdd-cesm", tmp_path).rows

    assert row["image"] == "images/P1_L_DM_CC.jpg"
    assert row["regions"] == '[{"finding": "lesion", "mask": "masks/P1_L_DM_CC.jpg"}]'


@pytest.mark.parametrize(
    ("shape", "box"),
    [
        ({"name": "polygon", "all_points_x": [5, 9, 7], "all_points_y": [1, 2, 8]}, [5, 1, 5, 8]),
        ({"name": "rect", "x": 5, "y": 6, "width": 7, "height": 8}, [5, 6, 7, 8]),
        ({"name": "circle", "cx": 10, "cy": 20, "r": 4.5}, [5, 15, 10, 10]),
        ({"name": "ellipse", "cx": 10, "cy": 20, "rx": 2, "ry": 4}, [8, 16, 4, 8]),
    ],
)
def test_outlines_become_boxes(tmp_path: Path, shape: dict[str, object], box: list[int]) -> None:
    write(tmp_path)
    (tmp_path / "Radiology_hand_drawn_segmentations_v2.jsonl").write_text(
        json.dumps({"#filename": "P1_L_DM_CC.jpg", "region_shape_attributes": json.dumps(shape)})
    )

    assert json.loads(read("cdd-cesm", tmp_path).rows[0]["regions"]) == [{"finding": "lesion", "box": box}]


@pytest.mark.parametrize("shape", ["{}", "[]", "no json", '{"cx": 1, "cy": 2, "r": -3}', '{"all_points_x": []}'])
def test_an_outline_that_is_none_is_refused(tmp_path: Path, shape: str) -> None:
    write(tmp_path)
    (tmp_path / "Radiology_hand_drawn_segmentations_v2.jsonl").write_text(
        json.dumps({"#filename": "P1_L_DM_CC.jpg", "region_shape_attributes": shape})
    )

    assert refused("cdd-cesm", tmp_path).value == "row 1"
