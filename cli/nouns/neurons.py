"""`mammodissect neurons`: what units are named after, and why."""

from typing import Annotated, Literal

import typer

from cli.client import ServiceClient, path_of
from cli.nouns.answers import Answers, Column
from cli.nouns.command import DEFAULT_LIMIT, All, Limit, limit_of, noun, verb
from cli.nouns.layers import JobOption, ModelOption
from service.domain.verdicts import Verdict
from service.errors import InvalidInput

neurons = noun("neurons", "What units are named after: list, show, search.")

_COLUMNS = (
    Column("layer", "layer"),
    Column("unit", "unit"),
    Column("concept", "concept"),
    Column("name", "name"),
    Column("verdict", "verdict"),
    Column("category", "category"),
    Column("score", "score"),
    Column("z", "evidence.significance.z"),
    Column("q", "evidence.significance.q"),
)
_FOUND = (
    Column("cosine", "cosine"),
    Column("model", "model"),
    Column("job", "job"),
    *_COLUMNS[:6],
    Column("score", "score"),
    Column("z", "z"),
)

Unit = Annotated[int, typer.Argument(min=0, help="Number of the unit.")]
Verdicts = Annotated[list[Verdict] | None, typer.Option(help="Only with this verdict; repeat it for any of several.")]
Category = Annotated[str | None, typer.Option(help="Only of this category.")]


@verb(neurons, "list")
def list_neurons(
    client: ServiceClient,
    answers: Answers,
    layer: Annotated[str | None, typer.Argument(help="Layer. Left out: all layers.")] = None,
    job: JobOption = None,
    model: ModelOption = None,
    concept: Annotated[str | None, typer.Option(help="Only with this label.")] = None,
    category: Category = None,
    broad_category: Annotated[str | None, typer.Option(help="Only of this broad category.")] = None,
    min_score: Annotated[float | None, typer.Option(help="Only with at least this top score.")] = None,
    dead: Annotated[bool | None, typer.Option("--dead/--live", help="Only dead, or only live ones.")] = None,
    significant: Annotated[
        bool | None, typer.Option("--significant/--not-significant", help="Only labels that beat the null, or others.")
    ] = None,
    verdict: Verdicts = None,
    sort: Annotated[
        Literal["-score", "-z", "unit"], typer.Option(help="By falling score or z, or by unit.")
    ] = "-score",
    limit: Limit = DEFAULT_LIMIT,
    everything: All = False,
) -> None:
    """List neurons in brief."""
    path = "/neurons" if layer is None else path_of("neurons", layer)
    filters = {
        "job": job,
        "model": model,
        "concept": concept,
        "category": category,
        "broad_category": broad_category,
        "min_score": min_score,
        "dead": dead,
        "significant": significant,
        "verdict": verdict or None,
        "sort": sort,
    }
    answers.show_list(client.pages(path, filters, limit=limit_of(limit, everything=everything)), _COLUMNS)


@verb(neurons, "show")
def show_neuron(
    client: ServiceClient,
    answers: Answers,
    layer: Annotated[str, typer.Argument(help="Its layer.")],
    unit: Unit,
    job: JobOption = None,
    model: ModelOption = None,
) -> None:
    """Show everything that is known about one neuron."""
    answers.show(client.get(path_of("neurons", layer, unit), job=job, model=model))


@verb(neurons, "search")
def search_neurons(
    client: ServiceClient,
    answers: Answers,
    concept: Annotated[str | None, typer.Option(help="Like this concept.")] = None,
    text: Annotated[str | None, typer.Option(help="Like this text; a worker has the dissector read it.")] = None,
    neuron: Annotated[str | None, typer.Option(help="Like this neuron, as JOB/LAYER/UNIT.")] = None,
    image: Annotated[str | None, typer.Option(help="Like this probe image, as JOB/ROW.")] = None,
    dissector: Annotated[str | None, typer.Option(help="In the space of this dissector.")] = None,
    model: Annotated[str | None, typer.Option(help="Only of this model.")] = None,
    job: Annotated[str | None, typer.Option(help="Only of this dissection.")] = None,
    layer: Annotated[str | None, typer.Option(help="Only of this layer.")] = None,
    verdict: Verdicts = None,
    category: Category = None,
    min_z: Annotated[float | None, typer.Option(help="Only with at least this z.")] = None,
    limit: Limit = DEFAULT_LIMIT,
    everything: All = False,
) -> None:
    """Search neurons over all layers, jobs and models, most alike first."""
    asked = {"concept": concept, "text": text, "neuron": neuron, "image": image}
    given = [name for name, value in asked.items() if value is not None]
    if len(given) != 1:
        raise InvalidInput(
            f"Search for one thing at a time; {', '.join(given) or 'nothing'} is given.",
            field="concept",
            remedy="Give --concept, --text, --neuron or --image.",
        )

    filters = {
        "dissector": dissector,
        "model": model,
        "job": job,
        "layer": layer,
        "verdict": verdict or None,
        "category": category,
        "min_z": min_z,
    }
    pages = client.pages("/search/neurons", {**asked, **filters}, limit=limit_of(limit, everything=everything))
    answers.show_list(pages, _FOUND)
