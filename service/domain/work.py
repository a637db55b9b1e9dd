"""Work items: what workers take one at a time, and the lease under which they hold one.

Most are pieces of a job. The others prepare a registered thing for jobs.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Generic, NotRequired, TypedDict, TypeVar
from uuid import UUID

from service.domain.ablations import AblationStage
from service.domain.autoencoders import AutoencoderReading
from service.domain.checks import SetCheck, ShardCheck
from service.domain.input_contract import InputEntries
from service.domain.jobs import JobStatus, Stage, StageProgress
from service.domain.json_values import JsonObject, StoredJson
from service.domain.localisation import LocalisationsOfLayers
from service.domain.manifests import JobManifest
from service.domain.neurons import PlacesOfLayers, RegionsOfLayers
from service.domain.pictures import PictureStage
from service.domain.table_targets import TableNotes
from service.domain.weights_reading import WeightsReading


class ItemStatus(StrEnum):
    """Where a work item stands. Withdrawn: its job ended without it; a retry of the job makes it ready again."""

    READY = "ready"
    LEASED = "leased"
    DONE = "done"
    WITHDRAWN = "withdrawn"


class Preparation(StrEnum):
    """What a worker finds out about a registered thing, which the API must not open itself.

    Inspect: the layers of a model, or whether a dissector works. Measure: the sizes of a probe set's images, which
    decide its patches. Fetch: the content of a source. List: which images a data set has, where only their headers say
    what a manifest needs. Read: how dissectors read the texts of a concept set. Embed: where a text or an image that
    somebody searches by lies in a dissector's space. Check: what images of a probe set are. Tally: what all of them are
    together.
    """

    INSPECT = "inspect"
    MEASURE = "measure"
    FETCH = "fetch"
    LIST = "list"
    READ = "read"
    EMBED = "embed"
    CHECK = "check"
    TALLY = "tally"


CHECK_STAGES = (Preparation.CHECK, Preparation.TALLY)
"""Those of a check, which may have many items."""


@dataclass(frozen=True, slots=True)
class NewItem:
    """An item to be added to a stage."""

    total: int
    """Units of work."""

    label: str | None = None
    """The layer of a score item."""


@dataclass(frozen=True, slots=True)
class Lease:
    """A job's item in a worker's hands."""

    item_id: UUID
    job_id: UUID
    stage: Stage
    position: int
    label: str | None

    attempt: int
    """How often the item has been taken, this time included."""

    fence: int
    """Rises with every claim.

    A write with an older fence comes from a worker that was thought lost, and is refused.
    """


@dataclass(frozen=True, slots=True)
class PreparationLease:
    """The preparation of a registered thing, in a worker's hands; attempt and fence as in `Lease`."""

    item_id: UUID
    resource_id: UUID
    stage: Preparation
    attempt: int
    fence: int

    position: int = 0
    """Which of the items of a check."""


@dataclass(frozen=True, slots=True)
class AblationLease:
    """An item of an ablation in a worker's hands; attempt and fence as in `Lease`."""

    item_id: UUID
    ablation_id: UUID
    stage: AblationStage

    position: int
    """The shard, counted from 0."""

    attempt: int
    fence: int


@dataclass(frozen=True, slots=True)
class PictureLease:
    """A picture in the hands of the worker that draws it; attempt and fence as in `Lease`."""

    item_id: UUID
    picture_id: UUID
    attempt: int
    fence: int
    stage: PictureStage = PictureStage.DRAW


AnyLease = Lease | PreparationLease | AblationLease | PictureLease


class StoredArtifact(TypedDict):
    """Where a result of computing lies in the artifact store."""

    key: str
    sha256: str


class ShardResult(StoredArtifact):
    """What probing a shard left behind."""

    layers: list[str]
    """Empty where no image of the shard can be decoded."""

    used: int
    """Images that were shown."""

    skipped_rows: list[int]
    """Manifest rows of images that cannot be decoded."""

    images: str
    """Digest of the shard's image files."""

    every_activation: NotRequired[bool]
    """Whether all activations were kept; left out by releases that did not say so."""


