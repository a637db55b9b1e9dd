"""What a worker's child finds out for searches: where a text or an image lies in a dissector's space."""

from collections.abc import Callable
from uuid import UUID

import torch
from torch import Tensor

from service.db.resources import get_resource
from service.db.search_vectors import open_search_vectors, save_search_vector
from service.db.session import Sessions, transaction
from service.db.work import finished_shards
from service.domain.concepts import Concept, ConceptSet
from service.domain.prompts import Prompts
from service.domain.resources import Resource
from service.domain.search import SearchKind
from service.domain.specs import dissector_place
from service.engine.probing.shards import StoredShard
from service.engine.prompting import embed_concept_set
from service.errors import Conflict, DissectError, JobCancelled, NotFound, Unavailable
from service.files import DataRoots
from service.pipelines.artifacts import Artifacts
from service.pipelines.job_plan import JobPlans
from service.pipelines.network_cache import NetworkCache
from service.pipelines.prepare import dissector_spec


class SearchVectors:
    """Reads texts by their dissector, and images from the shards of their job."""

    def __init__(
        self, sessions: Sessions, roots: DataRoots, artifacts: Artifacts, networks: NetworkCache, plans: JobPlans
    ) -> None:
        self._sessions = sessions
        self._roots = roots
        self._artifacts = artifacts
        self._networks = networks
        self._plans = plans

    def find(self, dissector_id: UUID, report_progress: Callable[[int], None]) -> None:
        """Everything that is asked for in a dissector's space. What keeps one from being read is noted there.

        Raises Unavailable, and what `report_progress` raises.
        """
        with transaction(self._sessions) as session:
            dissector = get_resource(session, dissector_id)
            asked = open_search_vectors(session, dissector_id)

        for kind, query in asked:
            report_progress(0)
            try:
                embedding = self._read(dissector, kind, query, report_progress)
            except (JobCancelled, Unavailable):
                raise
            except DissectError as error:
                with transaction(self._sessions) as session:
                    save_search_vector(session, dissector_id, kind, query, error.as_problem())
            else:
                with transaction(self._sessions) as session:
                    save_search_vector(session, dissector_id, kind, query, embedding.float().cpu().numpy())

    def _read(
        self, dissector: Resource, kind: SearchKind, query: str, report_progress: Callable[[int], None]
    ) -> Tensor:
        if kind is SearchKind.TEXT:
            return self._text(dissector, query)
        job_id, _, row = query.partition("/")
        return self._image(UUID(job_id), int(row), report_progress)

    def _text(self, dissector: Resource, text: str) -> Tensor:
        """As the dissector reads the text of a concept, with the prompts that it was registered with."""
        registered = dissector_place(dissector).get("prompts")
        prompts = None if registered is None else Prompts.from_dict(registered)
        alone = ConceptSet("search", (Concept(text, "", "", True),))
        return embed_concept_set(self._networks.dissector(dissector_spec(dissector, self._roots)), alone, prompts)[0]

    def _image(self, job_id: UUID, row: int, report_progress: Callable[[int], None]) -> Tensor:
        """The mean embedding of what the job showed of the image: it may be cut into frames or patches."""
        plan = self._plans.of(job_id, report_progress)
        with transaction(self._sessions) as session:
            shards = finished_shards(session, job_id)

        embeddings = []
        for shard, span in zip(shards, plan.shards, strict=True):
            positions = {position for position, item in enumerate(span) if plan.probe_set.items[item].row == row}
            if not positions:
                continue

            artifact = self._artifacts.find(job_id, shard.result["key"], kind="shard")
            if artifact is None:
                raise _no_shard(job_id)
            stored = StoredShard(artifact.path)
            rows = [index for index, position in enumerate(stored.used) if position in positions]
            if rows:
                embeddings.append(stored[torch.tensor(rows)])

        if not embeddings:
            raise NotFound(
                f"Job {job_id} has shown no image of manifest row {row}.",
                field="image",
                value=f"{job_id}/{row}",
                remedy="Give a row of the job's probe set that can be read; top images of neurons have their rows.",
            )
        return torch.cat(embeddings).mean(dim=0)


def _no_shard(job_id: UUID) -> Conflict:
    return Conflict(
        f"What job {job_id} has kept of its images was deleted.",
        field="image",
        value=str(job_id),
        remedy=f"POST /jobs/{job_id}/replay makes a job that has it; or search by a neuron that the image excites.",
    )
