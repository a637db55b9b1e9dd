"""The EfficientNet families: Mammo-CLIP's image towers, classifiers on top of them, and ImageNet's Lite0."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from service.domain.input_contract import GivenInput
from service.domain.preprocessing import MAMMO_CLIP, Preprocessing
from service.engine.architectures.blueprint import Blueprint, Family, rows
from service.engine.architectures.library_inputs import published_input
from service.engine.networks.efficientnet import LITE0, EfficientNet
from service.engine.networks.mammo_clip import VARIANTS

_IMAGE_ENCODER = "image_encoder."
_HEAD_WEIGHT = "classifier.classification_head.weight"
_BESIDE_THE_IMAGE_ENCODER = ("text_encoder.", "image_projection.", "text_projection.", "logit_scale")

_MAMMO_CLIP_INPUT = published_input("Mammo-CLIP", MAMMO_CLIP)

_LITE0_SIZES = {"": (224, 224), "384x240": (384, 240)}
"""Height and width of the input: as published, and one in which a mammogram keeps its shape and small findings."""


class MammoClipClassifier(nn.Module):
    """Mammo-CLIP's image encoder with one linear layer on its pooled features: [B, 3, H, W] -> logits [B, n]."""

    def __init__(self, model: str, classes: int) -> None:
        super().__init__()
        self.image_encoder = EfficientNet(VARIANTS[model])
        self.classifier = nn.ModuleDict({"classification_head": nn.Linear(VARIANTS[model].features, classes)})

    def forward(self, images: Tensor) -> Tensor:
        """Images prepared as `MAMMO_CLIP` says, float32."""
        logits: Tensor = self.classifier["classification_head"](self.image_encoder(images))
        return logits


def _draw_image_tower(model: str, weights: Mapping[str, Tensor], _given: GivenInput) -> Blueprint:
    own = {
        key.removeprefix(_IMAGE_ENCODER): value
        for key, value in weights.items()
        if not key.startswith(_BESIDE_THE_IMAGE_ENCODER)
    }
    with torch.device("meta"):
        return Blueprint(EfficientNet(VARIANTS[model]), own, _MAMMO_CLIP_INPUT, layer_prefix=_IMAGE_ENCODER)


def _draw_classifier(model: str, weights: Mapping[str, Tensor], _given: GivenInput) -> Blueprint:
    with torch.device("meta"):
        classifier = MammoClipClassifier(model, rows(weights, _HEAD_WEIGHT) or 1)
    return Blueprint(classifier, weights, _MAMMO_CLIP_INPUT, heads=("classifier.classification_head",))


def lite0_preprocessing(model: str) -> Preprocessing:
    """EfficientNet-Lite's published contract at the model's size: 8-bit values minus 127, divided by 128."""
    height, width = _LITE0_SIZES[model]
    return Preprocessing(height, width, mean=(127 / 255,) * 3, std=(128 / 255,) * 3)


def _draw_lite0(model: str, weights: Mapping[str, Tensor], _given: GivenInput) -> Blueprint:
    with torch.device("meta"):
        network = EfficientNet(LITE0, classes=rows(weights, "_fc.weight"))
    said = published_input("EfficientNet-Lite", lite0_preprocessing(model))
    return Blueprint(network, weights, said, heads=("_fc",))


FAMILIES = {
    "mammo-clip": Family(lambda: tuple(VARIANTS), _draw_image_tower, inner_prefix=_IMAGE_ENCODER),
    "mammo-clip-classifier": Family(lambda: tuple(VARIANTS), _draw_classifier),
    "efficientnet-lite0": Family(lambda: tuple(_LITE0_SIZES), _draw_lite0),
}
