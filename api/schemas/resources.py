"""The JSON of registered things, and how it maps to the domain."""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal, Self
from uuid import UUID

from pydantic import BaseModel, Field, model_validator

from api.schemas.base import Body, Name
from api.schemas.checks import CheckOut
from service.domain.autoencoders import Activation, AutoencoderSpec, Normalisation, given_autoencoder
from service.domain.findings import MatchedBy, WhyUnmatched
from service.domain.input_contract import GREATEST_SIDE, LEAST_SIDE, GivenInput, Origin, given_input
from service.domain.json_values import StoredJson
from service.domain.preprocessing import Orientation, PadSide, Resize, Scale, Window
from service.domain.probes import Frames, PatchGrid
from service.domain.prompts import PLACEHOLDER, Prompts
from service.domain.purposes import MAX_LICENCE, Purpose, StatedBy, Terms, state_terms
from service.domain.resources import Resource, ResourceKind, ResourceState
from service.domain.specs import concept_set_spec
from service.errors import InvalidInput
from service.layouts.catalogue import LAYOUTS
from service.usecases.models import NamedCheckpoint


class InputIn(Body):
    """How images reach a network. Of what is given in part, the rest comes from the configuration of its library."""

    height: int | None = Field(default=None, ge=LEAST_SIDE, le=GREATEST_SIDE, description="In pixels.")
    width: int | None = Field(default=None, ge=LEAST_SIDE, le=GREATEST_SIDE, description="In pixels.")
    channels: Literal[1, 3] | None = Field(default=None, description="All of them are the same grey image.")
    resize: Resize | None = Field(
        default=None, description="`pad` keeps the image's shape and fills with air; `none` leaves the image's size."
    )
    pad_side: PadSide | Literal["centre"] | None = Field(
        default=None, description="Where `pad` puts air; `centre` is another word for `both`."
    )
    crop_to_breast: bool | None = Field(default=None, description="Cut the air around the breast off; only of DICOM.")
    orientation: Orientation | None = Field(default=None, description="Which way breasts face; mirrored where need be.")
    window: Window | None = Field(
        default=None, description="`voi`: what the DICOM header's VOI table or window shows; `stored`: all values."
    )
    padding_as_air: bool | None = Field(default=None, description="Pixels with DICOM's Pixel Padding Value are air.")
    scale: Scale | None = Field(
        default=None,
        description="`unit`: to 0 to 1; `min_max`: each image to 0 to 1; `range`: to range_low to range_high.",
    )
    range_low: float | None = Field(default=None, description="What black becomes.")
    range_high: float | None = Field(default=None, description="What white becomes.")
    mean: float | list[float] | None = Field(default=None, description="For all channels, or for each.")
    std: float | list[float] | None = Field(default=None, description="For all channels, or for each.")

    @model_validator(mode="before")
    @classmethod
    def check(cls, values: object) -> object:
        """Raises InvalidInput for what makes no contract, in the words that the command line uses, too."""
        if isinstance(values, Mapping):
            given_input(values)
        return values

    def given(self) -> GivenInput:
        """The input in the domain's words."""
        return given_input(self.model_dump())


class AutoencoderIn(Body):
    """A sparse autoencoder on a layer of the target. Its latents are the units of the layer `<layer>.latents`."""

    layer: str = Field(max_length=500, description="The layer that it reads.", examples=["image_encoder._swish"])
    checkpoint: str = Field(
        description="Absolute path or file:// URI of its weights file, or of the folder that has it with its cfg.json.",
        examples=["/models/mammo-sae/sparse_autoencoder_final.pt"],
    )
    sha256: str | None = Field(
        default=None, pattern="^[0-9a-fA-F]{64}$", description="The digest that its weights file must have."
    )
    activation: Activation | None = Field(
        default=None, description="Only for a file that does not say it: what makes its latents."
    )
    k: int | None = Field(
        default=None, ge=1, description="Only for `topk` and a file that does not say it: how many a place keeps."
    )
    pre_bias: bool | None = Field(
        default=None, description="Only for a file that does not say it: whether b_dec is subtracted from the input."
    )

    @model_validator(mode="before")
    @classmethod
    def check(cls, values: object) -> object:
        """Raises InvalidInput in the words that the command line uses, too."""
        if isinstance(values, Mapping):
            given_autoencoder(values)
        return values

    def given(self) -> AutoencoderSpec:
        """The autoencoder in the domain's words."""
        return given_autoencoder(self.model_dump())


