"""RSNA Screening Mammography: one row per image; patients, but no exams; the only finding is `cancer`."""

from collections.abc import Iterable

from service.layouts.images import DescribedImage, DescribedImages
from service.layouts.source import Layout, Source
from service.layouts.tables import TableShape
from service.layouts.values import age_band_of, category_of, density_of, whole

_FOLDERS = ("train_images/", "test_images/", "images/", "")


def read(source: Source) -> Iterable[DescribedImage]:
    """Every image. Where the column `cancer` is filled, it says whether the finding `cancer` is there."""
    images = DescribedImages()
    for row in source.rows("images"):
        patient, image_id = whole(row.need("patient_id")), whole(row.need("image_id"))
        places = [f"{folder}{patient}/{image_id}.dcm" for folder in _FOLDERS]
        flat = [f"{folder}{patient}_{image_id}.dcm" for folder in _FOLDERS]
        path = source.images.find((*places, *flat))
        if path is None:
            source.lacks(row)
            continue

        image = images.of(path)
        image.say(row, image_id=image_id, patient_id=patient, view=row.get("view"), laterality=row.get("laterality"))
        cancer = row.flag("cancer")
        if cancer is not None:
            image.find(["cancer"] if cancer else [])

        image.stratum_of("density", row.get("density"), density_of)
        image.stratum_of("birads", row.get("BIRADS"), category_of)
        image.stratum_of("age_band", row.get("age"), age_band_of)
        machine = row.get("machine_id")
        image.stratum("device", None if machine is None else whole(machine))
        image.others_of(row)

    source.check_missing("train_images/<patient_id>/<image_id>.dcm")
    return images


LAYOUT = Layout(
    name="rsna",
    title="RSNA Screening Mammography Breast Cancer Detection",
    read=read,
    shapes=(
        TableShape(
            "images", ("train", "test"), ("patient_id", "image_id", "laterality", "view", "machine_id"), many=True
        ),
    ),
)
