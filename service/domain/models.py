"""What identifies a target network and a dissector."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from service.domain.autoencoders import AutoencoderSpec
from service.domain.input_contract import GivenInput
from service.files import ANYWHERE, DataRoots


@dataclass(frozen=True, slots=True)
class TargetSpec:
    """The network under examination: weights file, architecture name, and the digest the file must have (if known).

    Architectures: `mammo-clip/b5|b2`, `mammo-clip-classifier/b5|b2`, `efficientnet-lite0[/384x240]`, `timm/<model>`,
    `torchvision/<model>`, `open_clip/<model>`, `monai/<class>[/<argument>=<value>,...]`, `transformers/<anything>` for
    what config.json beside the weights says, `own/<entry point>`, `onnx`, `table`.
    """

    checkpoint: Path
    architecture: str
    sha256: str | None = None

    shuffled: int | None = None
    """The seed by which the entries of every weight tensor change places, so that nothing learned is left.

    None for the network as it is.
    """

    roots: DataRoots = ANYWHERE
    """The folders that the file must lie in when it is opened."""

    input: GivenInput | None = None
    """How images reach it, as far as somebody gave it; None for what there has always been."""
    weights: str | None = None
    """Which of the file's sets of weights is meant, where it holds several (`state_dict_ema`); None for the default."""
    described_by: str | None = None
    """Digest that the files beside the weights must have, where these describe the network or name a table's rows.

    None where it is not known.
    """

    data: Mapping[str, str] | None = None
    """SHA-256 by name of the files that must lie beside the weights file; None where they are not known yet."""

    autoencoder: AutoencoderSpec | None = None
    """A sparse autoencoder on one of its layers, whose latents are the units of a further layer."""

    packages: tuple[str, ...] = ()
    """Installed packages whose code may be imported for the architecture (ARCHITECTURE_PACKAGES)."""


DISSECTOR_FILES = ("dissector.json", "open_clip_config.json", "config.json")
"""What says what a dissector is: a file of ours, or the one that open_clip or transformers writes. One is enough."""


@dataclass(frozen=True, slots=True)
class DissectorSpec:
    """A dissector directory (one of DISSECTOR_FILES, and what it names) and the digest of its content (if known).

    roots: the folders that the directory must lie in when it is opened.
    """

    path: Path
    digest: str | None = None
    roots: DataRoots = ANYWHERE
