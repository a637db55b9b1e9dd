"""Units held in networks whose every number can be worked out on paper, and in networks of libraries."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn

from service.domain.ablations import LayerUnits, Replacement
from service.domain.preprocessing import Preprocessing
from service.engine.ablation.holding import PlaceMeans, held_at, with_first_tensor
from service.engine.ablation.outputs import own_outputs
from service.engine.ablation.passes import AblationPass, ShardOutputs
from service.engine.networks.efficientnet import LITE0, EfficientNet
from service.engine.networks.folding import fold_norms
from service.engine.networks.protocols import Target
from service.engine.probing.layers import find_layers
from service.errors import InvalidActivations, NoOutputs, UnknownLayer
from tests.engine.toys import CONTRACT, ArrayImages, grey_images

LARGER = Preprocessing(height=32, width=32, mean=(0.0,) * 3, std=(1.0,) * 3, resize="none")


class Classifier(nn.Module):
    """Unit u of `conv` is (u + 1) times the pixel; output o of `head` is the mean of units 0 and 1, weighted."""

    def __init__(self, weights: Sequence[Sequence[float]] = ((1.0, 0.0), (0.5, 2.0))) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1, bias=False)
        self.act = nn.ReLU(inplace=True)
        self.head = nn.Linear(2, len(weights), bias=False)
        with torch.no_grad():
            self.conv.weight.zero_()
            self.conv.weight[:, 0, 0, 0] = torch.tensor([1.0, 2.0])
            self.head.weight.copy_(torch.tensor(weights))

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.act(self.conv(images)).mean(dim=(2, 3)))
        return logits


class Headless(Classifier):
    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.act(self.conv(images)).mean(dim=(2, 3))
        return features


class Scaled(Classifier):
    """What follows the head has no weights."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images).sigmoid()


class Residual(Headless):
    """The last layer is linear, and what is returned does not go through it alone."""

    def __init__(self) -> None:
        super().__init__()
        self.mlp = nn.Linear(2, 2)

    def forward(self, images: Tensor) -> Tensor:
        features = super().forward(images)
        mixed: Tensor = features + self.mlp(features)
        return mixed


class Logits(Classifier):
    def forward(self, images: Tensor) -> Any:
        return {"logits": super().forward(images), "hidden": images}


class Crashing(Classifier):
    """Fails in its middle, with hooks on it, for images that are brighter than any noise."""

    def forward(self, images: Tensor) -> Tensor:
        logits = super().forward(images)
        if float(images.max()) > 8:
            raise RuntimeError("too bright")
        return logits


class MapsOut(Classifier):
    def forward(self, images: Tensor) -> Tensor:
        maps: Tensor = self.conv(images)
        return maps


def target_of(module: nn.Module, preprocessing: Preprocessing = CONTRACT, architecture: str = "own/toy") -> Target:
    return Target(module.eval(), architecture, preprocessing, "0" * 64)


def ablation_pass(target: Target, images: ArrayImages, *layers: str, batch_size: int = 2) -> AblationPass:
    return AblationPass(target, images, layers, torch.device("cpu"), batch_size, "skip")


def run(
    target: Target, images: ArrayImages, held: Sequence[LayerUnits], value: Replacement = "mean", batch_size: int = 2
) -> tuple[ShardOutputs, Tensor]:
    shown = ablation_pass(target, images, *(layer.layer for layer in held), batch_size=batch_size)
    span = range(len(images.items))
    before = shown.outputs(span, lambda _: None)
    [after], used = shown.ablated(span, [held_at(held, value, before.means)], lambda _: None)
    assert used == before.used
    return before, after


def test_a_unit_at_its_mean_takes_its_part_of_the_output_away() -> None:
    images = grey_images(1.0, 2.0, 6.0)
    before, after = run(target_of(Classifier()), images, [LayerUnits("conv", (1,))])
    assert before.outputs.tolist() == [[1.0, 4.5], [2.0, 9.0], [6.0, 27.0]]
    # Unit 1 is 2, 4 and 12: its mean is 6.
    assert before.means["conv"].means[-1].tolist() == [3.0, 6.0]
    assert after.tolist() == [[1.0, 0.5 + 12.0], [2.0, 1.0 + 12.0], [6.0, 3.0 + 12.0]]


