"""The JSON of registered things and jobs, and how it maps to the domain."""

from datetime import datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from service.config import Settings
from service.domain.evidence import EvidenceOptions
from service.domain.jobs import Job, JobStatus, Stage
from service.domain.json_values import StoredJson
from service.domain.methods import DEFAULT, Method, Pooling, Similarity
from service.domain.probes import PatchGrid
from service.domain.resources import Resource, ResourceKind
from service.domain.specs import concept_set_spec
from service.usecases.jobs import JobSubmission

Name = Annotated[str, Field(max_length=64, description="Lower-case letters, digits, dots, dashes and underscores.")]
Reference = Annotated[
    str, Field(min_length=1, max_length=80, description="`name` (its newest version) or `name@version`.")
]
LayerName = Annotated[str, Field(min_length=1, max_length=200)]


class Body(BaseModel):
    """A request body: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")


class CheckpointIn(Body):
    """A weights file and the architecture it belongs to."""

    checkpoint: str = Field(description="Absolute path or file:// URI.", examples=["/models/b5-model-best.tar"])
    architecture: str = Field(max_length=120, examples=["mammo-clip/b5", "timm/resnet50", "efficientnet-lite0"])
    sha256: str | None = Field(
        default=None, pattern="^[0-9a-fA-F]{64}$", description="The digest that the file must have."
    )


class ModelIn(CheckpointIn):
    """A target to register."""

    name: Name = Field(examples=["screening-b5"])


class DissectorIn(Body):
    """A dissector directory to register."""

    name: Name = Field(examples=["mammo-clip-b5"])
    path: str = Field(description="Absolute path of the directory.", examples=["/dissectors/mammo-clip-b5"])


class PatchesIn(Body):
    """Cut every image into square patches, in pixels of the decoded image."""

    size: int = Field(ge=16, le=16_384)
    stride: int = Field(ge=1, le=16_384)


class ProbeSetIn(Body):
    """A manifest of images to register."""

    name: Name = Field(examples=["vindr-test"])
    manifest: str = Field(
        description="Absolute path of a .csv, .json or .jsonl manifest.", examples=["/probes/vindr.csv"]
    )
    patches: PatchesIn | None = None
    on_unreadable: Literal["fail", "skip"] = Field(
        default="fail", description="What a job does with an image that cannot be decoded: fail, or skip and count it."
    )

    def grid(self) -> PatchGrid | None:
        """The patch grid in the domain's words."""
        return None if self.patches is None else PatchGrid(self.patches.size, self.patches.stride)


class ConceptSetIn(Body):
    """Concepts: plain texts, or objects with text, category, broad_category, mammographic, watched, synonyms."""

    name: Name = Field(examples=["my-concepts"])
    concepts: list[str | StoredJson] = Field(
        min_length=1,
        max_length=20_000,
        examples=[["spiculated mass", {"text": "skin thickening", "category": "associated features"}]],
    )


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

    def method(self) -> Method:
        """The method in the domain's words."""
        return Method.of(
            self.similarity, pooling=self.pooling, top_k=self.top_k, temperature=self.temperature, lam=self.lam
        )


class EvidenceIn(Body):
    """How many random samples judge the labels. 0 draws: labels without evidence."""

    draws: int = Field(default=10_000, ge=0, le=100_000, description="Random image sets, for p-values.")
    resamples: int = Field(default=200, ge=0, le=10_000, description="Resamples of the exams, for stability.")
    halves: int = Field(default=20, ge=0, le=1_000, description="Splits of the exams, for the noise of comparisons.")


class JobIn(Body):
    """A dissection to run."""

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
    layers: Annotated[list[LayerName], Field(min_length=1, max_length=2_000)] | Literal["all"]
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

    def submission(self, target: str, settings: Settings) -> JobSubmission:
        """The submission in the domain's words, on that registered target."""
        return JobSubmission(
            target=target,
            dissector=self.dissector,
            probe_set=self.probe_set,
            concept_set=self.concept_set,
            layers=None if self.layers == "all" else tuple(self.layers),
            method=self.method.method(),
            fit_top_k=self.method.top_k is None,
            concepts_per_neuron=self.concepts_per_neuron,
            images_per_neuron=self.images_per_neuron,
            evidence=EvidenceOptions(**self.evidence.model_dump()),
            shuffled=self.shuffled,
            batch_size=self.batch_size or settings.batch_size,
            shard_size=self.shard_size or settings.shard_size,
            queue=self.queue,
            priority=self.priority,
        )


class ResourceOut(BaseModel):
    """One version of a registered resource."""

    id: UUID
    name: str
    version: int
    reference: str
    digest: str
    created_at: datetime
    spec: StoredJson

    @classmethod
    def of(cls, resource: Resource, *, brief: bool = False) -> Self:
        """brief: a concept set's concepts are counted, not listed."""
        spec = dict(resource.spec)
        if brief and resource.kind is ResourceKind.CONCEPT_SET:
            spec["concepts"] = len(concept_set_spec(resource)["concepts"])
        return cls(
            id=resource.id,
            name=resource.name,
            version=resource.version,
            reference=resource.reference,
            digest=resource.digest,
            created_at=resource.created_at,
            spec=spec,
        )


class LayerInfoOut(BaseModel):
    """A layer that can be dissected."""

    name: str
    units: int
    kind: str


class ModelOut(ResourceOut):
    """A target; `layers` is null until a worker has opened it, `problem` says why it could not."""

    layers: list[LayerInfoOut] | None = None
    problem: dict[str, str] | None = None


class ProbeSetOut(ResourceOut):
    """A probe set; `spec.images` is null until a worker has measured what is cut into patches.

    `problem` says why it could not, with the image's row. `spec.unmeasured` counts the images that it could not read
    and that the set skips, `spec.unmeasured_rows` names the first hundred.
    """

    problem: dict[str, str] | None = None


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


class JobBriefOut(BaseModel):
    """A job's present state. GET /jobs/{id} has its layers and what produced its result."""

    id: UUID
    status: JobStatus
    replay_of: UUID | None
    target: str
    concept_set: str
    probe_set: str
    dissector: str
    method: StoredJson
    concepts_per_neuron: int
    images_per_neuron: int
    evidence: EvidenceIn
    shuffled: int | None
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
        request, options = job.request, job.request.options
        return {
            "id": job.id,
            "status": job.status,
            "replay_of": job.replay_of,
            "target": request.target,
            "concept_set": request.concept_set,
            "probe_set": request.probe_set,
            "dissector": request.dissector,
            "method": options.method.as_dict(),
            "concepts_per_neuron": options.concepts_per_neuron,
            "images_per_neuron": options.images_per_neuron,
            "evidence": EvidenceIn.model_validate(options.evidence, from_attributes=True),
            "shuffled": options.shuffled,
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


class JobOut(JobBriefOut):
    """A job with its layers and what produced its result."""

    layers: list[str] | Literal["all"]
    manifest: StoredJson | None

    @classmethod
    def of(cls, job: Job) -> Self:
        """The job on the wire."""
        layers = job.request.options.layers
        return cls(
            **cls.fields_of(job),
            layers="all" if layers is None else list(layers),
            manifest=None if job.manifest is None else dict(job.manifest),
        )