class TermsIn(Body):
    """What you state of what you register. It is not part of the content.

    The same content registered again with other terms: they replace those of that version, and `replaced_terms` shows
    what was stated before.
    """

    licence: str | None = Field(
        default=None,
        min_length=1,
        max_length=MAX_LICENCE,
        description="An SPDX identifier or free text. Left out: what was stated before, if anything.",
        examples=["CC-BY-NC-4.0"],
    )
    allowed_purposes: list[Purpose] | None = Field(
        default=None,
        min_length=1,
        max_length=len(Purpose),
        description="What jobs may use it for. Left out: what was stated before; if nothing, every purpose.",
    )

    def terms(self) -> Terms:
        """The terms in the domain's words. Raises InvalidInput."""
        return state_terms(self.licence, self.allowed_purposes)


class CheckpointIn(TermsIn):
    """A weights file and the architecture it belongs to."""

    checkpoint: str = Field(
        description="Absolute path, file:// URI, or a source that workers fetch: s3://, https://, models:/, runs:/, "
        "mlflow-artifacts:/.",
        examples=["/models/b5-model-best.tar"],
    )
    architecture: str = Field(max_length=120, examples=["mammo-clip/b5", "timm/resnet50", "efficientnet-lite0"])
    sha256: str | None = Field(
        default=None, pattern="^[0-9a-fA-F]{64}$", description="The digest that the file must have."
    )
    input: InputIn | None = Field(
        default=None,
        description="How images reach the network; another input makes another version. Without it, and where the "
        "library's configuration is for photographs, the answer carries a warning.",
        examples=[{"height": 384, "width": 240, "mean": 0.3, "std": 0.25}],
    )

    weights: str | None = Field(
        default=None,
        min_length=1,
        max_length=500,
        description="Which of the file's sets of weights is meant, where it holds several.",
        examples=["state_dict_ema"],
    )

    autoencoder: AutoencoderIn | None = Field(
        default=None, description="A sparse autoencoder, whose latents are to be dissected like the units of a layer."
    )

    def named(self) -> NamedCheckpoint:
        """The checkpoint in the service's words."""
        given = None if self.input is None else self.input.given()
        autoencoder = None if self.autoencoder is None else self.autoencoder.given()
        return NamedCheckpoint(self.checkpoint, self.architecture, self.sha256, self.weights, given, autoencoder)


class ModelIn(CheckpointIn):
    """A target to register."""

    name: Name = Field(examples=["screening-b5"])


class PromptsIn(Body):
    """How the names of concepts become the texts that the dissector reads. Their embeddings are averaged."""

    templates: list[str] = Field(
        default=[PLACEHOLDER],
        description="Each with one {} for a concept's name.",
        examples=[["a mammogram showing {}", "{} in the breast"]],
    )
    synonyms: bool = Field(default=False, description="Whether a concept's synonyms count as its text does.")
    subtract_empty: bool = Field(
        default=False, description="Subtract the similarity to the templates without a name (adaptive cosine)."
    )

    def prompts(self, field: str) -> Prompts:
        """The prompts in the domain's words. field: what the caller calls them. Raises InvalidInput."""
        return Prompts.of(self.templates, synonyms=self.synonyms, subtract_empty=self.subtract_empty, field=field)


class DissectorIn(TermsIn):
    """A dissector directory to register."""

    name: Name = Field(examples=["mammo-clip-b5"])
    path: str = Field(description="Absolute path of the directory.", examples=["/dissectors/mammo-clip-b5"])
    prompts: PromptsIn | None = Field(
        default=None, description="The prompts of jobs that give none. They are part of the content."
    )


class PatchesIn(Body):
    """Cut every image into square patches, in pixels of the decoded image."""

    size: int = Field(ge=16, le=16_384)
    stride: int = Field(ge=1, le=16_384)


class PseudonymsIn(Body):
    """Replace identifiers of patients, exams and images by keyed hashes (HMAC-SHA256)."""

    key_file: str = Field(
        description="Absolute path of a file with the key, at least 16 bytes.", examples=["/probes/pseudonyms.key"]
    )


