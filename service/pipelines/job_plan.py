"""Everything a work item's computation must know of its job, read from the database once for many items."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from uuid import UUID

from service.concepts.findings import matches_in
from service.db.jobs import parts_of
from service.db.session import Sessions, expect_pause, transaction
from service.domain.checks import Reason, rows_of
from service.domain.concepts import ConceptSet
from service.domain.findings import FindingMatches
from service.domain.jobs import JobRequest
from service.domain.manifests import SourceEntry
from service.domain.models import DissectorSpec, TargetSpec
from service.domain.probes import ProbeSet
from service.domain.resources import Resource
from service.domain.specs import checked_with, probe_set_spec, where_of
from service.engine.networks.protocols import Target
from service.engine.networks.recorded.matching import Match, match_rows
from service.engine.probing.shards import shard_spans
from service.errors import NotMeasured
from service.files import DataRoots
from service.pipelines.prepare import dissector_spec, keep_sizes_of
from service.pipelines.targets import source_of, target_of
from service.probes.checking.look import is_unreadable
from service.usecases.checks import check_of, unreadable_images
from service.usecases.jobs import find_job
from service.usecases.probe_sets import listed_probe_set, registered_part, stored_listing, with_patches
from service.usecases.resources import concept_set_of

_JOBS_KEPT = 4


@dataclass(frozen=True)
class JobPlan:
    """A job with its parts resolved.

    replay_of: the job that this one computes again; it must not find that job's artifacts.
    source: where the target's weights came from, where they were fetched.
    """

    job_id: UUID
    request: JobRequest
    target: TargetSpec
    dissector: DissectorSpec
    probe_set: ProbeSet
    checked_set_id: UUID
    concept_set: ConceptSet
    replay_of: UUID | None
    source: SourceEntry | None

    @cached_property
    def shards(self) -> list[range]:
        """The probe items of each shard."""
        return shard_spans(len(self.probe_set.items), self.request.shard_size)

    def match_of(self, target: Target) -> Match | None:
        """The rows of the probe set's items in a target that is a table: found once, as the items may be a million.

        Raises what `match_rows` raises.
        """
        if target.recorded is not None and not self._matches:
            self._matches.append(match_rows(target.recorded, self.probe_set.items))
        return self._matches[0] if self._matches else None

    @cached_property
    def _matches(self) -> list[Match]:
        return []

    @cached_property
    def findings(self) -> FindingMatches | None:
        """What the findings of the probe set mean among the concepts; None where nothing is known of any image."""
        return matches_in(self.concept_set, self.probe_set)


class JobPlans:
    """The plans of the jobs that were worked on last.

    roots: what their files must lie in. fetched_files: the folder of fetched ones. packages: see `TargetSpec`.
    """

    def __init__(
        self, sessions: Sessions, roots: DataRoots, fetched_files: Path, packages: tuple[str, ...] = ()
    ) -> None:
        self._sessions = sessions
        self._roots = roots
        self._fetched_files = fetched_files
        self._packages = packages
        self._plans: OrderedDict[UUID, JobPlan] = OrderedDict()

    def of(self, job_id: UUID, report_progress: Callable[[int], None]) -> JobPlan:
        """The job's plan. report_progress: may raise JobCancelled where that takes long.

        Raises DigestMismatch where a file behind it has changed since it was registered, Conflict where the probe set
        cannot be cut into patches, and what measuring the images raises where that is still to be done.
        """
        if job_id not in self._plans:
            self._plans[job_id] = self._read(job_id, report_progress)

        self._plans.move_to_end(job_id)

        while len(self._plans) > _JOBS_KEPT:
            self._plans.popitem(last=False)
        return self._plans[job_id]

    def _read(self, job_id: UUID, report_progress: Callable[[int], None]) -> JobPlan:
        with transaction(self._sessions) as session:
            job = find_job(session, job_id)
            parts = parts_of(session, job_id)

        probe_set = self._probe_set(parts.probe_set, report_progress)

        return JobPlan(
            job_id=job_id,
            request=job.request,
            target=target_of(
                parts.target,
                self._roots,
                self._fetched_files,
                shuffled=job.request.options.shuffled,
                packages=self._packages,
            ),
            source=source_of(parts.target),
            dissector=dissector_spec(parts.dissector, self._roots),
            probe_set=probe_set,
            checked_set_id=checked_with(parts.probe_set),
            concept_set=concept_set_of(parts.concept_set),
            replay_of=job.replay_of,
        )

    def _probe_set(self, resource: Resource, report_progress: Callable[[int], None]) -> ProbeSet:
        with transaction(self._sessions) as session:
            listing = stored_listing(session, resource)
        listed = listed_probe_set(resource, self._roots, listing=listing)
        self._check_readable(resource, listed)
        try:
            return self._cut(resource, listed)
        except NotMeasured:  # an earlier release, which kept no sizes, has begun the job
            keep_sizes_of(self._sessions, resource, self._roots, lambda _: report_progress(0))
            return self._cut(resource, listed)

    def _check_readable(self, resource: Resource, listed: ProbeSet) -> None:
        """Raise UnreadableImage, with all rows, where the set's check has found what would end the job sooner or later.

        Images that were mended since are no reason.
        """
        if listed.on_unreadable == "skip":
            return
        with transaction(self._sessions) as session:
            check = check_of(session, checked_with(resource))
        if check is None:
            return

        unreadable_rows = {row["row"] for row in rows_of(check, Reason.UNREADABLE)}
        items = [item for item in registered_part(listed, resource).items if item.row in unreadable_rows]
        among = {item.row for item in items} if where_of(probe_set_spec(resource)) else None
        error = unreadable_images(resource.reference, check, among)
        if error is not None and any(is_unreadable(item, self._roots, listed.frames) for item in items):
            raise error

    def _cut(self, resource: Resource, listed: ProbeSet) -> ProbeSet:
        with transaction(self._sessions) as session:
            expect_pause(session)  # the patches may be many
            return with_patches(session, resource, listed)
