"""MobileCLIP as its authors publish it, in the small."""

import re
from typing import Any

from torch import Tensor

SMALL_MOBILE_CLIP: dict[str, Any] = {
    "embed_dim": 16,
    "vision_cfg": {"timm_model_name": "fastvit_t8", "timm_pool": "avg", "timm_proj": None, "image_size": 64},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2},
    "custom_text": True,
}

_IMAGES = (
    (r"^stem\.", "patch_embed."),
    (r"^stages\.(\d)\.downsample\.", lambda match: f"network.{2 * int(match[1]) - 1}."),
    (r"^stages\.(\d)\.blocks\.", lambda match: f"network.{2 * int(match[1])}."),
    (r"^head\.fc\.weight$", "head.proj"),
    (r"conv_kxk", "rbr_conv"),
    (r"conv_scale", "rbr_scale"),
    (r"identity", "rbr_skip"),
    (r"final_conv", "conv_exp"),
    (r"large_conv", "lkb_origin"),
    (r"mlp", "convffn"),
    (r"se\.fc1", "se.reduce"),
    (r"se\.fc2", "se.expand"),
    (r"(layer_scale(?:_\d)?)\.gamma$", r"\1"),
)
_TEXTS = (
    (r"^transformer\.resblocks\.", "transformer."),
    (r"^positional_embedding$", "positional_embedding.pos_embed.pos_embed"),
    (r"^token_embedding", "embedding_layer"),
    (r"^text_projection", "projection_layer"),
    (r"^ln_final", "final_layer_norm"),
    (r"ln_1", "pre_norm_mha.0"),
    (r"attn\.in_proj_", "pre_norm_mha.1.qkv_proj."),
    (r"attn\.out_proj", "pre_norm_mha.1.out_proj"),
    (r"ln_2", "pre_norm_ffn.0"),
    (r"mlp\.c_fc", "pre_norm_ffn.1"),
    (r"mlp\.c_proj", "pre_norm_ffn.4"),
)
"""What each of open_clip's names is there; open_clip and timm rename them back."""


def as_apple_publishes(model: Any) -> dict[str, Tensor]:
    """The weights of an open_clip model around a FastViT. It has no bias where images are projected, as theirs."""
    model.visual.trunk.head.fc.bias.data.zero_()
    published: dict[str, Tensor] = {}
    for key, value in model.state_dict().items():
        tower, _, name = key.partition(".")
        if key == "visual.trunk.head.fc.bias":
            continue
        if tower == "visual":
            renamed = "image_encoder.model." + _renamed(name.removeprefix("trunk."), _IMAGES)
            published[renamed] = value.T if renamed.endswith("head.proj") else value
        elif tower == "text":
            renamed = "text_encoder." + _renamed(name, _TEXTS)
            published[renamed] = value[None, None] if name == "positional_embedding" else value
        else:
            published[key] = value
    return published


def _renamed(name: str, rules: Any) -> str:
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name
