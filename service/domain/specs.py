"""What is stored of each kind of registered thing: the entries of `Resource.spec` (database and wire format)."""

from typing import Literal, NotRequired, TypedDict, cast
from uuid import UUID

from service.domain.autoencoders import (
    AutoencoderPlace,
    AutoencoderReading,
    AutoencoderSpec,
    content_of_autoencoder,
    stored_autoencoder,
)
from service.domain.digests import digest_of
from service.domain.findings import FindingCounts
from service.domain.findings_map import StoredMap
from service.domain.independence import UnitCounts
from service.domain.input_contract import GivenInput, given_input
from service.domain.json_values import JsonObject, StoredJson
from service.domain.probes import Frames, Where
from service.domain.prompts import PromptFields
from service.domain.resources import Resource, ResourceKind
from service.domain.table_targets import TableNotes
from service.files import ANYWHERE, DataRoots


class Fetched(TypedDict):
    """What a worker found at a source when it fetched it for the first time."""

    place: str
    """The URI of exactly this content, as far as the source can say: the file in a folder, its version."""

    version: str | None
    """What the source calls this state of the file: an ETag."""

    bytes: int


class ModelSpec(TypedDict):
    """A target."""

    checkpoint: str
    """Path of the weights file, or the URI of its source."""

    architecture: str
    """See `TargetSpec`."""

    sha256: str | None
    """Of the weights file. None while nobody has fetched a source whose digest nobody gave."""

    fetched: NotRequired[Fetched]
    """Where a source was resolved."""

    same_as: NotRequired[str]
    """Another version of the name, which has the content that this one's source turned out to have."""

    input: NotRequired[StoredJson]
    """How images reach it, as far as it was given; see `GivenInput`."""
    weights: NotRequired[str]
    """Which of the file's sets of weights is meant, where that was asked for."""
    described_by: NotRequired[str]
    """See `TargetSpec`."""

    autoencoder: NotRequired[AutoencoderPlace]
    """A sparse autoencoder on one of its layers."""

    latents: NotRequired[AutoencoderReading]
    """How the autoencoder's file was read, as the worker found it that opened it last."""

    origin: NotRequired[dict[str, object]]
    """What else decides the network, as the worker found it that opened it last: see `Target`."""

    data: NotRequired[dict[str, str]]
    """SHA-256 of the files beside the weights file, by name, as they were when it was first opened."""

    table: NotRequired[TableNotes]
    """What a table in place of a network is, as the worker found it that opened it last."""


class DissectorPlace(TypedDict):
    """A dissector."""

    path: str
    """Of its folder."""

    prompts: NotRequired[PromptFields]
    """Of jobs that give none; then the resource's digest covers the prompts, too."""

    content: NotRequired[str]
    """Digest of the folder, where that is not the resource's digest."""


class PatchSpec(TypedDict):
    """See `PatchGrid`."""

    size: int
    stride: int


class PseudonymFields(TypedDict):
    """What replaces the identifiers of a probe set."""

    key_file: str
    """Path of the key."""


class ProbeSetSpec(TypedDict):
    """A probe set, or a part of one."""

    manifest: str
    """Path of the table of images; with a layout, of the data set's folder or table."""

    layout: NotRequired[str]
    """The published data set whose tables are read; left out for a manifest."""

    root: NotRequired[str]
    """The folder that image paths begin in, where that was given."""

    pseudonymise: NotRequired[PseudonymFields]
    """Where identifiers are replaced."""

    listing: NotRequired[str | None]
    """Digest of the rows that a worker made of the images' headers, which are kept; None until it has.

    Left out where the manifest or the layout says all itself.
    """

    patches: PatchSpec | None
    """None where images are shown whole."""

    on_unreadable: Literal["fail", "skip"]
    """See `ProbeSet`."""

    frames: NotRequired[Frames]
    """See `ProbeSet`; left out where nothing was said."""

    images: int | None
    """Images, frames or patches; None until a worker has listed what only headers say, and measured what is cut."""

    merged_rows: int
    """See `ProbeSet`."""

    findings: NotRequired[FindingCounts]
    """Where some image's findings are known; earlier releases have not kept them."""

    findings_map: NotRequired[StoredMap]
    """What the findings mean, where that was given; then it is part of the resource's digest."""

    table_notes: NotRequired[list[str]]
    """See `ProbeSet`; where there are any."""

    unmeasured: NotRequired[int]
    """Images that are skipped because they cannot be measured."""

    unmeasured_rows: NotRequired[list[int]]
    """Their manifest rows, as far as they are named."""

    independent: NotRequired[str]
    """What was chosen to count as independent, where anything was: see `ProbeSet`."""

    grouping: NotRequired[dict[str, str]]
    """See `ProbeSet`; earlier releases took no column for another."""

    independence: NotRequired[UnitCounts]
    """What counts as independent, by the manifest; earlier releases have not counted it."""

    checked_with: NotRequired[str]
    """The id of the whole set, where this is a part: its check is the part's, too."""

    part: NotRequired[tuple[str, str]]
    """Column and value, where this is the part with one value of one column."""

    where: NotRequired[dict[str, list[str]]]
    """See `ProbeSet`, where this is any other part."""


