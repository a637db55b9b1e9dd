"""The two networks of a dissection, loaded and ready: the target and the dissector."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn

from service.domain.input_contract import InputContract
from service.domain.layers import canonical_layer
from service.domain.preprocessing import Preprocessing
from service.domain.table_targets import LIMITS
from service.domain.weights_reading import WeightsReading
from service.engine.networks.autoencoder import LayerAutoencoder
from service.engine.networks.recorded.table import RecordedTable
from service.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class OutputReading:
    """How a layer's output is to be read, where the network itself says it."""

    unit_axis: int
    """The axis of the units; 0 is that of the images."""

    has_class: bool = False
    """Whether the first token of [B, T, U] is a class token."""

    registers: int = 0
    """How many of the first tokens are of no patch."""


def reading_of(module: nn.Module) -> OutputReading | None:
    """How the output of a layer is to be read, where its module carries that as `output_reading`."""
    reading = getattr(module, "output_reading", None)
    return reading if isinstance(reading, OutputReading) else None


@dataclass(frozen=True)
class Target:
    """The network under examination, in eval mode on its device."""

    module: nn.Module
    """Maps float32 [B, channels, H, W] to anything; its named modules are the layers."""

    architecture: str
    preprocessing: Preprocessing

    sha256: str
    """Digest of the weights file."""

    layer_prefix: str = ""
    """What published layer names carry in front of the module's own names (`image_encoder.` or empty)."""

    main_layers: tuple[str, ...] = ()
    """What a request for "all" layers stands for (the network's blocks), in forward order, with prefix."""

    chosen_layers: tuple[str, ...] | None = None
    """What the names and patterns that it was opened for stand for; None where it was opened for none."""

    shuffled: int | None = None
    """The seed by which the weights were shuffled, if they were."""

    input: InputContract | None = None
    """Where each value of the preprocessing is from; None where nobody says it."""
    weights: str | None = None
    """Which of the file's sets of weights was asked for, if any was."""

    reading: WeightsReading | None = None
    """How the weights were read; None for a network that comes from no file."""

    left_out: tuple[str, ...] = ()
    """Layers that the file has no fitting weights for, with prefix. An identity takes their place."""

    origin: Mapping[str, object] = field(default_factory=dict)
    """What else decides the network: the package that built it with its version, files beside the weights file.

    As JSON. Stored in manifests, and a part of content keys.
    """

    recorded: RecordedTable | None = None
    """The activations themselves, where they were computed elsewhere; then `module` runs nothing."""

    autoencoder: LayerAutoencoder | None = None
    """The sparse autoencoder on one of its layers, whose latents are the units of a further layer."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is to be known of how images reach it, and of what was decided where nobody said it."""
        if self.recorded is not None:
            return LIMITS

        of_input = () if self.input is None else self.input.warnings
        return of_input if self.autoencoder is None else (*of_input, *self.autoencoder.reading["warnings"])

    def encodes(self, layer: str) -> LayerAutoencoder | None:
        """The autoencoder whose latents are the units of that layer; None for layers of the network itself."""
        autoencoder = self.autoencoder
        return autoencoder if autoencoder is not None and canonical_layer(layer) == autoencoder.latents else None

    def module_name(self, layer: str) -> str:
        """The module, by its own name, whose output says what the units of that layer did."""
        autoencoder = self.encodes(layer)
        name = canonical_layer(layer) if autoencoder is None else autoencoder.layer
        return name.removeprefix(self.layer_prefix)


@dataclass(frozen=True, slots=True)
class TokenizedText:
    """A text as a dissector reads it."""

    tokens: tuple[int, ...]
    """What its text encoder sees: two texts with equal tokens are one to it."""

    whole: int
    """How many tokens the whole text has, with those that mark its start and its end."""

    read: int
    """How many of these the encoder sees."""

    @property
    def is_cut(self) -> bool:
        """Does the encoder see only a part of it?"""
        return self.whole > self.read


class Dissector(Protocol):
    """An image-text model that scores image against concept by the cosine of their embeddings."""

    @property
    def preprocessing(self) -> Preprocessing:
        """What its image encoder expects."""
        ...

    @property
    def digest(self) -> str:
        """Content digest of everything that decides its embeddings."""
        ...

    @property
    def notes(self) -> Sequence[str]:
        """What was concluded or decided when it was opened, in whole sentences."""
        ...

    def embed_images(self, images: Tensor) -> Tensor:
        """float32 [B, 3, H, W] -> unit-length embeddings, float32 [B, D]."""
        ...

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """C texts -> unit-length embeddings, float32 [C, D], on the dissector's device."""
        ...

    def tokenize(self, texts: Sequence[str]) -> Sequence[TokenizedText]:
        """The texts as its text encoder reads them."""
        ...


def choose_device(setting: str) -> torch.device:
    """`auto` is the first CUDA device where there is one, else the CPU; `cpu` and `cuda:N` are taken at their word.

    Turns off TF32, which would round the inputs of convolutions and of matrix products to 10 bits: float32 means
    float32, whatever the environment or another library has set (as TORCH_ALLOW_TF32_CUBLAS_OVERRIDE does).
    Raises InvalidInput when the setting is none of these or names a CUDA device that is not there.
    """
    torch.backends.cudnn.allow_tf32 = False
    torch.set_float32_matmul_precision("highest")
    if setting == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")

    try:
        device = torch.device(setting)
    except RuntimeError:
        device = None

    if device is None or device.type not in {"cpu", "cuda"}:
        raise InvalidInput(
            f"'{setting}' is not a device.", field="device", value=setting, remedy="Use auto, cpu or cuda:N."
        )

    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InvalidInput(
            f"This machine has {torch.cuda.device_count()} CUDA devices.",
            field="device",
            value=setting,
            remedy="Use auto or cpu, or name a device that this machine has.",
        )

    return device
