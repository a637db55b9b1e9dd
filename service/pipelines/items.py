"""What a worker's child does with an item: whose it is, and what computes it."""

from collections.abc import Callable

from service.config import Settings
from service.db.session import Sessions, open_sessions
from service.domain.jobs import Stage
from service.domain.json_values import JsonObject
from service.domain.work import AblationLease, AnyLease, PictureLease, Preparation, PreparationLease
from service.engine.networks.protocols import choose_device
from service.files import data_roots
from service.pipelines.ablations import AblationRunner
from service.pipelines.artifacts import Artifacts
from service.pipelines.dissections import DissectionWork
from service.pipelines.drawings import DrawingRunner
from service.pipelines.job_plan import JobPlans
from service.pipelines.kept_context import KeptContext
from service.pipelines.listing import list_images
from service.pipelines.network_cache import NetworkCache
from service.pipelines.prepare import ProbeSetChecks, inspect, measure_probe_set
from service.pipelines.reading_texts import ConceptReadings
from service.pipelines.search_vectors import SearchVectors
from service.sources.cache import cache_folder
from service.storage import open_store

ReportProgress = Callable[[int], None]


def open_runner(settings: Settings) -> "DissectionRunner":
    """The runner of real dissections. Raises InvalidInput for settings that cannot be used."""
    return DissectionRunner(settings, open_sessions(settings.database_url, pool_size=1))


class DissectionRunner:
    """See `ItemRunner`. It changes no job: what it stores is addressed by content, so a repetition does no harm."""

    def __init__(self, settings: Settings, sessions: Sessions) -> None:
        self._sessions = sessions
        self._artifacts = Artifacts(self._sessions, open_store(settings.artifacts_url))
        self._device = choose_device(settings.device)
        self.networks = NetworkCache(self._device, settings.model_cache_mb << 20)
        self._roots = data_roots(settings)
        self._fetched_files = cache_folder(settings)
        self._packages = settings.architecture_packages_named
        self._most_activations = settings.activations_gb << 30
        self._kept_context = KeptContext()
        self._checks = ProbeSetChecks(self._sessions, self._roots)
        self._plans = JobPlans(self._sessions, self._roots, self._fetched_files, self._packages)
        parts = (self._sessions, self._artifacts, self.networks, self._plans, self._device)
        self._ablations = AblationRunner(*parts)
        self._drawings = DrawingRunner(*parts)

    def run(self, lease: AnyLease, report_progress: ReportProgress, /) -> JsonObject:
        """See `ItemRunner.run`."""
        if isinstance(lease, PreparationLease):
            return self._prepare(lease, report_progress)
        if isinstance(lease, AblationLease):
            return self._ablations.run(lease, report_progress)
        if isinstance(lease, PictureLease):
            return self._drawings.run(lease, report_progress)

        plan = self._plans.of(lease.job_id, report_progress)
        work = DissectionWork(
            self._sessions,
            self._artifacts,
            self.networks,
            self._device,
            plan,
            self._kept_context,
            self._most_activations,
            report_progress,
        )
        match lease.stage:
            case Stage.PROBE:
                self._kept_context.forget()
                return work.probe(lease.position)
            case Stage.SCORE:
                return work.score(str(lease.label))
            case Stage.STORE:
                return work.store()
        raise ValueError(f"there are no items of stage {lease.stage}")

    def _prepare(self, lease: PreparationLease, report_progress: ReportProgress) -> JsonObject:
        if lease.stage is Preparation.INSPECT:
            return inspect(
                self._sessions,
                self._roots,
                self._fetched_files,
                self._device,
                lease.resource_id,
                packages=self._packages,
            )
        if lease.stage in {Preparation.READ, Preparation.EMBED}:
            self._read(lease, report_progress)
            return {}
        if lease.stage is Preparation.LIST:
            return list_images(self._sessions, self._roots, lease.resource_id, report_progress)
        if lease.stage is Preparation.CHECK:
            return self._checks.check(lease.resource_id, lease.position, report_progress)
        if lease.stage is Preparation.TALLY:
            return self._checks.tally(lease.resource_id, report_progress)
        return measure_probe_set(self._sessions, self._roots, lease.resource_id, report_progress)

    def _read(self, lease: PreparationLease, report_progress: ReportProgress) -> None:
        """What dissectors make of texts and images; it is kept where it was asked for."""
        if lease.stage is Preparation.READ:
            readings = ConceptReadings(self._sessions, self._roots, self.networks, self._device)
            readings.read(lease.resource_id, report_progress)
        else:
            vectors = SearchVectors(self._sessions, self._roots, self._artifacts, self.networks, self._plans)
            vectors.find(lease.resource_id, report_progress)
