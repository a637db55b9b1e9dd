"""The JSON of jobs, and how it maps to the domain."""

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from api.schemas.base import Body, LayerName, Name, OverrideIn, Reference
from api.schemas.dissectors import PromptsIn
from api.schemas.models import CheckpointIn
from api.schemas.resources import TermsOut
from service.config import Settings
from service.domain.evidence import EvidenceOptions
from service.domain.jobs import Job, JobPart, JobStatus, Stage
from service.domain.json_values import StoredJson
from service.domain.layers import asked_layers, words_of_layers
from service.domain.localisation import MOST_GIVEN, LocalisationOptions
from service.domain.methods import DEFAULT, Method, Pooling, Similarity
from service.domain.probes import stored_where
from service.domain.purposes import DEFAULT_PURPOSE, AskedBy, JobPurpose, Purpose
from service.domain.verdicts import DEFAULT_ERROR_LEVEL, GREATEST_ERROR_LEVEL, LEAST_ERROR_LEVEL
from service.usecases.jobs import JobSubmission
from service.usecases.strata import LEAST, MOST, StrataJobs

ColumnName = Annotated[str, Field(min_length=1, max_length=500)]
ColumnValue = Annotated[str, Field(min_length=1, max_length=2_000)]


class MethodIn(Body):
    """Similarity function and its parameters. Parameters that you leave out take the function's default."""

    similarity: Similarity = DEFAULT
    pooling: Pooling = "avg"
    top_k: int | None = Field(
        default=None,
        ge=1,
        le=100_000,
        description="Images per neuron that its label rests on. Left out: an eighth of the probe set, 10 to 100, for "
        "contrast; a quarter, 10 to 400, for contrast_scan; otherwise the published default.",
    )
    temperature: float | None = Field(default=None, gt=0, le=1_000, allow_inf_nan=False)
    lam: float | None = Field(default=None, ge=0, le=10, allow_inf_nan=False)
    prompts: PromptsIn | None = Field(
        default=None,
        description="Left out: those that the dissector was registered with. A single template {}: the concepts' texts "
        "alone, whatever the dissector was registered with.",
    )

    def method(self) -> Method:
        """The method in the domain's words. Raises InvalidInput for prompts that cannot be used."""
        return Method.of(
            self.similarity,
            pooling=self.pooling,
            top_k=self.top_k,
            temperature=self.temperature,
            lam=self.lam,
            prompts=None if self.prompts is None else self.prompts.prompts("method.prompts"),
        )


class EvidenceIn(Body):
    """How many random samples judge the labels. 0 draws: labels without evidence."""

    draws: int = Field(default=10_000, ge=0, le=100_000, description="Random image sets, for p-values.")
    resamples: int = Field(default=200, ge=0, le=10_000, description="Resamples of the exams, for stability.")
    halves: int = Field(
        default=20, ge=0, le=1_000, description="Splits of the exams, which say how well comparisons reproduce."
    )
    error_level: float | None = Field(
        default=None,
        ge=LEAST_ERROR_LEVEL,
        le=GREATEST_ERROR_LEVEL,
        allow_inf_nan=False,
        description="The share of wrong names among those given that verdicts may have, as estimated. "
        f"Left out: {DEFAULT_ERROR_LEVEL:.2f}.",
    )


class LocalisationIn(Body):
    """That maps of labelled neurons are held against the places of findings."""

    findings: list[Annotated[str, Field(min_length=1, max_length=200)]] = Field(
        default=[],
        max_length=MOST_GIVEN,
        description="Findings of the probe set for neurons whose label names none that has places.",
        examples=[["lesion"]],
    )


Where = Annotated[
    dict[ColumnName, Annotated[list[ColumnValue], Field(min_length=1, max_length=1_000)]],
    Field(min_length=1, max_length=20),
]
"""Values of columns that images are chosen by."""


