"""Fine-tuning the late blocks of an EfficientNet as a classifier of findings.

The early blocks stay as they are, so their output is computed once for each image and training needs only the rest.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from service.engine.networks.efficientnet import EfficientNet

_MAPS_PER_PASS = 32
_SETTLING_MAPS = 640
_RISING = 0.2
_RAREST = 1e-3


@dataclass(frozen=True, slots=True)
class TuningOptions:
    """How a network is fine-tuned. The learning rates are the greatest ones of a schedule of one cycle."""

    frozen_blocks: int = 8
    """How many blocks after the stem stay as they are, as the stem does."""

    epochs: int = 2
    """How many times the images are shown, shuffled by seed."""

    batch_size: int = 16

    learning_rate: float = 1e-3
    """That of the late blocks."""

    head_learning_rate: float = 3e-3
    """That of the last layer."""

    seed: int = 0


@dataclass(frozen=True)
class Examples:
    """What a network is tuned on."""

    maps: Tensor
    """Outputs of the frozen blocks, float16 [N, C, H, W]."""

    labels: Tensor
    """Which image has which finding, bool [N, F]."""


@torch.inference_mode()
def early_maps(network: EfficientNet, batches: Iterable[Tensor], blocks: int) -> Tensor:
    """Outputs of the first blocks for images float32 [B, 3, H, W], batch by batch: float16 [N, C, H, W]."""
    chunks = [network.early(_prepared(images), blocks).half() for images in batches]
    return torch.cat(chunks).clone()


def new_head(network: EfficientNet, labels: Tensor) -> None:
    """Give the network a classifier that knows nothing but how common each of the labels bool [N, F] is."""
    common = labels.float().mean(0).clamp(_RAREST, 1 - _RAREST)
    head = nn.Linear(network.features, labels.shape[1])
    with torch.no_grad():
        head.weight.zero_()
        head.bias.copy_(torch.logit(common))
    network._fc = head


def fine_tune(
    network: EfficientNet,
    examples: Examples,
    options: TuningOptions,
    *,
    findings: Sequence[int] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[float, ...]:
    """Train late blocks and classifier in place by binary cross-entropy; returns the mean loss of each epoch.

    findings: columns of the labels that the loss looks at, None for all; nothing holds the classifier's other units to
    what they knew. progress is told (steps done, steps in all). The network is left in eval mode, its late batch norms
    with the statistics of the examples. Deterministic on one machine for equal arguments and number of threads.
    """
    late = network.late_modules(options.frozen_blocks)
    head = _head(network)
    columns = list(range(examples.labels.shape[1]) if findings is None else findings)
    labels = examples.labels[:, columns].float()

    generator = torch.Generator().manual_seed(options.seed)
    epochs = [_batches(len(labels), options.batch_size, generator) for _ in range(options.epochs)]
    steps = sum(map(len, epochs))

    rates = {late: options.learning_rate, head: options.head_learning_rate}
    groups = [{"params": list(part.requires_grad_(True).parameters()), "lr": rate} for part, rate in rates.items()]
    optimiser = torch.optim.Adam(groups)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, list(rates.values()), total_steps=steps + 1, pct_start=_RISING
    )

    losses = []
    done = 0
    late.train()
    for epoch in epochs:
        total = 0.0
        for rows in epoch:
            logits = head(network.late(_prepared(examples.maps[rows]), options.frozen_blocks))[:, columns]
            loss = functional.binary_cross_entropy_with_logits(logits, labels[rows])

            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
            schedule.step()

            total += float(loss.detach())
            done += 1
            if progress is not None:
                progress(done, steps)
        losses.append(total / len(epoch))

    _settle_norms(network, late, examples.maps, options)
    network.requires_grad_(False)
    return tuple(losses)


@torch.inference_mode()
def classify(network: EfficientNet, maps: Tensor, blocks: int) -> Tensor:
    """Logits float32 [N, F] for the outputs of the first blocks."""
    head = _head(network)
    passes = torch.split(maps, _MAPS_PER_PASS)
    return torch.cat([head(network.late(_prepared(maps_of_pass), blocks)) for maps_of_pass in passes])


def _settle_norms(network: EfficientNet, late: nn.Module, maps: Tensor, options: TuningOptions) -> None:
    """Replace the norms' running statistics, which lag behind the training, by the mean over a part of the examples."""
    norms = [module for module in late.modules() if isinstance(module, nn.BatchNorm2d)]
    momentum = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over batches

    chosen = torch.randperm(len(maps), generator=torch.Generator().manual_seed(options.seed))[:_SETTLING_MAPS]
    with torch.no_grad():
        for rows in torch.split(chosen, _MAPS_PER_PASS):
            network.late(_prepared(maps[rows]), options.frozen_blocks)

    for norm, before in zip(norms, momentum, strict=True):
        norm.momentum = before
    network.eval()


def _batches(count: int, size: int, generator: torch.Generator) -> list[Tensor]:
    """Shuffled rows in batches of `size`; a smaller rest is left out, whose norms would be noise."""
    batches = list(torch.split(torch.randperm(count, generator=generator), size))
    has_rest = len(batches) > 1 and len(batches[-1]) < size
    return batches[:-1] if has_rest else batches


def _prepared(maps: Tensor) -> Tensor:
    return maps.float().contiguous(memory_format=torch.channels_last)


def _head(network: EfficientNet) -> nn.Linear:
    assert network._fc is not None  # noqa: S101 - as new_head left it
    return network._fc
