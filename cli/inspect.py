"""`mammodissect inspect`: the layers of a network, without any server."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from service.config import read_settings
from service.domain.models import TargetSpec

if TYPE_CHECKING:
    from service.domain.work import LayerListing


def inspect(
    checkpoint: Annotated[Path, typer.Argument(help="Weights file of the network.")],
    architecture: Annotated[str, typer.Argument(help="For example mammo-clip/b5, timm/resnet50.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, as GET /models/{name} shows it.")] = False,
    sha256: Annotated[str | None, typer.Option(help="The digest that the weights file must have.")] = None,
) -> None:
    """List the layers that can be dissected: kind, units, shape for one image, and what they cost.

    Cost is that of the forward pass up to the layer, in multiply-adds of matrix products, convolutions and attention.
    """
    import torch

    from service.engine.architectures import open_target
    from service.engine.probing.listing import list_layers, listing_of

    spec = TargetSpec(checkpoint, architecture, sha256, packages=read_settings().architecture_packages_named)
    target = open_target(spec, torch.device("cpu"))
    layers = [listing_of(layer) for layer in list_layers(target)]

    if as_json:
        typer.echo(json.dumps({"architecture": architecture, "sha256": target.sha256, "layers": layers}, indent=1))
        return
    Console(markup=False).print(_table(layers))


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
