"""Architectures of packages that are installed beside the worker."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from service.domain.models import TargetSpec
from service.engine.architectures import architectures, open_target
from service.engine.networks.protocols import Target
from service.engine.probing.hooks import pooled_layers
from service.engine.probing.listing import list_layers
from service.errors import DissectError, InvalidArchitecture, InvalidCheckpoint, UnknownArchitecture
from tests.engine.architectures.own_packages import WARD, install

CPU = torch.device("cpu")
BUILDERS = (
    *("two_views", "plain", "raising", "leaving", "no_module", "no_preprocessing"),
    *("no_function", "wrong_arguments", "too_many_arguments", "no_keywords"),
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """On the path of modules, with a package in it whose module has a name of its own."""
    place = tmp_path / "site"
    place.mkdir()
    monkeypatch.syspath_prepend(str(place))
    return place


@pytest.fixture
def module(folder: Path, request: pytest.FixtureRequest) -> str:
    name = f"ward_{abs(hash(request.node.name))}"
    install(folder, package="Ward_Networks", module=name, **{builder: builder for builder in BUILDERS})
    return name


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(3)
    path = tmp_path / "weights.safetensors"
    save_file(
        {
            "stem.weight": torch.randn(6, 1, 3, 3),
            "stem.bias": torch.randn(6),
            "head.weight": torch.randn(2, 6),
            "head.bias": torch.randn(2),
        },
        path,
    )
    return path


@pytest.fixture
def plain_weights(tmp_path: Path) -> Path:
    torch.manual_seed(3)
    path = tmp_path / "plain.safetensors"
    save_file(nn.Sequential(nn.Conv2d(3, 4, 3)).state_dict(), path)
    return path


def opened(weights: Path, name: str = "two_views", packages: tuple[str, ...] = ("ward-networks",)) -> Target:
    return open_target(TargetSpec(weights, f"own/{name}", packages=packages), CPU)


def refusal(weights: Path, name: str = "two_views", packages: tuple[str, ...] = ("ward-networks",)) -> DissectError:
    with pytest.raises(DissectError) as refused:
        list_layers(opened(weights, name, packages))
    assert refused.value.field == "architecture"
    assert refused.value.value == f"own/{name}"
    return refused.value


@pytest.mark.parametrize("named", ["ward-networks", "Ward_Networks", "ward.networks"])
@pytest.mark.proves("architecture", "own, by an entry point, with arguments of its own")
def test_a_network_of_two_views(module: str, weights: Path, named: str) -> None:
    target = opened(weights, packages=("other", named))
    assert (target.preprocessing.height, target.preprocessing.channels) == (32, 1)
    assert target.origin == {"package": "ward-networks", "version": "1.2"}
    assert target.input is not None
    assert target.input.warnings == ()
    assert [(layer.name, layer.units, layer.kind) for layer in list_layers(target)] == [("head", 2, "Linear")]

    images = torch.randn(3, 1, 32, 24)
    with torch.inference_mode(), pooled_layers(target, ("head",), "avg") as forward:
        [seen] = forward(images).values()
        expected = sys.modules[module].TwoViews(6, 2)
        expected.load_state_dict(target.module.state_dict())
        torch.testing.assert_close(seen, expected(images, mirrored=images.flip(3)))


def test_a_module_alone_is_shown_images_at_a_default_that_is_said(module: str, plain_weights: Path) -> None:
    target = opened(plain_weights, "plain")
    assert (target.preprocessing.height, target.preprocessing.width) == (224, 224)
    assert target.input is not None
    [warning] = target.input.warnings
    assert "height, width, mean and std are what this service has for photographs" in warning
    assert [layer.name for layer in list_layers(target)] == ["0", "1"]


def test_weights_are_loaded_strictly(module: str, plain_weights: Path, tmp_path: Path) -> None:
    short = tmp_path / "short.safetensors"
    save_file({"0.weight": torch.zeros(4, 3, 3, 3)}, short)
    with pytest.raises(InvalidCheckpoint, match="1 missing"):
        opened(short, "plain")


def test_a_package_that_is_not_named_is_not_imported(module: str, weights: Path) -> None:
    assert "own/two_views" in architectures()
    error = refusal(weights, packages=("other",))
    assert isinstance(error, UnknownArchitecture)
    assert "package ward-networks offers" in error.detail
    assert "ARCHITECTURE_PACKAGES=other,ward-networks" in str(error.remedy)
    assert module not in sys.modules

    opened(weights, packages=("other", "ward-networks"))  # as the remedy says


def test_a_name_that_no_package_offers(module: str, weights: Path) -> None:
    error = refusal(weights, "three_views", ("absent-networks",))
    assert "No package that is installed beside the worker offers an architecture 'three_views'" in error.detail
    assert "two_views" in error.detail
    assert "absent-networks, which ARCHITECTURE_PACKAGES names" in error.detail
    assert "entry point 'three_views' in the group mammodissect.architectures" in str(error.remedy)


def test_two_packages_with_one_name(module: str, folder: Path, weights: Path) -> None:
    install(folder, package="clinic-networks", module=f"clinic_{module}", two_views="two_views")
    error = refusal(weights, packages=("ward-networks", "clinic-networks"))
    assert "clinic-networks, ward-networks all offer" in error.detail
    assert opened(weights, packages=("clinic-networks",)).origin["package"] == "clinic-networks"  # as the remedy says


@pytest.mark.parametrize(
    ("builder", "said"),
    [
        ("raising", "cannot be built: RuntimeError: no such width"),
        ("leaving", "cannot be built: SystemExit: 3"),
        ("no_keywords", "cannot be built: TypeError: no_keywords() got an unexpected keyword argument 'weights'"),
        ("no_module", "returns a dict"),
        ("no_preprocessing", "gives a tuple as preprocessing"),
        ("no_function", "gives a str as to_arguments"),
        ("wrong_arguments", "cannot make its arguments of a batch of images: AttributeError"),
        ("too_many_arguments", "fails when it is shown shapes alone of 2 x 3 x 224 x 224: TypeError"),
    ],
)
def test_a_builder_that_fails(module: str, plain_weights: Path, builder: str, said: str) -> None:
    error = refusal(plain_weights, builder)
    assert isinstance(error, InvalidArchitecture)
    assert said in error.detail
    assert "ward-networks 1.2" in error.detail
    assert "POST /models/{name}/inspect" in str(error.remedy)


def test_a_module_that_cannot_be_imported(folder: Path, weights: Path) -> None:
    install(folder, package="broken-networks", module="broken_networks", code="import nothing_there", net="net")
    error = refusal(weights, "net", ("broken-networks",))
    assert "No module named 'nothing_there'" in error.detail


def test_a_network_much_larger_than_its_weights_is_refused(folder: Path, plain_weights: Path) -> None:
    code = "from torch import nn\n\ndef large(weights):\n    return nn.Linear(40_000, 10_000)\n"
    install(folder, package="large-networks", module="large_networks", code=code, large="large")
    with pytest.raises(InvalidCheckpoint, match="many times larger"):
        opened(plain_weights, "large", ("large-networks",))


def test_the_version_is_a_part_of_what_decides_the_network(folder: Path, weights: Path) -> None:
    origins: list[Any] = []
    for number, version in enumerate(("1.0", "2.0")):
        install(
            folder, package=f"p{number}", module=f"p{number}_{version[0]}", code=WARD, version=version, net="two_views"
        )
        origins.append(opened(weights, "net", (f"p{number}",)).origin["version"])
    assert origins == ["1.0", "2.0"]
