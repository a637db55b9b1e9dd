"""Two targets whose training is known exactly, for demonstration and proof: fitted on phantoms, from a general network.

The first is a classifier of all findings of phantom mammograms, so that unit i of its head `_fc` is finding i. The
second is the first one trained on with the findings of calcifications alone in the loss. Both keep the early blocks
of the general network, and all three have the same layers, so their units can be compared one by one.
"""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from service.domain.jobs import Progress, Stage
from service.domain.models import TargetSpec
from service.domain.preprocessing import Preprocessing
from service.engine.architectures import open_target
from service.engine.evidence.recognition import Recognition, recognise
from service.engine.fitting.fine_tuning import Examples, TuningOptions, classify, early_maps, fine_tune, new_head
from service.engine.networks.efficientnet import EfficientNet
from service.files import written_whole
from service.ports import ProgressListener
from service.probes.phantoms import FINDINGS, Phantom
from service.probes.phantoms.parallel import generate_in_processes
from service.probes.phantoms.plan import VIEWS
from service.probes.pixels import DecodedImage
from service.probes.prepare import prepare, to_eight_bit

ARCHITECTURE = "efficientnet-lite0/384x240"
CALCIFICATIONS = tuple(index for index, name in enumerate(FINDINGS) if name.endswith("calcifications"))
_CPU = torch.device("cpu")
_BATCH = 16


@dataclass(frozen=True, slots=True)
class PhantomTraining:
    """How the two phantom targets are trained."""

    phantoms: int = 1000
    """How many phantoms the training series has."""

    seed: int = 4
    """Seed of the training series."""

    all_findings: TuningOptions = field(default_factory=TuningOptions)
    """How the network of all findings is trained."""

    calcifications: TuningOptions = field(default_factory=lambda: TuningOptions(epochs=1, seed=1))
    """How the network of calcifications alone is trained."""

    @classmethod
    def longer(cls) -> "PhantomTraining":
        """Until the head's units tell their findings: 4,000 phantoms, four times. docs/label-accuracy.md says why."""
        return cls(phantoms=4000, all_findings=TuningOptions(epochs=4))


@dataclass(frozen=True, slots=True)
class PhantomTargets:
    """Weights files of the network trained on all findings and of the one then trained on calcifications alone."""

    mammography: Path
    calcifications: Path


def fit_phantom_targets(
    general: Path, folder: Path, progress: ProgressListener, training: PhantomTraining | None = None
) -> PhantomTargets:
    """Train both from the ImageNet weights `general`; what the folder already holds is left as it is.

    On the CPU. Equal weights, training and threads on one machine give equal files. Raises InvalidCheckpoint.
    """
    training = training or PhantomTraining()
    written = targets_in(folder)
    if written.mammography.exists() and written.calcifications.exists():
        return written

    spec = TargetSpec(general, ARCHITECTURE)
    examples = phantom_examples(spec, training.phantoms, training.seed, training.all_findings.frozen_blocks, progress)

    network = open_phantom_target(spec)
    new_head(network, examples.labels)
    fine_tune(network, examples, training.all_findings, progress=_telling(progress, Stage.SCORE))
    write_target(network, written.mammography)

    fine_tune(
        network,
        examples,
        training.calcifications,
        findings=CALCIFICATIONS,
        progress=_telling(progress, Stage.STORE),
    )
    write_target(network, written.calcifications)
    return written


def targets_in(folder: Path) -> PhantomTargets:
    """The weights files that a folder has, or will have."""
    return PhantomTargets(folder / "phantom-mammography.safetensors", folder / "phantom-calcifications.safetensors")


def measure_recognition(
    targets: PhantomTargets,
    *,
    phantoms: int,
    seed: int,
    progress: ProgressListener,
    training: PhantomTraining | None = None,
) -> tuple[dict[str, Recognition], dict[str, Recognition]]:
    """How well the heads' units of both targets tell phantoms of another series with their finding from those without.

    training: what the targets were fitted with. Findings that hardly any of the phantoms have are left out.
    """
    blocks = (training or PhantomTraining()).all_findings.frozen_blocks
    spec = TargetSpec(targets.mammography, ARCHITECTURE)
    held_out = phantom_examples(spec, phantoms, seed, blocks, progress)
    exams = [index // len(VIEWS) for index in range(phantoms)]
    labels = held_out.labels.numpy()

    def recognition(checkpoint: Path) -> dict[str, Recognition]:
        network = open_phantom_target(TargetSpec(checkpoint, ARCHITECTURE))
        scores = classify(network, held_out.maps, blocks).numpy()
        recognitions = {
            finding: recognise(scores[:, unit], labels[:, unit], exams) for unit, finding in enumerate(FINDINGS)
        }
        return {finding: figures for finding, figures in recognitions.items() if figures is not None}

    return recognition(targets.mammography), recognition(targets.calcifications)


def phantom_examples(spec: TargetSpec, phantoms: int, seed: int, blocks: int, progress: ProgressListener) -> Examples:
    """The first phantoms of a series as the network's first blocks give them on, labelled with their FINDINGS."""
    target = open_target(spec, _CPU, keep_layers=())
    labels: list[list[bool]] = []

    def batches() -> Iterator[Tensor]:
        images: list[Tensor] = []
        with closing(generate_in_processes(seed, phantoms)) as drawn:
            for phantom in drawn:
                images.append(_prepared(phantom, target.preprocessing))
                labels.append([name in phantom.findings for name in FINDINGS])
                if len(images) == _BATCH or len(labels) == phantoms:
                    yield torch.stack(images)
                    images.clear()
                    progress(Progress(Stage.PROBE, len(labels), phantoms))

    progress(Progress(Stage.PROBE, 0, phantoms))
    maps = early_maps(_as_efficientnet(target.module), batches(), blocks)
    return Examples(maps, torch.tensor(labels))


def _prepared(phantom: Phantom, contract: Preprocessing) -> Tensor:
    return torch.from_numpy(prepare(to_eight_bit(DecodedImage(phantom.pixels, from_dicom=False)), contract))


def _telling(progress: ProgressListener, stage: Stage) -> Callable[[int, int], None]:
    return lambda done, total: progress(Progress(stage, done, total))


def open_phantom_target(spec: TargetSpec) -> EfficientNet:
    """A network of ARCHITECTURE on the CPU. Raises InvalidCheckpoint."""
    return _as_efficientnet(open_target(spec, _CPU).module)


def _as_efficientnet(module: nn.Module) -> EfficientNet:
    assert isinstance(module, EfficientNet)  # noqa: S101 - what the architecture is
    return module


def write_target(network: EfficientNet, path: Path) -> None:
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    weights = {name: value.contiguous() for name, value in network.state_dict().items()}
    with written_whole(path) as unfinished:
        save_file(weights, unfinished)
