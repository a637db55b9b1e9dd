"""How a dissector reads the texts of a concept set: what it cuts, and which ones it hardly tells apart."""

from collections.abc import Iterator

from service.concepts.lint import Remark, of_cut_texts, of_near_embeddings
from service.concepts.near_texts import near_pairs
from service.domain.concepts import ConceptSet
from service.domain.models import DissectorSpec
from service.engine.concept_texts import cut_texts
from service.engine.dissectors import open_dissector
from service.engine.networks.protocols import choose_device
from service.engine.scoring import embed_texts


def remarks_by_reading(spec: DissectorSpec, concept_set: ConceptSet, device: str) -> Iterator[Remark]:
    """Remarks on the concepts' texts as they stand, without prompts. Raises the errors of `open_dissector`."""
    dissector = open_dissector(spec, choose_device(device))
    yield from of_cut_texts(
        (cut["text"], cut["tokens"], cut["read"]) for cut in cut_texts(dissector, concept_set.texts)
    )

    embeddings = embed_texts(dissector, concept_set.texts).cpu().numpy()
    yield from of_near_embeddings(near_pairs(concept_set.texts, embeddings))
