"""Networks whose layers are read in other ways than a convolution's, from registration to top images."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import transformers
from safetensors.torch import save_file
from torch import Tensor, nn

from service.db.jobs import parts_of
from service.db.session import Sessions, transaction
from service.domain.jobs import JobStatus
from service.domain.layers import STAGES
from service.domain.models import TargetSpec
from service.domain.specs import model_spec
from service.engine.architectures import open_target
from service.files import ANYWHERE
from service.probes.images import open_images
from service.probes.manifest import read_manifest
from service.usecases.models import NamedCheckpoint, register_model
from service.usecases.neurons import read_layers
from tests.pipelines.conftest import Run
from tests.pipelines.small_jobs import IMAGES, submit
from tests.usecases.factories import RecordingQueue

nets: Any = import_module("monai.networks.nets")


def transformers_swin(folder: Path) -> tuple[Path, Any]:
    config = transformers.SwinConfig(
        image_size=64, patch_size=4, embed_dim=8, depths=[1, 1], num_heads=[1, 2], window_size=4
    )
    network = transformers.SwinModel(config)
    network.save_pretrained(folder / "swin")
    return folder / "swin", network


def timm_convnext(folder: Path) -> tuple[Path, Any]:
    network = timm.create_model("test_convnext")
    save_file(network.state_dict(), folder / "other.safetensors")
    return folder / "other.safetensors", network


def monai_densenet(folder: Path) -> tuple[Path, Any]:
    network = nets.DenseNet121(2, 1, 2, init_features=8, growth_rate=4, block_config=(2, 2))
    save_file(network.state_dict(), folder / "other.safetensors")
    return folder / "other.safetensors", network


def monai_vit(folder: Path) -> tuple[Path, Any]:
    network = nets.ViT(
        1, 64, 16, hidden_size=12, mlp_dim=24, num_layers=2, num_heads=2, classification=True, spatial_dims=2
    )
    save_file(network.state_dict(), folder / "other.safetensors")
    return folder / "other.safetensors", network


def maps(output: Tensor) -> Tensor:
    return output.mean(dim=(2, 3))


def class_token(output: Tensor) -> Tensor:
    return output[:, 0]


def tokens(output: tuple[Tensor, ...]) -> Tensor:
    return output[0].mean(dim=1)


@pytest.mark.parametrize(
    ("save", "architecture", "layers_asked", "pool"),
    [
        (transformers_swin, "transformers/swin", "encoder.layers.*", tokens),
        (timm_convnext, "timm/test_convnext", STAGES, maps),
        (monai_densenet, "monai/DenseNet121", "features.denseblock*", maps),
        (monai_vit, "monai/ViT/num_heads=2", "blocks.*", class_token),
    ],
    ids=["transformers Swin", "timm ConvNeXt", "MONAI's DenseNet121", "MONAI's ViT"],
)
@pytest.mark.proves("architecture", "{}, registered and dissected by a worker")
def test_top_images_are_those_of_a_hand_written_hook(
    sessions: Sessions,
    folder: Path,
    run: Run,
    save: Callable[[Path], tuple[Path, nn.Module]],
    architecture: str,
    layers_asked: str,
    pool: Callable[[Any], Tensor],
) -> None:
    torch.manual_seed(5)
    path, network = save(folder)
    with transaction(sessions) as session:
        register_model(
            session, RecordingQueue(), NamedCheckpoint(str(path), architecture), name="other", roots=ANYWHERE
        )
    job = run(submit(sessions, folder, target="other", layers=(layers_asked,)))
    assert job.status is JobStatus.SUCCEEDED, job.problem
    with transaction(sessions) as session:
        layers = {layer.layer: layer.neurons for layer in read_layers(session, job.id)}
        spec = model_spec(parts_of(session, job.id).target)
    assert len(layers) > 1

    outputs: dict[str, Tensor] = {}
    for name in layers:
        network.get_submodule(name).register_forward_hook(
            lambda _module, _inputs, output, name=name: outputs.update({name: pool(output)})
        )
    described_by = spec.get("described_by")
    assert (described_by is None) == (architecture != "transformers/swin")
    contract = open_target(
        TargetSpec(Path(spec["checkpoint"]), architecture, described_by=described_by), torch.device("cpu")
    ).preprocessing
    images = open_images(read_manifest(folder / "manifest.csv", name="probes", patches=None, on_unreadable="fail"))
    shown = torch.stack([torch.from_numpy(images.load(index, [contract])[0]) for index in range(IMAGES)])
    with torch.inference_mode():
        network.eval()(shown)

    for name, neurons in layers.items():
        expected = outputs[name].topk(3, dim=0)
        for neuron in neurons:
            activations = torch.tensor([image.activation for image in neuron.images])
            torch.testing.assert_close(activations, expected.values[:, neuron.unit], rtol=1e-4, atol=1e-5)
            rows = [image.row - 1 for image in neuron.images]
            torch.testing.assert_close(outputs[name][rows, neuron.unit], activations, rtol=1e-4, atol=1e-5)


def test_a_description_that_changed_since_it_was_registered_is_refused(
    sessions: Sessions, folder: Path, run: Run
) -> None:
    path, _ = transformers_swin(folder)
    named = NamedCheckpoint(str(path), "transformers/swin")
    with transaction(sessions) as session:
        first, _ = register_model(session, RecordingQueue(), named, name="other", roots=ANYWHERE)
    submitted = submit(sessions, folder, target="other", layers=(STAGES,))
    text = (path / "config.json").read_text()
    (path / "config.json").write_text(text.replace('"layer_norm_eps": 1e-05', '"layer_norm_eps": 0.5'))
    job = run(submitted)
    assert job.status is JobStatus.FAILED
    assert job.problem is not None
    assert job.problem["code"] == "digest-mismatch"
    with transaction(sessions) as session:
        second, is_new = register_model(session, RecordingQueue(), named, name="other", roots=ANYWHERE)
    assert (is_new, second.version) == (True, first.version + 1)