class DissectionIn(Body):
    """A dissection to run, but for the part of the probe set that it uses."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "target": "screening-b5",
                    "layers": ["image_encoder._blocks[38]"],
                    "concept_set": "bi-rads",
                    "probe_set": "vindr-test",
                    "dissector": "mammo-clip-b5",
                    "method": {"similarity": "contrast", "top_k": 100, "pooling": "avg"},
                }
            ]
        },
    )

    target: Reference | CheckpointIn
    layers: Annotated[list[LayerName], Field(min_length=1, max_length=2_000)] | Literal["all", "stages"] = Field(
        description="Names and patterns (`*` is one part of a name, `**` any parts, `?` a character), `all` for the "
        "network's blocks, or `stages` for the ends of its stages."
    )
    concept_set: Reference
    probe_set: Reference
    dissector: Reference
    method: MethodIn = MethodIn()
    concepts_per_neuron: int = Field(default=10, ge=1, le=100)
    images_per_neuron: int = Field(default=5, ge=1, le=100)
    batch_size: int | None = Field(
        default=None, ge=1, le=4096, description="Images per forward pass; it affects rounding. Left out: BATCH_SIZE."
    )
    evidence: EvidenceIn = EvidenceIn()
    shuffled: int | None = Field(
        default=None,
        ge=0,
        lt=2**63,
        description="As a null: shuffle the entries of every weight tensor first, with this seed.",
    )
    localisation: LocalisationIn | None = Field(
        default=None,
        description="Hold the maps of labelled neurons against the boxes and masks of findings. Left out: no.",
        examples=[{"findings": []}],
    )
    shard_size: int | None = Field(
        default=None, ge=1, le=1_000_000, description="Images per work item; it affects rounding. Left out: SHARD_SIZE."
    )
    queue: Name = Field(
        default="default",
        pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$",
        description="Jobs of one queue (a department, say) take turns with jobs of other queues.",
    )
    priority: int = Field(
        default=0, ge=-100, le=100, description="Jobs with a higher priority go first, in whatever queue."
    )

    purpose: Purpose | None = Field(
        default=None, description=f"What it is for; every part has to allow it. Left out: {DEFAULT_PURPOSE}."
    )
    override_purpose: OverrideIn | None = Field(
        default=None, description="Why parts are used that do not allow the purpose."
    )

    def as_asked(self) -> StoredJson:
        """The request by which a repeated idempotency key is recognised, also one that an earlier release got."""
        names = ("purpose", "override_purpose", "where", "localisation")
        newer = {name for name in names if getattr(self, name, None) is None}
        asked: StoredJson = self.model_dump(mode="json", exclude=newer)
        if self.evidence.error_level is None:
            asked["evidence"] = self.evidence.model_dump(mode="json", exclude={"error_level"})
        return asked

    def submission(self, target: str, settings: Settings) -> JobSubmission:
        """The submission in the domain's words, on that registered target."""
        return JobSubmission(
            target=target,
            dissector=self.dissector,
            probe_set=self.probe_set,
            concept_set=self.concept_set,
            layers=asked_layers(self.layers),
            method=self.method.method(),
            fit_top_k=self.method.top_k is None,
            concepts_per_neuron=self.concepts_per_neuron,
            images_per_neuron=self.images_per_neuron,
            evidence=EvidenceOptions(**self.evidence.model_dump()),
            shuffled=self.shuffled,
            localisation=None
            if self.localisation is None
            else LocalisationOptions(tuple(dict.fromkeys(self.localisation.findings))),
            batch_size=self.batch_size or settings.batch_size,
            shard_size=self.shard_size or settings.shard_size,
            queue=self.queue,
            priority=self.priority,
            purpose=self.purpose,
            override_reason=None if self.override_purpose is None else self.override_purpose.reason,
        )


class JobIn(DissectionIn):
    """A dissection to run."""

    where: Where | None = Field(
        default=None,
        description="Only images that have one of the values in each of these columns: `view`, `laterality`, and the "
        "manifest's own. Left out: all images.",
        examples=[{"density": ["C", "D"]}],
    )


class StrataIn(DissectionIn):
    """Several parts of one probe set to dissect, a job each. Without a top-k, it follows the smallest of them."""

    strata: list[Where] = Field(
        min_length=LEAST,
        max_length=MOST,
        description="Of each part: only images that have one of the values in each of these columns.",
        examples=[[{"density": ["A", "B"]}, {"density": ["C", "D"]}]],
    )


class OverrideOut(BaseModel):
    """Somebody used parts for a purpose that they do not allow: why, and which (none where all allow it)."""

    reason: str
    parts: list[str]


class PurposeOut(BaseModel):
    """What dissections are for; null where an earlier release, which asked for no purpose, stored it.

    `purpose_from` is `default` where nobody said it.
    """

    purpose: Purpose | None
    purpose_from: AskedBy | None
    override_purpose: OverrideOut | None

    @classmethod
    def purpose_fields_of(cls, purpose: JobPurpose | None) -> StoredJson:
        """The values of these fields."""
        entries: StoredJson = {} if purpose is None else {**purpose.as_dict()}
        return {name: entries.get(name) for name in ("purpose", "purpose_from", "override_purpose")}


class StageOut(BaseModel):
    """Progress of one stage, in images, layers or results; `rate` per second, and when it will end at that rate."""

    stage: Stage
    done: int
    total: int
    items: int
    items_done: int
    started_at: datetime | None
    updated_at: datetime | None
    rate: float | None
    expected_end: datetime | None


