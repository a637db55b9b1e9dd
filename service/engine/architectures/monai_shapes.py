"""What the weights of MONAI's networks show of the arguments that these were built with."""

import re
from collections.abc import Callable, Iterator, Mapping
from math import isqrt

from torch import Tensor

from service.domain.input_contract import GivenInput

Arguments = dict[str, object]

ASK = object()
"""In place of an argument that the weights do not show, and that nobody may guess."""

_USUAL_WIDTH = 768
"""Of MONAI's transformers. Whoever keeps it keeps the number of heads; another width says nothing of theirs."""

_ROWS_OF_EFFICIENTNETS = {
    1408: "b2", 1536: "b3", 1792: "b4", 2048: "b5", 2304: "b6", 2560: "b7", 2816: "b8", 5504: "l2",
}  # fmt: skip
_ROWS_OF_B0_AND_B1 = 1280
_BLOCKS_OF_B0 = 16
_MOST_STAGES = 64


class Weights:
    """Entries of a file by the names that they have in the network, whatever stands before these."""

    def __init__(self, entries: Mapping[str, Tensor], root: str = "") -> None:
        """root: what all of the network's names begin with, which may have been taken for a wrapping."""
        is_bare = not any(key.startswith(root) or f".{root}" in key for key in entries)
        self._entries = {root + key: value for key, value in entries.items()} if is_bare else entries

    def shape(self, name: str) -> tuple[int, ...]:
        """Of the entry of that name; () where there is none."""
        if name in self._entries:
            return tuple(self._entries[name].shape)
        ending = f".{name}"
        return next((tuple(value.shape) for key, value in self._entries.items() if key.endswith(ending)), ())

    def rows(self, name: str) -> int | None:
        """The first dimension of the entry of that name."""
        shape = self.shape(name)
        return shape[0] if shape else None

    def count(self, pattern: str) -> int:
        """How many numbers there are in the first group of the pattern, which names end with."""
        ends = re.compile(rf"(?:^|\.){pattern}$")
        return len({match[1] for match in map(ends.search, self._entries) if match is not None})


Shown = Callable[[Weights, GivenInput], Arguments]
"""Takes the weights, and what was given of the input: some networks are built for one size."""


def nothing(_weights: Weights, _given: GivenInput) -> Arguments:
    """For networks of which all that may differ has to be given."""
    return {}


def asked(*names: str) -> Shown:
    """For networks with arguments that have no usual values."""
    return lambda _weights, _given: dict.fromkeys(names, ASK)


def densenet(weights: Weights, _given: GivenInput) -> Arguments:
    """Its blocks, and their widths."""
    growth = weights.rows("features.denseblock1.denselayer1.layers.conv2.weight")
    inner = weights.rows("features.denseblock1.denselayer1.layers.conv1.weight")
    if growth is None or inner is None:
        return {}

    blocks = (
        weights.count(rf"features\.denseblock{block}\.denselayer(\d+)\.layers\.conv1\.weight")
        for block in range(1, _MOST_STAGES)
    )
    return {
        "init_features": weights.rows("features.conv0.weight"),
        "growth_rate": growth,
        "bn_size": inner // growth,
        "block_config": _until_none(blocks),
    }


def resnet(weights: Weights, _given: GivenInput) -> Arguments:
    """Its stem, its width, and how its blocks are gone around."""
    stem = weights.shape("conv1.weight")
    if len(stem) < 3:
        return {}
    around = "layer2.0.downsample.0"
    return {
        "conv1_t_size": stem[2:],
        "widen_factor": stem[0] / 64,
        "shortcut_type": "B" if weights.shape(f"{around}.weight") else "A",
        "bias_downsample": bool(weights.shape(f"{around}.bias")),
    }


def efficientnet(weights: Weights, _given: GivenInput) -> Arguments:
    """Its name, by the width of its last convolution."""
    rows = weights.rows("_conv_head.weight")
    if rows == _ROWS_OF_B0_AND_B1:
        blocks = weights.count(r"_blocks\.(\d+\.\d+)\._depthwise_conv\.weight")
        return {"model_name": f"efficientnet-{'b0' if blocks <= _BLOCKS_OF_B0 else 'b1'}"}
    return {"model_name": f"efficientnet-{_ROWS_OF_EFFICIENTNETS.get(rows or 0, 'b0')}"}


def vit(weights: Weights, given: GivenInput) -> Arguments:
    """All but the number of heads."""
    arguments = _transformer(weights, "", given)
    hidden = arguments.get("hidden_size")
    if hidden is None:
        return {"img_size": (224, 224), "patch_size": (16, 16)}

    has_class = bool(weights.shape("cls_token"))
    after = "Tanh" if weights.shape("classification_head.0.weight") else "none"
    head = "classification_head.0.weight" if after == "Tanh" else "classification_head.weight"
    return arguments | {
        "num_layers": weights.count(r"blocks\.(\d+)\.norm1\.weight"),
        "classification": has_class,
        "post_activation": after,
        "num_classes": weights.rows(head) or 2,
    }


