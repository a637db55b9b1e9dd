"""Mammo-CLIP: both towers and their projections (Ghosh et al., MICCAI 2024), under the published key names."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from service.engine.networks.efficientnet import B2, B5, EfficientNet

EMBEDDING = 512
VOCABULARY = 28_996
VARIANTS = {"b5": B5, "b2": B2}


class _Projection(nn.Module):
    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.projection = nn.Linear(inputs, EMBEDDING)

    def forward(self, features: Tensor) -> Tensor:
        projected: Tensor = self.projection(features)
        return projected


class _TextTower(nn.Module):
    """BERT-base cased; a text's features are the last hidden state at its final token."""

    def __init__(self) -> None:
        super().__init__()
        from transformers import BertConfig, BertModel

        self.text_encoder = BertModel(BertConfig(vocab_size=VOCABULARY))

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        states: Tensor = self.text_encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        final = attention_mask.sum(1) - 1
        return states[torch.arange(len(final), device=final.device), final]


class MammoClip(nn.Module):
    """model: `b5` or `b2`. `logit_scale` is the logarithm of the temperature's inverse; similarities do not use it."""

    def __init__(self, model: str) -> None:
        super().__init__()
        self.logit_scale = nn.Parameter(torch.zeros(()))
        self.image_encoder = EfficientNet(VARIANTS[model])
        self.text_encoder = _TextTower()
        self.image_projection = _Projection(VARIANTS[model].features)
        self.text_projection = _Projection(self.text_encoder.text_encoder.config.hidden_size)

    def embed_images(self, images: Tensor) -> Tensor:
        """float32 [B, 3, H, W] -> unit-length [B, 512]."""
        return functional.normalize(self.image_projection(self.image_encoder(images)), dim=1)

    def embed_tokens(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Token ids and mask, both int64 [C, T] -> unit-length [C, 512]."""
        return functional.normalize(self.text_projection(self.text_encoder(input_ids, attention_mask)), dim=1)
