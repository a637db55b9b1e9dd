"""Packages with architectures, as pip would leave them: a module, and a description with its entry points."""

from pathlib import Path

WARD = """
import torch
from torch import nn

from service.domain.preprocessing import Preprocessing
from service.engine.architectures.own import OwnArchitecture


class TwoViews(nn.Module):
    def __init__(self, width, classes):
        super().__init__()
        self.stem = nn.Conv2d(1, width, 3, padding=1)
        self.head = nn.Linear(width, classes)

    def forward(self, image, *, mirrored):
        maps = torch.relu(self.stem(image)) + self.stem(mirrored).flip(3)
        return self.head(maps.mean(dim=(2, 3)))


def two_views(weights):
    classes, width = weights["head.weight"].shape
    return OwnArchitecture(
        TwoViews(width, classes),
        preprocessing=Preprocessing(32, 24, mean=(0.5,), std=(0.25,), channels=1),
        to_arguments=lambda images: {"image": images, "mirrored": images.flip(3)},
    )


def plain(weights):
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())


def raising(weights):
    raise RuntimeError("no such width")


def leaving(weights):
    raise SystemExit(3)


def no_module(weights):
    return {"weights": weights}


def no_preprocessing(weights):
    return OwnArchitecture(plain(weights), preprocessing=(224, 224))


def no_function(weights):
    return OwnArchitecture(plain(weights), to_arguments="images")


def wrong_arguments(weights):
    return OwnArchitecture(plain(weights), to_arguments=lambda images: images.nothing)


def too_many_arguments(weights):
    return OwnArchitecture(plain(weights), to_arguments=lambda images: (images, images))


def no_keywords():
    return plain({})
"""


def install(folder: Path, *, package: str, module: str, code: str = WARD, version: str = "1.2", **points: str) -> None:
    """Put a package into a folder. points: name of each entry point -> the builder in the module."""
    (folder / f"{module}.py").write_text(code)
    info = folder / f"{module}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
    lines = [f"{name} = {module}:{builder}" for name, builder in points.items()]
    (info / "entry_points.txt").write_text("\n".join(["[mammodissect.architectures]", *lines, ""]))
