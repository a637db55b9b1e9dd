"""`mammodissect inspect`: the layers of a network, without any server."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from cli import autoencoder_options, input_options
from cli.local_files import check_local
from service.config import read_settings
from service.domain.autoencoders import autoencoder_in_words
from service.domain.models import TargetSpec
from service.domain.table_targets import table_in_words
from service.domain.weights_reading import reading_in_words

if TYPE_CHECKING:
    from service.domain.work import LayerListing
    from service.engine.networks.protocols import Target


def inspect(
    checkpoint: Annotated[Path, typer.Argument(help="Weights file of the network.")],
    architecture: Annotated[str, typer.Argument(help="For example mammo-clip/b5, timm/resnet50.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, as GET /models/{name} shows it.")] = False,
    sha256: Annotated[str | None, typer.Option(help="The digest that the weights file must have.")] = None,
    weights: Annotated[
        str | None, typer.Option(help="Which of the file's sets of weights, for example state_dict_ema.")
    ] = None,
    input_values: Annotated[list[str] | None, typer.Option("--input", help=input_options.HELP)] = None,
    autoencoder: Annotated[list[str] | None, typer.Option(help=autoencoder_options.HELP)] = None,
) -> None:
    """List the layers that can be dissected, how the weights were read, and how images reach the network.

    Of each layer: kind, units, shape for one image, and what it costs.

    Cost is that of the forward pass up to the layer, in multiply-adds of matrix products, convolutions and attention.
    """
    import torch

    from service.engine.architectures import open_target
    from service.engine.probing.listing import list_layers, listing_of

    check_local(checkpoint)
    spec = TargetSpec(
        checkpoint,
        architecture,
        sha256,
        input=input_options.read_input(input_values),
        packages=read_settings().architecture_packages_named,
        weights=weights,
        autoencoder=autoencoder_options.read_autoencoder_options(autoencoder),
    )
    target = open_target(spec, torch.device("cpu"))
    layers = [listing_of(layer) for layer in list_layers(target)]

    if as_json:
        printed = {
            "architecture": architecture,
            "sha256": target.sha256,
            "reading": target.reading,
            "input": None if target.input is None else target.input.entries(),
            "warnings": list(target.warnings),
            **({} if target.recorded is None else {"table": target.recorded.notes}),
            "autoencoder": None if target.autoencoder is None else target.autoencoder.reading,
            "layers": layers,
        }
        typer.echo(json.dumps(printed, indent=1))
        return

    console = Console(markup=False)
    console.print(_table(layers))
    for sentence in _said_of(target):
        console.print(sentence)


def _said_of(target: "Target") -> Iterator[str]:
    """What was decided when the network was opened, in whole sentences."""
    if target.reading is not None:
        yield from reading_in_words(target.reading)
    if target.input is not None:
        values = ", ".join(
            f"{name} {entry['value']} ({entry['origin']})" for name, entry in target.input.entries().items()
        )
        yield f"Images reach the network with {values}."
    if target.recorded is not None:
        yield from table_in_words(target.recorded.notes)
    if target.autoencoder is not None:
        yield from autoencoder_in_words(target.autoencoder.reading)
    yield from target.warnings


def _table(layers: "list[LayerListing]") -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("layer", "kind"):
        table.add_column(heading, overflow="fold")
    for heading in ("units", "shape", "million multiply-adds", "share"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("meant by", no_wrap=True)

    for layer in layers:
        meant_by = [word for word, is_meant in (("all", layer["is_main"]), ("stages", layer["ends_stage"])) if is_meant]
        table.add_row(
            layer["name"],
            layer["kind"],
            f"{layer['units']}",
            " x ".join(map(str, layer["shape"])),
            f"{layer['multiply_adds'] / 1e6:,.1f}",
            f"{layer['share']:.1%}",
            ", ".join(meant_by),
        )
    return table
