"""`mammodissect layers`: the layers that were dissected."""

from typing import Annotated

import typer

from cli.client import ServiceClient
from cli.nouns.answers import Answers, Column
from cli.nouns.command import noun, verb

layers = noun("layers", "Dissected layers: list.")

JobOption = Annotated[str | None, typer.Option(help="Id of the dissection.")]
ModelOption = Annotated[str | None, typer.Option(help="Instead of job: the newest succeeded dissection of this model.")]

_COLUMNS = (
    Column("layer", "layer"),
    Column("units", "units"),
    Column("dead", "dead_units"),
    Column("mean top score", "mean_top_score"),
    Column("reach it", "threshold_met"),
    Column("significant", "significant"),
    Column("named", "verdicts.named"),
    Column("unverified", "verdicts.unverified"),
    Column("unnamed", "verdicts.unnamed"),
    Column("no signal", "verdicts.no_signal"),
)


@verb(layers, "list")
def list_layers(client: ServiceClient, answers: Answers, job: JobOption = None, model: ModelOption = None) -> None:
    """List the layers of a dissection, each in one line."""
    answers.show_list([client.get("/layers", job=job, model=model)], _COLUMNS)
