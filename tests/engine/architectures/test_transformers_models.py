"""Folders of transformers open without a network, and their layers pool as hooks written for them do."""

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn

from service.domain.models import TargetSpec
from service.engine.architectures import open_target
from service.engine.probing.hooks import pooled_layers
from service.engine.probing.listing import list_layers
from service.errors import DigestMismatch, DissectError, FileOutOfReach, InvalidCheckpoint
from service.files import DataRoots

CPU = torch.device("cpu")
SIDE = 32


def vit(kind: Any = transformers.ViTForImageClassification) -> Any:
    config: Any = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, image_size=SIDE,
        patch_size=8,
    )  # fmt: skip
    config.num_labels = 4
    return kind(config)


def swin(kind: Any = transformers.SwinModel) -> Any:
    config = transformers.SwinConfig(
        image_size=SIDE, patch_size=2, embed_dim=8, depths=[1, 1], num_heads=[1, 2], window_size=4
    )
    return kind(config)


def convnext() -> Any:
    config = transformers.ConvNextConfig(hidden_sizes=[4, 8], depths=[1, 1], num_stages=2, image_size=SIDE)
    return transformers.ConvNextModel(config)


def dinov2() -> Any:
    config = transformers.Dinov2WithRegistersConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, image_size=SIDE, patch_size=8, num_register_tokens=2
    )
    return transformers.Dinov2WithRegistersModel(config)


def clip() -> Any:
    config = transformers.CLIPVisionConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, image_size=SIDE, patch_size=8
    )
    return transformers.CLIPVisionModel(config)


def saved(network: Any, folder: Path) -> Path:
    network.save_pretrained(folder)
    return folder


def tokens(output: Tensor) -> Tensor:
    return output.mean(dim=1)


def maps(output: Tensor) -> Tensor:
    return output.mean(dim=(2, 3))


def class_token(output: Tensor) -> Tensor:
    return output[:, 0]