def is_listed(spec: ProbeSetSpec) -> bool:
    """Is it known which images there are? Where only their headers say it, a worker reads these first."""
    return spec.get("listing", "") is not None


def is_measured_first(spec: ProbeSetSpec) -> bool:
    """Has a worker to read the images' sizes and frames before it is known how many items there are?"""
    return spec["patches"] is not None or spec.get("frames") == "all"


class PlacesSpec(TypedDict):
    """A text that stands in several places of a table of categories."""

    text: str

    places: list[str]
    """Broad category and category of each, in the table's order: the last is the concept's."""


class CategoriesSpec(TypedDict):
    """How a table of categories fits its concept set. Texts are listed up to a limit, and all are counted."""

    several: list[PlacesSpec]
    """Concepts that stand in several places."""

    several_concepts: int

    without: list[str]
    """Concepts that the table does not name."""

    without_concepts: int

    unused: list[str]
    """Texts of the table that are not concepts."""

    unused_texts: int


class ConceptSpec(TypedDict):
    """See `Concept`."""

    text: str
    category: str | None
    broad_category: str | None
    mammographic: bool | None
    synonyms: list[str]
    watched: bool

    codes: NotRequired[dict[str, str]]
    """Where there are any."""

    names: NotRequired[dict[str, str]]
    """Where there are any."""


class ConceptSetSpec(TypedDict):
    """A concept set."""

    concepts: list[ConceptSpec]

    notes: NotRequired[list[str]]
    """See `ConceptSet`; where there are any."""

    categories: NotRequired[CategoriesSpec]
    """Where they were read from a table of their own."""


def model_spec(resource: Resource) -> ModelSpec:
    """What is stored of a target. Raises ValueError for another kind."""
    return cast("ModelSpec", _spec(resource, ResourceKind.MODEL))


def digest_of_model(spec: ModelSpec) -> str:
    """The digest of a target's content; while that is not known, of the source that is still to be fetched."""
    content: StoredJson = {"architecture": spec["architecture"]}
    if spec["sha256"] is None:
        content["source"] = spec["checkpoint"]
    else:
        content["sha256"] = spec["sha256"]
    if "input" in spec:
        content["input"] = spec["input"]
    if "weights" in spec:
        content["weights"] = spec["weights"]
    if "described_by" in spec:
        content["described_by"] = spec["described_by"]
    if "autoencoder" in spec:
        content["autoencoder"] = content_of_autoencoder(spec["autoencoder"])
    return digest_of(content)


def is_fetched(resource: Resource) -> bool:
    """Is the content of a target known? Only that of a source may not be yet."""
    return model_spec(resource).get("sha256", "") is not None


def input_of(spec: ModelSpec) -> GivenInput | None:
    """What was given of how images reach a target; None where nothing was."""
    return given_input(spec["input"]) if "input" in spec else None


def autoencoder_of(spec: ModelSpec, roots: DataRoots = ANYWHERE) -> AutoencoderSpec | None:
    """The autoencoder on a layer of a target; None where it has none. roots: see `AutoencoderSpec`."""
    return stored_autoencoder(spec["autoencoder"], roots) if "autoencoder" in spec else None


def dissector_place(resource: Resource) -> DissectorPlace:
    """What is stored of a dissector. Raises ValueError for another kind."""
    return cast("DissectorPlace", _spec(resource, ResourceKind.DISSECTOR))


def probe_set_spec(resource: Resource) -> ProbeSetSpec:
    """What is stored of a probe set. Raises ValueError for another kind."""
    return cast("ProbeSetSpec", _spec(resource, ResourceKind.PROBE_SET))


def where_of(spec: ProbeSetSpec) -> Where:
    """By which values the images of a probe set were chosen; empty where it is a whole one."""
    if "part" in spec:
        column, value = spec["part"]
        return {column: (value,)}
    return {column: tuple(values) for column, values in spec.get("where", {}).items()}


def checked_with(probe_set: Resource) -> UUID:
    """The probe set whose check says what the images of this one are: itself, or the whole that it is a part of."""
    whole = probe_set_spec(probe_set).get("checked_with")
    return probe_set.id if whole is None else UUID(whole)


def concept_set_spec(resource: Resource) -> ConceptSetSpec:
    """What is stored of a concept set, unless it is one of a list. Raises ValueError for another kind."""
    return cast("ConceptSetSpec", _spec(resource, ResourceKind.CONCEPT_SET))


def _spec(resource: Resource, kind: ResourceKind) -> JsonObject:
    if resource.kind is not kind:
        raise ValueError(f"{resource.reference} is a {resource.kind.words}, not a {kind.words}")
    return resource.spec