class PartOut(BaseModel):
    """The part of a probe set that a job uses: of which set, and by which values its images were chosen.

    `strata`: the request for several parts that it was in, see GET /jobs/strata/{id}; null for a single one.
    """

    probe_set: str
    where: dict[str, list[str]]
    strata: UUID | None

    @classmethod
    def of(cls, part: JobPart) -> Self:
        """The part on the wire."""
        return cls(probe_set=part.probe_set, where=stored_where(part.where), strata=part.strata)


class JobBriefOut(PurposeOut):
    """A job's present state. GET /jobs/{id} has its layers and what produced its result.

    `part` is null for a job on a whole probe set; otherwise `probe_set` is the part itself.
    """

    id: UUID
    status: JobStatus
    replay_of: UUID | None
    target: str
    concept_set: str
    probe_set: str
    part: PartOut | None
    dissector: str
    method: StoredJson
    concepts_per_neuron: int
    images_per_neuron: int
    evidence: EvidenceIn
    shuffled: int | None
    localisation: LocalisationIn | None
    batch_size: int
    shard_size: int
    queue: str
    priority: int
    progress: list[StageOut]
    problem: StoredJson | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @classmethod
    def fields_of(cls, job: Job) -> StoredJson:
        """The values of the fields that every job has on the wire."""
        request = job.request
        options = request.options
        return {
            **cls.purpose_fields_of(request.purpose),
            "id": job.id,
            "status": job.status,
            "replay_of": job.replay_of,
            "target": request.target,
            "concept_set": request.concept_set,
            "probe_set": request.probe_set,
            "part": None if request.part is None else PartOut.of(request.part),
            "dissector": request.dissector,
            "method": options.method.as_dict(),
            "concepts_per_neuron": options.concepts_per_neuron,
            "images_per_neuron": options.images_per_neuron,
            "evidence": EvidenceIn.model_validate(options.evidence, from_attributes=True),
            "shuffled": options.shuffled,
            "localisation": None if options.localisation is None else options.localisation.as_dict(),
            "batch_size": request.batch_size,
            "shard_size": request.shard_size,
            "queue": request.queue,
            "priority": request.priority,
            "progress": [StageOut.model_validate(stage, from_attributes=True) for stage in job.progress],
            "problem": None if job.problem is None else dict(job.problem),
            "created_at": job.created_at,
            "started_at": job.started_at,
            "finished_at": job.finished_at,
        }

    @classmethod
    def of(cls, job: Job) -> Self:
        """The job on the wire."""
        return cls(**cls.fields_of(job))


class WaitsForOut(BaseModel):
    """What a queued job waits for: the check of its probe set's images, and how many of these are done."""

    what: Literal["check"]
    path: str
    done: int
    total: int


class JobOut(JobBriefOut):
    """A job with its layers, what was stated of its parts when it was accepted, and what produced its result.

    `layers_asked`: the names and patterns that `layers` came from. `waits_for`: null where it waits for nothing but its
    turn. `error_level`: the share of wrong names that its verdicts may have; null where it asked for no evidence.
    """

    layers: list[str] | Literal["all"]
    layers_asked: list[str]
    terms: dict[str, TermsOut] | None
    manifest: StoredJson | None
    waits_for: WaitsForOut | None
    error_level: float | None

    @classmethod
    def of(cls, job: Job) -> Self:
        """The job on the wire."""
        waits_for = job.waits_for
        options = job.request.options
        purpose = job.request.purpose
        terms = None if purpose is None else {part: TermsOut.of(stated) for part, stated in purpose.terms.items()}
        return cls(
            **cls.fields_of(job),
            layers="all" if options.layers is None else words_of_layers(options.layers),
            layers_asked=words_of_layers(options.layers if options.layers_asked is None else options.layers_asked),
            terms=terms,
            manifest=None if job.manifest is None else dict(job.manifest),
            waits_for=None if waits_for is None else WaitsForOut(**asdict(waits_for)),
            error_level=options.evidence.allowed_error if options.evidence.asked_for else None,
        )


class StrataOut(BaseModel):
    """The jobs of one request for several parts of a probe set, in its order.

    `comparison`: the id of their comparison, which is made when all have succeeded.
    """

    id: UUID
    jobs: list[JobBriefOut]
    comparison: UUID | None

    @classmethod
    def of(cls, strata: StrataJobs) -> Self:
        """The jobs on the wire."""
        return cls(id=strata.id, jobs=list(map(JobBriefOut.of, strata.jobs)), comparison=strata.comparison)
