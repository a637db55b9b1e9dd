"""`mammodissect jobs submit`: ask a service for a dissection."""

from typing import Annotated, Any
from uuid import uuid4

import typer

from cli.client import ServiceClient
from cli.nouns.answers import Answers
from cli.nouns.bodies import BodyFile, body_of, required
from cli.nouns.command import verb
from cli.nouns.dissectors import prompts_of
from cli.nouns.jobs import finish, jobs
from service.domain.methods import Pooling, Similarity
from service.domain.purposes import Purpose
from service.errors import InvalidInput

_REQUIRED = {
    "target": "--target",
    "dissector": "--dissector",
    "probe_set": "--probe-set",
    "concept_set": "--concept-set",
    "layers": "--layers",
}


@verb(jobs, "submit")
def submit_job(
    client: ServiceClient,
    answers: Answers,
    target: Annotated[str | None, typer.Option(help="Registered model.")] = None,
    dissector: Annotated[str | None, typer.Option(help="Registered dissector.")] = None,
    probe_set: Annotated[str | None, typer.Option(help="Registered probe set.")] = None,
    concept_set: Annotated[str | None, typer.Option(help="Registered concept set, such as bi-rads.")] = None,
    layers: Annotated[
        str | None, typer.Option(help="Comma-separated names and patterns (`layer4.*`, `**.conv1`), or all, or stages.")
    ] = None,
    where: Annotated[
        list[str] | None, typer.Option(help="Only images with these values, as density=C,D; repeat it.")
    ] = None,
    similarity: Annotated[Similarity | None, typer.Option(help="Left out: contrast.")] = None,
    pooling: Annotated[Pooling | None, typer.Option(help="Left out: avg.")] = None,
    top_k: Annotated[int | None, typer.Option(min=1, help="Images per neuron that the label rests on.")] = None,
    template: Annotated[list[str] | None, typer.Option(help="Prompt with one {} for a concept; repeat it.")] = None,
    synonyms: Annotated[bool, typer.Option("--synonyms", help="A concept's synonyms count as its text does.")] = False,
    subtract_empty: Annotated[
        bool, typer.Option("--subtract-empty", help="Subtract the similarity to the templates without a name.")
    ] = False,
    draws: Annotated[int | None, typer.Option(min=0, help="Random image sets for p-values; 0: no evidence.")] = None,
    resamples: Annotated[int | None, typer.Option(min=0, help="Resamples of the exams for stability.")] = None,
    halves: Annotated[int | None, typer.Option(min=0, help="Splits of the exams.")] = None,
    error_level: Annotated[float | None, typer.Option(help="Share of wrong names that verdicts may have.")] = None,
    localise: Annotated[
        bool, typer.Option("--localise", help="Hold the maps of labelled neurons against the places of findings.")
    ] = False,
    concepts_per_neuron: Annotated[int | None, typer.Option(min=1)] = None,
    images_per_neuron: Annotated[int | None, typer.Option(min=1)] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Images per forward pass.")] = None,
    shuffled: Annotated[int | None, typer.Option(min=0, help="As a null: shuffle the weights with this seed.")] = None,
    queue: Annotated[str | None, typer.Option(help="Jobs of one queue take turns with those of others.")] = None,
    priority: Annotated[int | None, typer.Option(help="Higher ones go first.")] = None,
    purpose: Annotated[Purpose | None, typer.Option(help="What it is for. Left out: research.")] = None,
    override_reason: Annotated[
        str | None, typer.Option(help="Why parts are used that do not allow the purpose.")
    ] = None,
    body: BodyFile = None,
    idempotency_key: Annotated[
        str | None, typer.Option(help="The same key again is the same job. Left out: a new one for each command.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until it ends; status 2 unless it succeeds.")] = False,
) -> None:
    """Ask for a dissection. A request whose answer was lost is sent again, and makes no second job."""
    prompts = prompts_of(template, synonyms=synonyms, subtract_empty=subtract_empty)
    request = body_of(
        body,
        target=target,
        dissector=dissector,
        probe_set=probe_set,
        concept_set=concept_set,
        layers=None if layers is None else layers_asked(layers),
        where=where_of(where),
        method=_given(similarity=similarity, pooling=pooling, top_k=top_k, prompts=prompts),
        evidence=_given(draws=draws, resamples=resamples, halves=halves, error_level=error_level),
        concepts_per_neuron=concepts_per_neuron,
        images_per_neuron=images_per_neuron,
        batch_size=batch_size,
        shuffled=shuffled,
        queue=queue,
        priority=priority,
        purpose=purpose,
        override_purpose=_given(reason=override_reason),
    )
    if localise:
        request.setdefault("localisation", {})
    required(request, **_REQUIRED)

    job = client.post("/jobs", request, idempotency_key=idempotency_key or str(uuid4()))
    if wait:
        answers.say(f"Job {job['id']} of {job['target']}")
        finish(client, answers, job["id"])
    else:
        answers.show(job)


def layers_asked(text: str) -> str | list[str]:
    """Layers as the API takes them."""
    return text if text in {"all", "stages"} else [layer.strip() for layer in text.split(",")]


def where_of(entries: list[str] | None) -> dict[str, list[str]] | None:
    """Values of columns as the API takes them. Raises InvalidInput for an entry of another form."""
    if not entries:
        return None

    where: dict[str, list[str]] = {}
    for entry in entries:
        column, equals, text = entry.partition("=")
        if not equals or not column.strip() or not text.strip():
            raise InvalidInput(
                f"'{entry[:80]}' names no column and values.",
                field="where",
                value=entry,
                remedy="Write the column, `=` and its values with commas between them, as in --where density=C,D.",
            )
        values = [value.strip() for value in text.split(",")]
        where.setdefault(column.strip(), []).extend(values)
    return where


def _given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
