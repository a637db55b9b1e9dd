"""A folder of DICOM files: no table, all that is known of an image is in its header."""

from collections.abc import Iterable

from service.layouts.dicom_files import dicom_images
from service.layouts.images import DescribedImage
from service.layouts.source import ImageHeader, Layout, Source


def read(source: Source) -> Iterable[DescribedImage]:
    """Every DICOM image below the folder, in the order of the paths."""
    for path, header in dicom_images(source.images.root, source):
        image = DescribedImage(path)
        image.identify(
            image_id=header.image_id,
            exam_id=header.exam_id,
            patient_id=header.patient_id,
            view=header.view,
            laterality=header.laterality,
        )
        for name, value in header.strata.items():
            image.stratum(name, value)
        _note_unknown(source, header)
        yield image


def _note_unknown(source: Source, header: ImageHeader) -> None:
    if header.patient_id is None and header.exam_id is None:
        source.notes.tally("image(s) name neither patient nor exam, and count as independent")
    elif header.patient_id is None:
        source.notes.tally("image(s) name no patient")
    if header.view is None or header.laterality is None:
        source.notes.tally("image(s) do not say view and side")


LAYOUT = Layout(name="dicom-folder", title="a folder of DICOM files", read=read, needs_headers=True, pseudonymised=True)
