"""CSAW-CC."""

from pathlib import Path

from tests.layouts.data_sets import columns, read, write_images, write_table

HEADER = columns(
    "anon_patientid exam_year x_age x_case x_cancer_laterality rad_timing imagelaterality viewposition "
    "libra_percentdensity anon_filename"
)


def test_cancer_is_a_finding_where_and_when_it_was_detected(tmp_path: Path) -> None:
    names = ["1_L_CC.dcm", "1_R_CC.dcm", "2_L_CC.dcm", "3_L_MLO.dcm", "4_L_CC.dcm"]
    write_images(tmp_path, *(f"images/{name}" for name in names))
    write_table(
        tmp_path / "CSAW-CC_breast_cancer_screening_data.csv",
        [
            HEADER,
            ["1", "2013", "55", "1", "Left", "1", "Left", "CC", "25.0", names[0]],
            ["1", "2013", "55", "1", "Left", "1", "Right", "CC", "20.0", names[1]],
            ["2", "2011", "1", "1", "Left", "3", "Left", "CC", "", names[2]],
            ["3", "2012", "2", "0", "", "", "Left", "MLO", "", names[3]],
            ["4", "2012", "", "1", "", "1", "Left", "CC", "", names[4]],
        ],
    )

    rows = read("csaw-cc", tmp_path).rows

    assert rows[0] == {
        "image": "images/1_L_CC.dcm",
        "image_id": "1_L_CC",
        "patient_id": "1",
        "exam_id": "1-2013",
        "view": "CC",
        "laterality": "L",
        "findings": "cancer",
        "age_band": "50-59",
        "exam_year": "2013",
        "x_case": "1",
        "x_cancer_laterality": "Left",
        "rad_timing": "1",
        "libra_percentdensity": "25.0",
    }
    assert [row.get("findings") for row in rows] == ["cancer", "", None, "", None]
    assert (rows[2]["x_age"], rows[2]["rad_timing"]) == ("1", "3")
