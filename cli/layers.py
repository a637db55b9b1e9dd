"""The option by which commands take layers."""

from typing import Annotated

import typer

from service.domain.layers import asked_layers

LayersOption = Annotated[
    str,
    typer.Option(
        help="Comma-separated names and patterns (`layer4.*`, `blocks.*.mlp`, `**.conv1`), or all, or stages: "
        "the ends of the network's stages."
    ),
]


def read_layers(text: str) -> tuple[str, ...] | None:
    """What the option asks for. See `asked_layers`."""
    return asked_layers(text if text in {"all", "stages"} else text.split(","))
