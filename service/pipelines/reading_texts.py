"""What a worker's child finds out of how dissectors read the texts of a concept set, without any job."""

from collections.abc import Callable
from uuid import UUID

import torch

from service.db.resources import get_resource
from service.db.session import Sessions, transaction
from service.db.text_embeddings import keep_texts
from service.db.text_readings import TextReading, open_readings, save_reading
from service.domain.concepts import ConceptSet
from service.domain.manifests import CutText
from service.domain.prompts import Prompts, texts_digest, texts_of
from service.domain.resources import Resource
from service.domain.specs import dissector_place
from service.engine.concept_texts import cut_texts
from service.engine.prompting import embed_concept_set
from service.errors import DissectError, JobCancelled, Unavailable
from service.files import DataRoots
from service.pipelines.keys import device_name
from service.pipelines.network_cache import NetworkCache
from service.pipelines.prepare import dissector_spec
from service.usecases.resources import concept_set_of


class ConceptReadings:
    """Has dissectors read concept sets: which texts each cuts, and the embeddings by which texts are near."""

    def __init__(self, sessions: Sessions, roots: DataRoots, networks: NetworkCache, device: torch.device) -> None:
        self._sessions = sessions
        self._roots = roots
        self._networks = networks
        self._device = device

    def read(self, concept_set_id: UUID, report_progress: Callable[[int], None]) -> None:
        """Every reading of a concept set that is asked for. What keeps a dissector from its own is noted there.

        Raises Unavailable, and what `report_progress` raises.
        """
        with transaction(self._sessions) as session:
            concept_set = concept_set_of(get_resource(session, concept_set_id))
            dissectors = [get_resource(session, each) for each in open_readings(session, concept_set_id)]

        for dissector in dissectors:
            report_progress(0)
            try:
                reading = TextReading(self._cut_texts(concept_set, dissector), None)
            except (JobCancelled, Unavailable):
                raise
            except DissectError as error:
                reading = TextReading(None, error.as_problem())
            with transaction(self._sessions) as session:
                save_reading(session, concept_set_id, dissector.id, reading)

    def _cut_texts(self, concept_set: ConceptSet, resource: Resource) -> list[CutText]:
        """The texts that are cut; the embeddings are kept."""
        dissector = self._networks.dissector(dissector_spec(resource, self._roots))
        registered = dissector_place(resource).get("prompts")
        prompts = None if registered is None else Prompts.from_dict(registered)

        embeddings = embed_concept_set(dissector, concept_set, prompts).cpu().numpy()
        texts = texts_digest(concept_set.digest, registered)
        with transaction(self._sessions) as session:
            keep_texts(session, dissector.digest, texts, device_name(self._device), embeddings)
        return cut_texts(dissector, [text for _, text in texts_of(concept_set, prompts)])