class ProbeSetIn(TermsIn):
    """A manifest of images to register, or a published data set as it was unpacked."""

    name: Name = Field(examples=["vindr-test"])
    manifest: str = Field(
        description="Absolute path of a manifest, a table in any format; with `layout`, of the data set's folder or "
        "table.",
        examples=["/probes/vindr.csv"],
    )
    layout: str | None = Field(
        default=None, description=f"What lies there: {', '.join(LAYOUTS)}. Left out: a manifest.", examples=["vindr"]
    )
    root: str | None = Field(
        default=None,
        description="Absolute path of the folder that the images are in, where it is not the manifest's. As much of "
        "the end of each path as leads to a file in it is taken.",
    )
    pseudonymise: PseudonymsIn | bool | None = Field(
        default=None, description="How identifiers are replaced; left out, null or false: they stay."
    )
    patches: PatchesIn | None = None
    frames: Frames | None = Field(
        default=None,
        description="What is taken of an image with several frames, for example a tomosynthesis: the middle one, all, "
        "each as an image of its own, or their maximum intensity projection. Left out, such an image is unreadable.",
    )
    on_unreadable: Literal["fail", "skip"] = Field(
        default="fail", description="What a job does with an image that cannot be decoded: fail, or skip and count it."
    )
    independent: str | None = Field(
        default=None,
        min_length=1,
        max_length=500,
        description="What counts as independent: `patient`, `exam`, `image`, or a column of the manifest, whose values "
        "are then the groups. Left out: the coarsest that the manifest knows. Equal bytes stay together.",
        examples=["patient"],
    )
    findings_map: str | None = Field(
        default=None,
        min_length=1,
        max_length=4_096,
        description="Which concepts the findings mean: absolute path of a .csv, .json or .yaml file with `finding` and "
        "`concept`, or `builtin:` and the name of a data set. Left out, that of the layout, if it has one. It is part "
        "of the content.",
        examples=["builtin:vindr"],
    )
    concept_set: str | None = Field(
        default=None,
        max_length=80,
        description="A registered concept set: the answer says which of its concepts the findings mean, and a map that "
        "names others is refused. Not part of the content.",
        examples=["bi-rads"],
    )

    def key_file(self) -> str | None:
        """The key of the pseudonyms, if identifiers are to be replaced. Raises InvalidInput where none is named."""
        if self.pseudonymise is True:
            raise InvalidInput(
                "Identifiers are to be replaced, but no key is named.",
                field="pseudonymise",
                value=True,
                remedy='Write {"key_file": PATH}, with a key such as `openssl rand -hex 32 > PATH` makes.',
            )
        return self.pseudonymise.key_file if isinstance(self.pseudonymise, PseudonymsIn) else None

    def grid(self) -> PatchGrid | None:
        """The patch grid in the domain's words."""
        return None if self.patches is None else PatchGrid(self.patches.size, self.patches.stride)


class TermsOut(BaseModel):
    """What is stated of a registered thing; `allowed_purposes_from` is `default` where nobody stated any."""

    licence: str | None
    allowed_purposes: list[Purpose]
    allowed_purposes_from: StatedBy

    @classmethod
    def of(cls, terms: Terms) -> Self:
        """The terms on the wire."""
        return cls.model_validate(terms.as_dict())


class VersionOut(BaseModel):
    """One version of what is registered under a name."""

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


class ResourceOut(VersionOut):
    """One version of a model, dissector, probe set or concept set, and what is stated of it.

    `replaced_terms` is what was stated before, in the answer to the registration that changed it, and else null.
    """

    licence: str | None
    allowed_purposes: list[Purpose]
    allowed_purposes_from: StatedBy
    replaced_terms: TermsOut | None = None

    @classmethod
    def of(cls, resource: Resource, *, brief: bool = False) -> Self:
        """brief: a concept set's concepts are counted, not listed."""
        version = VersionOut.of(resource, brief=brief)
        replaced = resource.replaced_terms
        return cls(
            **version.model_dump(),
            **resource.terms.as_dict(),
            replaced_terms=None if replaced is None else TermsOut.of(replaced),
        )


class StatedOut(ResourceOut):
    """A model, a dissector or a probe set with its `state`: whether a worker could open it, or read its images.

    Null where this release has not been asked to: then it may be used, and a job finds out.
    """

    state: ResourceState | None = None


class DissectorOut(StatedOut):
    """A dissector; `problem` says why a worker refused it, `notes` what one that opened it concluded or decided."""

    problem: dict[str, str] | None = None
    notes: list[str] | None = None


class LayerInfoOut(BaseModel):
    """A layer that can be dissected. What an inspection by an earlier release has not noted is null."""

    name: str
    units: int
    kind: str
    shape: list[int] | None = Field(default=None, description="What it returns for one image.")
    multiply_adds: int | None = Field(
        default=None,
        description="What one image costs up to this layer: those of matrix products, convolutions and attention.",
    )
    share: float | None = Field(default=None, description="The same as a share of the whole forward pass.")
    is_main: bool | None = Field(default=None, description="Whether `all` means it.")
    ends_stage: bool | None = Field(default=None, description="Whether `stages` means it.")


class InputValueOut(BaseModel):
    """A value of how images reach a network, and where it is from."""

    value: str | bool | int | float | list[float]
    origin: Origin


class ListedOut(BaseModel):
    """Entries of a weights file: how many, and the first names."""

    count: int
    names: list[str]