def unetr(weights: Weights, given: GivenInput) -> Arguments:
    """All but the number of heads. Its patches have 16 pixels, always."""
    arguments = _transformer(weights, "vit.", given)
    arguments.pop("patch_size", None)
    if "hidden_size" not in arguments:
        return {"img_size": (224, 224)}
    return arguments | {
        "feature_size": weights.rows("encoder1.layer.conv1.conv.weight") or 16,
        "out_channels": weights.rows("out.conv.conv.weight") or 2,
    }


def _transformer(weights: Weights, part: str, given: GivenInput) -> Arguments:
    hidden = weights.rows(f"{part}norm.weight")
    if hidden is None:
        return {}

    embedding = f"{part}patch_embedding.patch_embeddings"
    patches = weights.shape(f"{embedding}.weight")
    is_convolution = len(patches) > 2
    arguments: Arguments = {
        "hidden_size": hidden,
        "mlp_dim": weights.rows(f"{part}blocks.0.mlp.linear1.weight"),
        "qkv_bias": bool(weights.shape(f"{part}blocks.0.attn.qkv.bias")),
        "proj_type": "conv" if is_convolution else "perceptron",
        "patch_size": patches[2:] if is_convolution else ASK,
        "in_channels": patches[1] if is_convolution else ASK,
        "img_size": _size(weights.shape(f"{part}patch_embedding.position_embeddings"), patches[2:], given),
    }
    if hidden != _USUAL_WIDTH:
        arguments["num_heads"] = ASK
    return arguments


def _size(positions: tuple[int, ...], patch: tuple[int, ...], given: GivenInput) -> object:
    """Of the images that a table of positions is for: as given, or as wide as high."""
    if given.height is not None and given.width is not None:
        return given.height, given.width

    side = isqrt(positions[1]) if len(positions) == 3 else 0
    if not patch or side * side != positions[1]:
        return ASK
    return tuple(side * pixels for pixels in patch)


def swin_unetr(weights: Weights, _given: GivenInput) -> Arguments:
    """All that its users change."""
    stem = weights.shape("swinViT.patch_embed.proj.weight")
    if len(stem) < 3:
        return {}

    tables = [weights.shape(f"swinViT.layers{n}.0.blocks.0.attn.relative_position_bias_table") for n in range(1, 5)]
    window = (isqrt(tables[0][0]) + 1) // 2 if tables[0] else 7
    return {
        "feature_size": stem[0],
        "patch_size": stem[2],
        "in_channels": stem[1],
        "out_channels": weights.rows("out.conv.conv.weight") or 2,
        "depths": tuple(weights.count(rf"swinViT\.layers{n}\.0\.blocks\.(\d+)\.norm1\.weight") for n in range(1, 5)),
        "num_heads": tuple(table[1] if table else 3 for table in tables),
        "window_size": window,
        "qkv_bias": bool(weights.shape("swinViT.layers1.0.blocks.0.attn.qkv.bias")),
        "use_v2": weights.count(r"(swinViT\.layers1c)\.0\..*") > 0,
    }


def unet(weights: Weights, _given: GivenInput) -> Arguments:
    """All but its strides; and its norm and activation where they are not those that it has if nobody says another."""
    has_units = bool(weights.shape("model.0.conv.unit0.conv.weight"))
    convolution = "conv.unit0.conv.weight" if has_units else "conv.weight"
    level, channels = "model", []
    while stem := weights.shape(f"{level}.0.{convolution}"):
        channels.append(stem[0])
        level += ".1.submodule"
    bottom = weights.rows(f"{level}.{convolution}")
    if not channels or bottom is None:
        return {"strides": ASK}

    first = weights.shape(f"model.0.{convolution}")
    upwards = weights.shape("model.2.0.conv.weight" if has_units else "model.2.conv.weight")
    adn = "model.0.conv.unit0.adn" if has_units else "model.0.adn"
    arguments: Arguments = {
        "channels": (*channels, bottom),
        "strides": ASK,
        "kernel_size": first[2:],
        "up_kernel_size": upwards[2:],
        "num_res_units": weights.count(r"model\.0\.conv\.unit(\d+)\.conv\.weight"),
        "bias": bool(weights.shape(f"model.0.{convolution.removesuffix('weight')}bias")),
    }
    if not weights.shape(f"{adn}.A.weight"):
        arguments["act"] = ASK
    if weights.shape(f"{adn}.N.running_mean"):
        arguments["norm"] = "batch"
    elif weights.shape(f"{adn}.N.weight"):
        arguments["norm"] = ASK
    return arguments


def segresnet(weights: Weights, _given: GivenInput) -> Arguments:
    """Its blocks, and its width."""
    rows = weights.rows("convInit.conv.weight")
    if rows is None:
        return {}
    down = (weights.count(rf"down_layers\.{n}\.(\d+)\.conv1\.conv\.weight") for n in range(_MOST_STAGES))
    up = (weights.count(rf"up_layers\.{n}\.(\d+)\.conv1\.conv\.weight") for n in range(_MOST_STAGES))
    return {"init_filters": rows, "blocks_down": _until_none(down), "blocks_up": _until_none(up)}


def _until_none(counts: Iterator[int]) -> tuple[int, ...]:
    some = []
    for count in counts:
        if not count:
            break
        some.append(count)
    return tuple(some)
