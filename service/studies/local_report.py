"""The report on a dissection that no server made: its pictures are drawn from the images here and now."""

from dataclasses import replace
from pathlib import Path

from service.domain.concepts import ConceptSet
from service.domain.json_values import JsonObject
from service.domain.manifests import entries_of
from service.domain.neurons import Dissection
from service.domain.preprocessing import MAMMO_CLIP
from service.domain.probes import ProbeSet
from service.reports.dissection import dissection_html
from service.reports.provenance import Provenance
from service.reports.thumbnails import Thumbnails
from service.usecases.reports import sum_up


def write_report(
    provenance: Provenance, dissection: Dissection, concept_set: ConceptSet, probe_set: ProbeSet, path: Path
) -> None:
    """Write the report on a dissection that no server made, as one HTML file."""
    report = sum_up(provenance, dissection.layers, concept_set, dissection.evidence)
    contract = replace(MAMMO_CLIP, crop_to_breast=_sees_breast_only(provenance.manifest))
    thumbnails = Thumbnails(probe_set, contract)
    path.write_text(dissection_html(report, thumbnails), "utf-8")


def _sees_breast_only(manifest: JsonObject) -> bool:
    """Whether the target of a dissection is shown DICOM images cut to the breast."""
    contract = entries_of(manifest, "target").get("preprocessing")
    return bool(contract == MAMMO_CLIP.digest())