def test_units_may_be_held_at_zero() -> None:
    _, after = run(target_of(Classifier()), grey_images(1.0, 2.0), [LayerUnits("conv", (0, 1))], "zero")
    assert after.tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_a_dead_unit_changes_nothing_at_its_mean() -> None:
    network = Classifier()
    with torch.no_grad():
        network.conv.weight[1] = 0.0
    before, after = run(target_of(network), grey_images(0.1, 0.7, 1.3), [LayerUnits("conv", (1,), dead=(1,))])
    assert torch.equal(before.outputs, after)


def test_batches_of_any_size_and_shards_give_the_same() -> None:
    images = grey_images(0.1, 0.7, 1.3, 2.9, 3.1)
    units = [LayerUnits("conv", (0,))]
    whole, after = run(target_of(Classifier()), images, units, batch_size=5)
    parts, after_parts = run(target_of(Classifier()), images, units, batch_size=2)
    assert torch.equal(after, after_parts)
    assert torch.equal(whole.means["conv"].means, parts.means["conv"].means)

    shown = ablation_pass(target_of(Classifier()), images, "conv")
    merged = PlaceMeans()
    for span in (range(0, 2), range(2, 5)):
        merged.merge(shown.outputs(span, lambda _: None).means["conv"])
    torch.testing.assert_close(merged.means, whole.means["conv"].means)


def test_images_that_cannot_be_decoded_are_left_out() -> None:
    images = ArrayImages([image._arrays[0] for image in map(grey_images, (1.0, 2.0, 3.0))], broken=[1])
    before, _ = run(target_of(Classifier()), images, [LayerUnits("conv", (0,))])
    assert before.used == [0, 2]


def test_no_hook_is_left_behind_after_success_and_after_a_crash() -> None:
    target = target_of(Crashing())
    before, _ = run(target, grey_images(1.0, 2.0), [LayerUnits("conv", (0,))])
    held = held_at([LayerUnits("conv", (0,))], "mean", before.means)
    shown = ablation_pass(target, grey_images(9.0), "conv")

    with pytest.raises(RuntimeError, match="too bright"):
        shown.outputs(range(1), lambda _: None)
    with pytest.raises(RuntimeError, match="too bright"):
        shown.ablated(range(1), [held], lambda _: None)
    assert not any(module._forward_hooks for module in target.module.modules())


@pytest.mark.parametrize("network", [Classifier, Scaled, Logits])
def test_outputs_are_what_goes_through_the_head(network: Callable[[], nn.Module]) -> None:
    own = own_outputs(target_of(network()))
    assert (own.layer, own.count, own.beside) == ("head", 2, False)


@pytest.mark.parametrize(
    ("network", "why"),
    [
        (Headless, "no linear layer gives the 2 numbers"),
        (Residual, "do not depend on 'mlp' alone"),
        (MapsOut, "not one row of numbers per image"),
        (lambda: nn.Sequential(nn.Conv2d(3, 2, 1), nn.Flatten(2)), "not one row of numbers per image"),
    ],
)
def test_a_network_without_a_head_has_no_outputs(network: Callable[[], nn.Module], why: str) -> None:
    with pytest.raises(NoOutputs, match=why) as caught:
        own_outputs(target_of(network()))
    assert caught.value.remedy


def test_the_tower_of_an_image_text_model_has_no_outputs() -> None:
    with pytest.raises(NoOutputs, match="embedding"):
        own_outputs(target_of(Classifier(), architecture="open_clip/ViT-B-32"))


def test_networks_of_libraries() -> None:
    torch.manual_seed(0)
    squeezenet = torchvision.models.squeezenet1_1(num_classes=5)
    assert own_outputs(target_of(squeezenet, LARGER)).layer == "classifier.1"
    assert own_outputs(target_of(timm.create_model("test_resnet", num_classes=5), LARGER)).layer == "fc"
    vit = timm.create_model("test_vit", img_size=32, num_classes=5)
    assert own_outputs(target_of(vit, LARGER)).layer == "head"
    with pytest.raises(NoOutputs, match="without a classifier"):
        own_outputs(target_of(timm.create_model("test_resnet", num_classes=0), LARGER))


