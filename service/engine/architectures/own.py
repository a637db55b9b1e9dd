"""Architectures of packages that are installed beside the worker: the entry points `mammodissect.architectures`.

A package's builder is code, so none is imported unless ARCHITECTURE_PACKAGES names its package. Which names there are
is read from the packages' descriptions, which runs nothing.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor

from service.domain.input_contract import LibraryInput
from service.domain.preprocessing import Preprocessing
from service.engine.architectures.blueprint import Blueprint
from service.engine.architectures.library_inputs import published_input
from service.errors import DissectError, InvalidArchitecture, UnknownArchitecture
from service.memory import is_out_of_memory

OWN = "own"
GROUP = "mammodissect.architectures"

Arguments = Tensor | Sequence[object] | Mapping[str, object]

_DEFAULT = Preprocessing(height=224, width=224, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
_SEPARATORS = re.compile(r"[-_.]+")
_ASK_AGAIN = "start the workers again, and ask again with POST /models/{name}/inspect"


@dataclass(frozen=True, slots=True)
class OwnArchitecture:
    """What a builder may return instead of a module alone."""

    module: nn.Module
    """The network; the checkpoint's weights are loaded into it by their names."""

    preprocessing: Preprocessing | None = None
    """How images are prepared for it; None for 224 x 224 with ImageNet's mean and standard deviation."""

    to_arguments: Callable[[Tensor], Arguments] | None = None
    """From images, float32 [B, C, H, W], to what the module is called with.

    A tensor is the one argument, a sequence are the positional ones, a mapping those with names. None: the images.
    """


@dataclass(frozen=True, slots=True)
class InstalledArchitecture:
    """An entry point of a package that is allowed."""

    name: str
    package: str
    version: str
    point: EntryPoint

    @property
    def origin(self) -> dict[str, object]:
        """What decides the network beside its weights: another version may build another one."""
        return {"package": self.package, "version": self.version}

    def draw(self, weights: Mapping[str, Tensor]) -> Blueprint:
        """Have the package build the network. Raises InvalidArchitecture where that fails or gives none."""
        built = self._built(weights)
        own = built if isinstance(built, OwnArchitecture) else OwnArchitecture(built)
        self._check(own)

        show_through(own.module, own.to_arguments, self._failed)
        if own.preprocessing is None:
            return Blueprint(own.module, weights, LibraryInput("this service", _DEFAULT, {}, general_purpose=True))
        said = published_input(self.package, own.preprocessing)
        return Blueprint(own.module, weights, said, channels=own.preprocessing.channels)

    def _built(self, weights: Mapping[str, Tensor]) -> Any:
        try:
            builder = _loaded(self.point)
            return builder(weights=weights)
        except DissectError:
            raise
        except (Exception, SystemExit) as error:
            if is_out_of_memory(error):
                raise
            raise self._failed("cannot be built", error) from error

    def _check(self, own: OwnArchitecture) -> None:
        if not isinstance(own.module, nn.Module) or isinstance(own.module, torch.jit.ScriptModule):
            raise self._wrong(
                f"returns a {type(own.module).__name__}", "Return a torch.nn.Module, or an OwnArchitecture with one."
            )
        if not isinstance(own.preprocessing, Preprocessing | None):
            raise self._wrong(
                f"gives a {type(own.preprocessing).__name__} as preprocessing",
                "Give a service.domain.preprocessing.Preprocessing, or leave it out.",
            )
        if own.to_arguments is not None and not callable(own.to_arguments):
            raise self._wrong(
                f"gives a {type(own.to_arguments).__name__} as to_arguments",
                "Give a function of a batch of images, or leave it out.",
            )

    def _wrong(self, what: str, remedy: str) -> InvalidArchitecture:
        return InvalidArchitecture(
            f"The builder '{self.name}' of package {self.package} {self.version} {what}.",
            field="architecture",
            value=f"{OWN}/{self.name}",
            remedy=f"{remedy} Install the mended package, {_ASK_AGAIN}.",
        )

    def _failed(self, what: str, error: BaseException) -> InvalidArchitecture:
        return InvalidArchitecture(
            f"The architecture '{self.name}' of package {self.package} {self.version} {what}: "
            f"{type(error).__name__}: {str(error)[:300]}",
            field="architecture",
            value=f"{OWN}/{self.name}",
            remedy=f"Mend the package or give the weights that it expects; then install it, {_ASK_AGAIN}.",
        )