class OutputsResult(StoredArtifact):
    """What showing a shard to the network as it is left behind."""

    output_of: str
    """The layer that returns the outputs."""

    outputs: int
    used: int


class StoredLayer(StoredArtifact):
    """A scored layer, and its name."""

    layer: str


class DissectionResult(TypedDict):
    """What the last item of a job left behind: the whole dissection."""

    layers: list[StoredLayer]
    manifest: JobManifest
    regions: RegionsOfLayers

    places: NotRequired[PlacesOfLayers]
    """Where findings are in the images of cards; earlier releases wrote none."""

    localisations: NotRequired[LocalisationsOfLayers]
    """Where it was asked for."""

    texts: StoredArtifact
    """The embeddings of the concepts."""

    pictures: StoredArtifact
    """The images of the reports, small."""

    directions: NotRequired[list[StoredLayer]]
    """Of the layers' units, where all activations were kept; left out by releases that had none."""


class LayerListing(TypedDict):
    """A layer that can be dissected."""

    name: str
    units: int

    kind: str
    """Its module's class."""

    shape: NotRequired[list[int]]
    """What it returns for one image."""

    multiply_adds: NotRequired[int]
    """What one image costs up to this layer: multiply-adds of matrix products, convolutions and attention."""

    share: NotRequired[float]
    """The same as a share of the whole forward pass."""

    is_main: NotRequired[bool]
    """Whether `all` means it."""

    ends_stage: NotRequired[bool]
    """Whether `stages` means it."""


class InspectedInput(TypedDict):
    """How images reach a model."""

    values: InputEntries
    """Every field of its preprocessing, with where its value is from."""

    warnings: list[str]


class ModelNotes(TypedDict, total=False):
    """What opening a model told beside its layers: entries of `ModelSpec`, left out where there are none."""

    origin: dict[str, object]
    data: dict[str, str]
    table: TableNotes
    latents: AutoencoderReading


class InspectionResult(TypedDict):
    """What opening a model found."""

    layers: list[LayerListing]

    input: NotRequired[InspectedInput]
    reading: NotRequired[WeightsReading | None]
    """How its weights were read."""

    notes: NotRequired[ModelNotes]


class DissectorCheck(TypedDict):
    """What opening a dissector found."""

    width: int
    """Of its embeddings."""

    notes: list[str]
    """See `Dissector`."""


class FetchResult(TypedDict):
    """What fetching a source found."""

    sha256: str
    bytes: int

    place: str
    """See `Fetched`."""

    version: str | None
    """See `Fetched`."""


class MeasuringResult(TypedDict):
    """What reading the sizes of a probe set's images found."""

    images: int
    """Patches."""

    unmeasured: int
    """Images that are skipped, because they cannot be measured."""

    unmeasured_rows: list[int]
    """Their manifest rows, the first hundred."""


class ListingResult(TypedDict):
    """What listing the images of a data set found."""

    digest: str
    """Of the probe set's content."""

    entries: StoredJson
    """Of its `ProbeSetSpec`, beside those that it was registered with."""

    images: int
    """Not cut into frames or patches."""


class CheckResult(TypedDict):
    """What checking some images of a probe set found."""

    shard: ShardCheck

    set: NotRequired[SetCheck]
    """Where these are all its images."""


class TallyResult(TypedDict):
    """What all images of a probe set are together."""

    set: SetCheck


Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class FinishedItem(Generic[Result]):
    """What a finished item left behind: a small JSON object, the keys of its artifacts among it."""

    position: int
    label: str | None
    result: Result


@dataclass(frozen=True, slots=True)
class JobEvent:
    """One line of a job's history; ids rise, and a reader who has seen one asks for those behind it."""

    id: int
    kind: str
    data: JsonObject
    at: datetime


@dataclass(frozen=True, slots=True)
class JobNews:
    """Where a job stands, and what has happened to it since an event that somebody has seen."""

    status: JobStatus
    progress: tuple[StageProgress, ...]
    events: tuple[JobEvent, ...]