def test_the_classifier_of_an_efficientnet_works_beside_the_network() -> None:
    torch.manual_seed(0)
    own = own_outputs(target_of(EfficientNet(LITE0, classes=3)))
    assert (own.layer, own.count, own.beside) == ("_fc", 3, True)
    with pytest.raises(NoOutputs, match="features"):
        own_outputs(target_of(EfficientNet(LITE0)))


def test_the_last_layer_cannot_be_asked() -> None:
    with pytest.raises(NoOutputs, match="are the network's outputs themselves") as caught:
        run(target_of(Classifier()), grey_images(1.0, 2.0), [LayerUnits("head", (0,))])
    assert caught.value.remedy == "Name units of a layer before 'head'."


def test_a_layer_that_is_not_there() -> None:
    with pytest.raises(UnknownLayer):
        ablation_pass(target_of(Classifier()), grey_images(1.0), "convolution").outputs(range(1), lambda _: None)


def test_outputs_that_are_not_finite() -> None:
    with pytest.raises(InvalidActivations, match="manifest row 2"):
        ablation_pass(target_of(Classifier()), grey_images(1.0, float("inf")), "conv").outputs(range(2), lambda _: None)


def noise_images(count: int) -> ArrayImages:
    generator = torch.Generator().manual_seed(3)
    return ArrayImages(list(torch.randn(count, 3, 32, 32, generator=generator).numpy()))


def test_a_class_token_is_held_at_its_own_mean() -> None:
    torch.manual_seed(0)
    vit = timm.create_model("test_vit", img_size=32, num_classes=5)
    held = [LayerUnits("blocks.0", (3, 5))]
    target = target_of(vit, LARGER)
    before, after = run(target, noise_images(4), held)
    means = before.means["blocks.0"].means
    assert len(means) == 2
    assert not torch.allclose(means[0], means[1])
    assert not torch.equal(before.outputs, after)

    # By hand: the block's output replaced by a copy with both units held.
    def replace(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
        output = output.clone()
        for unit in (3, 5):
            output[:, 0, unit] = means[0, unit]
            output[:, 1:, unit] = means[1, unit]
        return output

    handle = vit.get_submodule("blocks.0").register_forward_hook(replace)
    with torch.inference_mode():
        by_hand = vit(torch.from_numpy(np.stack(noise_images(4)._arrays)))
    handle.remove()
    torch.testing.assert_close(after, by_hand)


def test_folded_and_plain_networks_are_held_alike() -> None:
    torch.manual_seed(0)
    plain = EfficientNet(LITE0, classes=3).eval()
    folded = EfficientNet(LITE0, classes=3).eval()
    folded.load_state_dict(plain.state_dict())
    fold_norms(folded, {"_blocks.3"})

    held = [LayerUnits("_blocks.3", (0, 7))]
    before, after = run(target_of(plain, LARGER), noise_images(3), held)
    before_folded, after_folded = run(target_of(folded, LARGER), noise_images(3), held)
    torch.testing.assert_close(before.outputs, before_folded.outputs, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(after, after_folded, rtol=1e-3, atol=1e-5)

    # A convolution that was folded away is no layer of that network any more.
    with pytest.raises(UnknownLayer):
        find_layers(target_of(folded), ["_conv_stem"])


def test_a_tensor_among_several_is_replaced() -> None:
    tensor, other = torch.zeros(1), torch.ones(1)
    assert with_first_tensor((other, "kept"), tensor) == (tensor, "kept")
    assert with_first_tensor([(other,), 2], tensor) == [(tensor,), 2]
    replaced = with_first_tensor({"last_hidden_state": other, "pooled": other}, tensor)
    assert replaced == {"last_hidden_state": tensor, "pooled": other}