class ReadingOut(BaseModel):
    """Which weights of its file a target has, and how they were brought into its network."""

    entry: str = Field(description="The set that was taken, by its entries; `.` is the file's own dictionary.")
    chosen: Literal["only", "default", "given"] = Field(
        description="Whether it was the only set that fits, the default among several, or asked for."
    )
    sets: list[str] = Field(description="Every set that fits the architecture, by the names that `weights` takes.")
    same: list[str] | None = Field(
        default=None, description="Other names that the file has for that very set; null where it has none."
    )
    prefix: str = Field(description="What stood before the network's own names, and was taken off.")
    renamed: ListedOut = Field(description="Renamed or reshaped as the architecture's library does.")
    filled_in: ListedOut = Field(description="Not in the file, and nothing learned.")
    left_out: ListedOut = Field(description="Layers without fitting weights, which cannot be dissected.")
    unused: ListedOut = Field(description="In the set, but not part of the network.")
    channels: Literal[1, 3] = Field(description="Channels of the network's first convolution.")


class AutoencoderOut(BaseModel):
    """How the file of a target's autoencoder was read."""

    layer: str = Field(description="The layer that it reads. Its latents are the units of `<layer>.latents`.")
    latents: int
    width: int = Field(description="How many numbers it reads at a place.")
    layout: str = Field(description="Whose names its file has.")
    sha256: str
    described_by: str | None = Field(description="SHA-256 of the configuration beside its file, if one describes it.")
    activation: Activation
    k: int | None = Field(description="How many latents a place keeps; only of `topk`.")
    pre_bias: str | None = Field(description="The entry that is subtracted from what it reads.")
    normalisation: Normalisation = Field(description="What is done to what it reads before.")
    scaled: bool = Field(description="Whether each latent is multiplied by the length of what it decodes to.")
    unused: ListedOut = Field(description="Entries of the file that are not part of it.")
    warnings: list[str] = Field(description="What the file leaves open, and how it was decided.")


class ModelOut(StatedOut):
    """A target; `layers` and `input` are null until a worker has opened it, `problem` says why it could not.

    `input` has every field of how images reach it. Models that an earlier release opened have none until they are
    inspected again. `warnings` says what of it was not given and may be wrong.
    """

    input: dict[str, InputValueOut] | None = None
    warnings: list[str] = Field(default_factory=list)
    layers: list[LayerInfoOut] | None = None
    problem: dict[str, str] | None = None
    reading: ReadingOut | None = Field(
        default=None, description="Null until a worker has opened the target, and for one opened by an earlier release."
    )
    autoencoder: AutoencoderOut | None = Field(
        default=None, description="Null for a target without one, and until a worker has opened it."
    )


class MatchedFindingOut(BaseModel):
    """A finding that means concepts of the set."""

    finding: str
    images: int
    concepts: list[str]
    matched_by: MatchedBy


class UnmatchedFindingOut(BaseModel):
    """A finding of which nobody knows what it means."""

    finding: str
    images: int
    why: WhyUnmatched
    concepts: list[str] = Field(description="Those that it could be, or that it is mapped to.")


class CountedFindingOut(BaseModel):
    """A finding that is known to mean no concept."""

    finding: str
    images: int


class MappedFindingOut(BaseModel):
    """An entry of the map whose concept the set has not."""

    finding: str
    concept: str


class FindingsMapOut(BaseModel):
    """The map of findings that the probe set was registered with."""

    source: str
    digest: str
    notes: list[str] = Field(description="What was decided when its file was read, as the separator.")


class FindingsOut(BaseModel):
    """What the findings of a probe set mean in a concept set; of each kind the 200 commonest are named."""

    concept_set: str
    map: FindingsMapOut | None
    names: int = Field(description="How many findings there are; the 1,000 commonest are looked at.")
    matched: list[MatchedFindingOut]
    matched_names: int
    unmatched: list[UnmatchedFindingOut]
    unmatched_names: int
    no_concept: list[CountedFindingOut]
    no_concept_names: int
    not_in_set: list[MappedFindingOut]
    not_in_set_entries: int


class ProbeSetOut(StatedOut):
    """A probe set; `spec.images` is null until a worker has measured what is cut into frames or patches.

    `state` says whether its images are being checked, `check` what that has found so far; both are null for a set that
    nobody has asked to check. `problem` says why it was refused, with the images' rows. `spec.unmeasured` counts the
    images that could not be measured and that the set skips, `spec.unmeasured_rows` names the first hundred.
    `findings` says which of its findings name which concepts, and which name none; null where the manifest knows none.

    `spec.independence`: what counts as independent by the manifest, how many units there are and how large, and which
    evidence they are too few for. `spec.grouping`: columns that were taken for `patient_id` and `exam_id`.
    """

    findings: FindingsOut | None = None

    problem: dict[str, str] | None = None
    check: CheckOut | None = Field(
        default=None, description="In brief: the first few rows and values. The whole is at /probe-sets/{name}/check."
    )
