"""The report on a dissection that no server made: its pictures are drawn from the images here and now."""

from pathlib import Path

from service.domain.concepts import ConceptSet
from service.domain.manifests import contract_of
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
    contract = contract_of(provenance.manifest) or MAMMO_CLIP
    thumbnails = Thumbnails(probe_set, contract)
    path.write_text(dissection_html(report, thumbnails), "utf-8")
