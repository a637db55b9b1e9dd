"""The report on a dissection that no server made: its pictures are drawn from the images here and now."""

from pathlib import Path

from service.domain.concepts import ConceptSet
from service.domain.manifests import contract_of, entries_of
from service.domain.neurons import Dissection
from service.domain.preprocessing import MAMMO_CLIP, Preprocessing
from service.domain.probes import ProbeSet
from service.domain.table_targets import AS_IT_IS
from service.reports.dissection import dissection_html
from service.reports.provenance import Provenance
from service.reports.thumbnails import Thumbnails
from service.usecases.reports import sum_up


def write_report(
    provenance: Provenance, dissection: Dissection, concept_set: ConceptSet, probe_set: ProbeSet, path: Path
) -> None:
    """Write the report on a dissection that no server made, as one HTML file."""
    report = sum_up(provenance, dissection.layers, concept_set, dissection.evidence)
    contract = contract_of(provenance.manifest) or _usual_contract(provenance)
    thumbnails = Thumbnails(probe_set, contract)
    path.write_text(dissection_html(report, thumbnails), "utf-8")


def _usual_contract(provenance: Provenance) -> Preprocessing:
    return AS_IT_IS if "table" in entries_of(provenance.manifest, "target") else MAMMO_CLIP
