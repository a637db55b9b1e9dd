"""The scoring context of a job, kept from one of its layers to the next."""

from collections.abc import Callable, Sequence
from uuid import UUID

from torch import Tensor

from service.engine.evidence.scoring_context import ScoringContext
from service.engine.probing.shards import StoredShard, gather_embeddings
from service.pipelines.job_plan import JobPlan
from service.pipelines.shown_items import shown_items

ReportProgress = Callable[[int], None]


class KeptContext:
    """What the layers of a job are scored with, as long as items of that job come one after the other.

    Much follows from the images alone: which belong together, what the dissector sees, what fits by chance. It is
    worked out for the first layer that a worker scores, and no longer for each.
    """

    def __init__(self) -> None:
        self._kept: tuple[UUID, tuple[str, ...]] | None = None
        self._context: ScoringContext | None = None
        self._shards: Sequence[StoredShard] = ()
        self._report_progress: ReportProgress = _to_nobody

    def of(
        self,
        plan: JobPlan,
        digests: Sequence[str],
        shards: Sequence[StoredShard],
        texts: Callable[[], Tensor],
        report_progress: ReportProgress,
    ) -> ScoringContext:
        """The job's context, which reads from these shards and tells this item's progress.

        digests: SHA-256 of each shard. texts: called for the concepts' embeddings, on the device that scores, where
        there is no context of these shards yet.
        """
        # Those of an earlier item may be gone: an object store's local copies are.
        self._shards, self._report_progress = shards, report_progress

        asked = (plan.job_id, tuple(digests))
        if self._context is None or self._kept != asked:
            self.forget()
            self._context, self._kept = self._made(plan, texts()), asked
        return self._context

    def forget(self) -> None:
        """Give the memory back."""
        self._kept = self._context = None

    def _made(self, plan: JobPlan, texts: Tensor) -> ScoringContext:
        return ScoringContext(
            concept_set=plan.concept_set,
            concept_embeddings=texts,
            items=shown_items(plan, self._shards),
            read_embeddings=lambda positions: gather_embeddings(self._shards, positions),
            options=plan.request.options,
            finding_of_concept={} if plan.findings is None else plan.findings.of_concept,
            check_cancelled=lambda: self._report_progress(0),
            independent=plan.probe_set.independent,
            every_activation=all(shard.has_every_activation for shard in self._shards if shard.layers),
        )


def _to_nobody(_done: int) -> None:
    """Before the first item."""
