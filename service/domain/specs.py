"""What is stored of each kind of registered thing: the entries of `Resource.spec` (database and wire format)."""

from typing import Literal, NotRequired, TypedDict, cast

from service.domain.input_contract import GivenInput, given_input
from service.domain.json_values import JsonObject, StoredJson
from service.domain.prompts import PromptFields
from service.domain.resources import Resource, ResourceKind


class ModelSpec(TypedDict):
    """A target."""

    checkpoint: str
    """Path of the weights file."""

    architecture: str
    """See `TargetSpec`."""

    sha256: str
    """Of the weights file."""

    input: NotRequired[StoredJson]
    """How images reach it, as far as it was given; see `GivenInput`."""
    weights: NotRequired[str]
    """Which of the file's sets of weights is meant, where that was asked for."""
    described_by: NotRequired[str]
    """See `TargetSpec`."""

    origin: NotRequired[dict[str, object]]
    """What else decides the network, as the worker found it that opened it last: see `Target`."""

    data: NotRequired[dict[str, str]]
    """SHA-256 of the files beside the weights file, by name, as they were when it was first opened."""


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


class ProbeSetSpec(TypedDict):
    """A probe set, or the part of one that has one value of a stratum."""

    manifest: str
    """Path of the table of images."""

    patches: PatchSpec | None
    """None where images are shown whole."""

    on_unreadable: Literal["fail", "skip"]
    """See `ProbeSet`."""

    images: int | None
    """Images or patches; None until a worker has measured what is cut into patches."""

    merged_rows: int
    """See `ProbeSet`."""

    unmeasured: NotRequired[int]
    """Images that are skipped because they cannot be measured."""

    unmeasured_rows: NotRequired[list[int]]
    """Their manifest rows, as far as they are named."""

    part: NotRequired[tuple[str, str]]
    """Name and value of the stratum, where this is a part."""


class ConceptSpec(TypedDict):
    """See `Concept`."""

    text: str
    category: str | None
    broad_category: str | None
    mammographic: bool | None
    synonyms: list[str]
    watched: bool


class ConceptSetSpec(TypedDict):
    """A concept set."""

    concepts: list[ConceptSpec]


def model_spec(resource: Resource) -> ModelSpec:
    """What is stored of a target. Raises ValueError for another kind."""
    return cast("ModelSpec", _spec(resource, ResourceKind.MODEL))


def input_of(spec: ModelSpec) -> GivenInput | None:
    """What was given of how images reach a target; None where nothing was."""
    return given_input(spec["input"]) if "input" in spec else None


def dissector_place(resource: Resource) -> DissectorPlace:
    """What is stored of a dissector. Raises ValueError for another kind."""
    return cast("DissectorPlace", _spec(resource, ResourceKind.DISSECTOR))


def probe_set_spec(resource: Resource) -> ProbeSetSpec:
    """What is stored of a probe set. Raises ValueError for another kind."""
    return cast("ProbeSetSpec", _spec(resource, ResourceKind.PROBE_SET))


def concept_set_spec(resource: Resource) -> ConceptSetSpec:
    """What is stored of a concept set, unless it is one of a list. Raises ValueError for another kind."""
    return cast("ConceptSetSpec", _spec(resource, ResourceKind.CONCEPT_SET))


def _spec(resource: Resource, kind: ResourceKind) -> JsonObject:
    if resource.kind is not kind:
        raise ValueError(f"{resource.reference} is a {resource.kind.words}, not a {kind.words}")
    return resource.spec
