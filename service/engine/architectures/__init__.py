"""The one door to target networks: an architecture's name and a weights file make a `Target`."""

from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path

import torch
from torch import nn

from service.domain.input_contract import resolve_input
from service.domain.model_folders import FAMILY, is_described_by_files, read_descriptions, weights_in
from service.domain.models import TargetSpec
from service.domain.table_targets import TABLE
from service.engine.architectures import efficientnets, libraries, monai_networks, transformers_models
from service.engine.architectures.autoencoders import add_autoencoder
from service.engine.architectures.blueprint import Family
from service.engine.architectures.input_check import check_takes, stem_channels
from service.engine.architectures.main_layers import main_layers
from service.engine.architectures.onnx_targets import ONNX, open_onnx_target
from service.engine.architectures.own import OWN, InstalledArchitecture, find_own, own_names
from service.engine.architectures.reading import load
from service.engine.architectures.table_targets import open_table_target
from service.engine.networks.checkpoints import open_checkpoint
from service.engine.networks.folding import fold_norms
from service.engine.networks.protocols import Target
from service.engine.probing.listing import choose_layers
from service.errors import DigestMismatch, InvalidCheckpoint, UnknownArchitecture
from service.files import is_lasting, out_of_reach, remedy_for

FAMILIES: dict[str, Family] = {**efficientnets.FAMILIES, **libraries.FAMILIES, **monai_networks.FAMILIES}


def open_target(spec: TargetSpec, device: torch.device, keep_layers: Sequence[str] | None = None) -> Target:
    """Build the architecture, load the weights strictly, and return the network in eval mode on `device`.

    keep_layers: the layers that will be looked at. Convolutions that are not among them may be folded into the norm
    that follows, and vanish from the layers; blocks, norms and the output stay. None keeps every layer. Names, patterns
    and STAGES, as a request has them.
    Raises UnknownArchitecture, InvalidArchitecture, InvalidCheckpoint, UnsafeCheckpoint, DigestMismatch; InvalidInput
    where what was given of the input contradicts the network, or an extra is missing; UnknownLayer for a pattern that
    no layer fits; and what `add_autoencoder` raises.
    """
    if spec.architecture in {ONNX, TABLE}:
        if spec.architecture == TABLE:
            opened = open_table_target(spec)
        else:
            opened = _with_autoencoder(open_onnx_target(spec, device), spec, device)
        return opened if keep_layers is None else replace(opened, chosen_layers=choose_layers(opened, keep_layers))

    path = spec.checkpoint
    own = _find_own(spec)
    if own is not None:
        family, model = _family_of(own), own.name
    elif is_described_by_files(spec.architecture):
        path = weights_in(path)
        family, model = _described(spec, path), ""
    else:
        family, model = _find(spec.architecture)
    checkpoint = open_checkpoint(path, sha256=spec.sha256, roots=spec.roots, wanted=spec.weights)
    loaded = load(family, model, checkpoint, spec)
    blueprint = loaded.blueprint
    network = blueprint.module
    if spec.shuffled is not None:
        shuffle_weights(network, spec.shuffled)

    module = network.get_submodule(blueprint.tower).eval()
    stem = 1 if loaded.reading["channels"] == 1 else blueprint.channels or stem_channels(module)
    contract = resolve_input(spec.input, blueprint.input, stem=stem)
    contract = replace(contract, warnings=(*contract.warnings, *blueprint.warnings))
    if spec.input is not None:
        check_takes(module, contract.preprocessing)

    target = Target(
        module=module,
        architecture=spec.architecture,
        preprocessing=contract.preprocessing,
        input=contract,
        sha256=checkpoint.sha256,
        layer_prefix=blueprint.layer_prefix,
        main_layers=tuple(blueprint.layer_prefix + name for name in main_layers(module)),
        shuffled=spec.shuffled,
        weights=spec.weights,
        reading=loaded.reading,
        left_out=tuple(blueprint.layer_prefix + name for name in loaded.left_out),
        origin={} if own is None else own.origin,
    )
    target = _with_autoencoder(target, spec, device)
    if keep_layers is not None:
        # Patterns are of the whole network: folding takes layers away.
        chosen = choose_layers(target, keep_layers)
        looked_at = chosen if target.autoencoder is None else (*chosen, target.autoencoder.layer)
        fold_norms(module, {target.module_name(name) for name in looked_at})
        target = replace(target, chosen_layers=chosen)

    module.to(device).to(memory_format=torch.channels_last)
    return target


def _with_autoencoder(target: Target, spec: TargetSpec, device: torch.device) -> Target:
    target = add_autoencoder(target, spec.autoencoder, device)
    if target.autoencoder is not None and spec.shuffled is not None:
        shuffle_weights(target.autoencoder.encoder, spec.shuffled)
    return target


def shuffle_weights(network: nn.Module, seed: int) -> None:
    """Exchange the entries within every parameter tensor at random: nothing learned is left, every layer's scale is.

    Drawing new weights would not do for this null: the running statistics of the norms would no longer fit, and
    activations would die away or explode from layer to layer.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for _, parameter in sorted(network.named_parameters()):
            order = torch.randperm(parameter.numel(), generator=generator)
            parameter.copy_(parameter.flatten()[order].view_as(parameter))


def architectures() -> list[str]:
    """Every architecture's name, those of installed packages that are not allowed included."""
    names = [f"{family}/{model}" if model else family for family, kind in FAMILIES.items() for model in kind.models()]
    return [*names, *(f"{OWN}/{name}" for name in own_names()), ONNX, TABLE]


def _find_own(spec: TargetSpec) -> InstalledArchitecture | None:
    family, _, name = spec.architecture.partition("/")
    return find_own(name, spec.packages) if family == OWN else None


def _family_of(own: InstalledArchitecture) -> Family:
    return Family(lambda: (own.name,), lambda _, weights, _given: own.draw(weights))


def _described(spec: TargetSpec, weights: Path) -> Family:
    """The network that the files beside its weights describe. Raises InvalidCheckpoint, DigestMismatch."""
    try:
        descriptions, digest = read_descriptions(weights, spec.roots)
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and not is_lasting(error):
            raise out_of_reach("description beside the weights", error, field="checkpoint", value=weights) from error
        raise InvalidCheckpoint(
            "The files beside the weights cannot be read.",
            field="checkpoint",
            value=weights,
            remedy=remedy_for(error, "Name a folder that the service may read, inside DATA_ROOTS where these are set."),
        ) from error

    if spec.described_by is not None and digest != spec.described_by:
        raise DigestMismatch(
            "The config.json or preprocessor_config.json beside the weights is not what was registered.",
            field="checkpoint",
            value=weights,
            remedy="Put the registered files back, or register the folder again.",
        )
    return transformers_models.family_of(descriptions)


def _find(architecture: str) -> tuple[Family, str]:
    name, _, model = architecture.partition("/")
    family = FAMILIES.get(name)
    listed = model.partition("/")[0] if family is not None and family.takes_arguments else model
    if family is not None and listed in family.models():
        return family, model

    families = ", ".join((*FAMILIES, FAMILY, OWN, ONNX, TABLE))
    near = get_close_matches(architecture, architectures(), n=5, cutoff=0.5)
    raise UnknownArchitecture(
        f"There is no architecture '{architecture[:120]}'.",
        field="architecture",
        value=architecture,
        remedy=f"Near matches: {', '.join(near)}." if near else f"Families: {families}.",
    )
