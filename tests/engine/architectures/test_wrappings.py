"""Checkpoints as people save them: whatever is around the weights, the network's own names find them."""

import argparse
import copy
import enum
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from omegaconf import OmegaConf
from torch import nn
from torch.optim.swa_utils import AveragedModel

from service.domain.models import TargetSpec
from service.domain.weights_reading import reading_in_words
from service.engine.architectures import open_target
from service.errors import InvalidCheckpoint, UnsafeCheckpoint
from tests.engine.architectures.saved import CPU, NAME, State, assert_is, network, opened, reading_of, state, under


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


def test_a_file_of_another_network_is_no_file_of_many(tmp_path: Path) -> None:
    other = timm.create_model("test_vit", num_classes=4).state_dict()
    with pytest.raises(InvalidCheckpoint, match="does not fit timm/test_resnet"):
        opened(tmp_path, other)


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