def own_names() -> list[str]:
    """The names of all entry points, allowed or not, without importing anything."""
    return sorted({point.name for point in entry_points(group=GROUP)})


def find_own(name: str, packages: Sequence[str]) -> InstalledArchitecture:
    """The architecture `own/<name>`. packages: those whose code may be imported.

    Raises UnknownArchitecture where no such package offers it, or more than one does.
    """
    offered = {_package_of(point): point for point in entry_points(group=GROUP, name=name) if point.dist is not None}
    allowed = {package: point for package, point in offered.items() if package in map(_canonical, packages)}

    if len(allowed) > 1:
        raise _unknown(
            name,
            f"The packages {', '.join(sorted(allowed))} all offer an architecture '{name[:80]}'.",
            "Leave only one of them in the worker's setting ARCHITECTURE_PACKAGES, or rename the entry point in one.",
        )
    if not allowed:
        raise _not_allowed(name, sorted(offered), packages)

    [(package, point)] = allowed.items()
    return InstalledArchitecture(name, package, _version_of(point), point)


def _not_allowed(name: str, offered: Sequence[str], packages: Sequence[str]) -> UnknownArchitecture:
    if offered:
        return _unknown(
            name,
            f"The package {offered[0]} offers the architecture '{name[:80]}', but the worker's setting "
            "ARCHITECTURE_PACKAGES does not name it, so its code may not be used.",
            f"Where the package is trusted, set ARCHITECTURE_PACKAGES={','.join([*packages, offered[0]])}, "
            f"{_ASK_AGAIN}.",
        )

    there = ", ".join(own_names()) or "none"
    installed = {_package_of(point) for point in entry_points(group=GROUP) if point.dist is not None}
    absent = [package for package in packages if _canonical(package) not in installed]
    which = f" No architecture comes from {', '.join(absent)}, which ARCHITECTURE_PACKAGES names." if absent else ""
    return _unknown(
        name,
        f"No package that is installed beside the worker offers an architecture '{name[:80]}' (there are: "
        f"{there[:200]}).{which}",
        f"Install the package with an entry point '{name[:80]}' in the group {GROUP} where the worker runs, name it "
        f"in ARCHITECTURE_PACKAGES, {_ASK_AGAIN}.",
    )


def _unknown(name: str, detail: str, remedy: str) -> UnknownArchitecture:
    return UnknownArchitecture(detail, field="architecture", value=f"{OWN}/{name}", remedy=remedy)


def _package_of(point: EntryPoint) -> str:
    return "" if point.dist is None else _canonical(point.dist.name)


def _canonical(package: str) -> str:
    return _SEPARATORS.sub("-", package.strip()).lower()


@cache
def _loaded(point: EntryPoint) -> Any:
    _version_of(point)
    return point.load()


@cache
def _version_of(point: EntryPoint) -> str:
    """Of the package as it was first seen: what is installed later is not imported by this process."""
    return "" if point.dist is None else point.dist.version


class _Shown(nn.Module):
    """Before a network's own class: how it is called with images, and what becomes of its errors."""

    def forward(self, images: Tensor) -> object:
        to_arguments, failed = type(self)._shown_through  # type: ignore[attr-defined]
        try:
            arguments = images if to_arguments is None else to_arguments(images)
        except Exception as error:
            raise self._foreign(error, failed("cannot make its arguments of a batch of images", error)) from error

        try:
            if isinstance(arguments, Mapping):
                return super().forward(**arguments)
            if isinstance(arguments, Tensor):
                return super().forward(arguments)
            return super().forward(*arguments)
        except Exception as error:
            shapes = "shapes alone" if isinstance(images, FakeTensor) else "images"
            size = " x ".join(map(str, images.shape))
            raise self._foreign(error, failed(f"fails when it is shown {shapes} of {size}", error)) from error

    @staticmethod
    def _foreign(error: Exception, explained: Exception) -> Exception:
        """Ours, and what may pass, stay what they are."""
        return error if isinstance(error, DissectError) or is_out_of_memory(error) else explained


def show_through(
    module: nn.Module,
    to_arguments: Callable[[Tensor], Arguments] | None,
    failed: Callable[[str, BaseException], Exception],
) -> None:
    """Let the module take images. Its layers keep their names, as no other module is put around it.

    failed: makes an error of what it could not do and why.
    """
    kind = type(module)
    body = {"_shown_through": (to_arguments, failed), "__module__": kind.__module__, "__qualname__": kind.__qualname__}
    module.__class__ = type(kind.__name__, (_Shown, kind), body)