NETWORKS: dict[str, tuple[Callable[[], Any], Callable[[Tensor], Tensor]]] = {
    "ViT with a head": (vit, class_token),
    "ViT": (lambda: vit(transformers.ViTModel), class_token),
    "ViT without pooler": (
        lambda: transformers.ViTModel(vit().config, add_pooling_layer=False),
        class_token,
    ),
    "Swin": (swin, tokens),
    "Swin with a head": (lambda: swin(transformers.SwinForImageClassification), tokens),
    "ConvNeXt": (convnext, maps),
    "DINOv2 with registers": (dinov2, class_token),
    "CLIP's image tower": (clip, class_token),
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.proves("architecture", "transformers {}")
def test_pooled_activations_equal_a_hand_written_hook(name: str, tmp_path: Path) -> None:
    build, pool = NETWORKS[name]
    torch.manual_seed(3)
    network: nn.Module = build().eval()
    target = open_target(TargetSpec(saved(network, tmp_path), "transformers/any"), CPU)
    assert (target.preprocessing.height, target.preprocessing.width) == (SIDE, SIDE)
    listed = {layer.name: layer for layer in list_layers(target)}
    main = [layer for layer in target.main_layers if layer in listed]
    assert main

    images = torch.randn(2, 3, SIDE, SIDE)
    with torch.inference_mode(), pooled_layers(target, main, "avg") as forward:
        activations = forward(images)

    outputs: dict[str, Any] = {}
    for layer in main:
        network.get_submodule(layer).register_forward_hook(
            lambda _module, _inputs, output, layer=layer: outputs.update({layer: output})
        )
    with torch.inference_mode():
        network(images)
    for layer in main:
        output = outputs[layer][0] if isinstance(outputs[layer], tuple) else outputs[layer]
        torch.testing.assert_close(activations[layer], pool(output), rtol=1e-5, atol=1e-5)


def test_weights_of_torch_save_and_the_file_itself_open_too(tmp_path: Path) -> None:
    network = vit().eval()
    folder = saved(network, tmp_path)
    from safetensors.torch import load_file

    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    (folder / "preprocessor_config.json").write_text(json.dumps({"image_mean": [0.5] * 3, "image_std": [0.25] * 3}))
    images = torch.randn(1, 3, SIDE, SIDE)
    for path in (folder, folder / "pytorch_model.bin"):
        target = open_target(TargetSpec(path, "transformers/vit"), CPU)
        assert (target.preprocessing.mean, target.preprocessing.std) == ((0.5,) * 3, (0.25,) * 3)
        with torch.inference_mode():
            torch.testing.assert_close(target.module(images).logits, network(images).logits)


def test_the_heads_of_other_tasks_are_left_out(tmp_path: Path) -> None:
    pretrained = transformers.ViTMAEForPreTraining(
        transformers.ViTMAEConfig(
            hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, image_size=SIDE,
            patch_size=8, decoder_hidden_size=16, decoder_num_hidden_layers=1, decoder_num_attention_heads=2,
            decoder_intermediate_size=32,
        )
    )  # fmt: skip
    target = open_target(TargetSpec(saved(pretrained, tmp_path), "transformers/mae"), CPU)
    assert type(target.module).__name__ == "ViTMAEModel"


def changed(folder: Path, **entries: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda folder: (folder / "config.json").unlink(), "no config.json beside"),
        (lambda folder: (folder / "model.safetensors").unlink(), "neither model.safetensors nor pytorch_model.bin"),
        (lambda folder: (folder / "config.json").write_text("{"), "not valid JSON"),
        (lambda folder: (folder / "config.json").write_text("[]"), "not a JSON object"),
        (lambda folder: changed(folder, model_type="bert"), "'bert', which is not opened here"),
        (lambda folder: changed(folder, model_type=["vit"]), "not opened here"),
        (lambda folder: changed(folder, auto_map={"AutoModel": "evil--m"}), "code of its own, which is not run"),
        (lambda folder: changed(folder, num_hidden_layers=3), "does not fit its config.json"),
        (lambda folder: changed(folder, num_hidden_layers=1), "does not fit its config.json"),
        (lambda folder: changed(folder, hidden_size=32), "does not fit its config.json"),
        (lambda folder: changed(folder, hidden_size="many"), "config.json"),
        (lambda folder: changed(folder, hidden_size=200_000, intermediate_size=200_000), "many times larger"),
    ],
)
def test_a_folder_that_does_not_fit_is_refused(tmp_path: Path, spoil: Callable[[Path], object], said: str) -> None:
    folder = saved(vit(transformers.ViTModel), tmp_path)
    spoil(folder)
    with pytest.raises(InvalidCheckpoint) as caught:
        open_target(TargetSpec(folder, "transformers/any"), CPU)
    assert said in caught.value.detail
    assert caught.value.remedy


def test_other_descriptions_than_were_registered_are_refused(tmp_path: Path) -> None:
    folder = saved(vit(), tmp_path)
    with pytest.raises(DigestMismatch, match=r"config\.json"):
        open_target(TargetSpec(folder, "transformers/any", described_by="0" * 64), CPU)


class FailingDescriptions(DataRoots):
    """A disk that fails beside the weights."""

    def open(self, path: Path, *, most: int | None = None) -> Any:
        if path.suffix == ".json":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return super().open(path, most=most)


def test_a_disk_that_fails_does_not_blame_the_descriptions(tmp_path: Path) -> None:
    folder = saved(vit(), tmp_path)
    with pytest.raises(FileOutOfReach, match="cannot be read now: Input/output error"):
        open_target(TargetSpec(folder, "transformers/any", roots=FailingDescriptions()), CPU)


def test_errors_are_of_our_own_tree() -> None:
    with pytest.raises(DissectError):
        open_target(TargetSpec(Path("/nowhere/at/all"), "transformers/any"), CPU)
