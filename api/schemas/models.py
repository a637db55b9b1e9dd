"""The JSON of models: how images reach one, which weights it has, and its layers."""

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, Field, model_validator

from api.schemas.base import Body, Name
from api.schemas.resources import StatedOut, TermsIn
from service.domain.autoencoders import Activation, AutoencoderSpec, Normalisation, given_autoencoder
from service.domain.input_contract import GREATEST_SIDE, LEAST_SIDE, GivenInput, Origin, given_input
from service.domain.preprocessing import Orientation, PadSide, Resize, Scale, Window
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


class InputValueOut(BaseModel):
    """A value of how images reach a network, and where it is from."""

    value: str | bool | int | float | list[float]
    origin: Origin


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
