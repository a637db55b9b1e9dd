"""`mammodissect dissectors`: the image-text models that score images against concepts."""

from typing import Annotated

import typer

from cli.client import ServiceClient, path_of
from cli.nouns.answers import Answers, Column
from cli.nouns.bodies import AllowedPurpose, BodyFile, Licence, Wait, body_of, required, server_path
from cli.nouns.command import DEFAULT_LIMIT, All, Limit, Name, limit_of, noun, verb
from cli.nouns.registered import register

dissectors = noun("dissectors", "Image-text models that score images against concepts: register, list, show.")

_COLUMNS = (
    Column("dissector", "reference"),
    Column("state", "state"),
    Column("path", "spec.path"),
    Column("registered", "created_at"),
)


@verb(dissectors, "register")
def register_dissector(
    client: ServiceClient,
    answers: Answers,
    name: Annotated[str, typer.Argument(help="Its name.")],
    path: Annotated[str | None, typer.Option(help="Its directory as the service sees it.")] = None,
    template: Annotated[
        list[str] | None, typer.Option(help="Prompt of jobs that give none, with one {} for a concept; repeat it.")
    ] = None,
    synonyms: Annotated[bool, typer.Option("--synonyms", help="A concept's synonyms count as its text does.")] = False,
    subtract_empty: Annotated[
        bool, typer.Option("--subtract-empty", help="Subtract the similarity to the templates without a name.")
    ] = False,
    licence: Licence = None,
    allowed_purpose: AllowedPurpose = None,
    body: BodyFile = None,
    wait: Wait = False,
) -> None:
    """Register a dissector directory; a worker then opens it."""
    request = body_of(
        body,
        name=name,
        path=server_path(path),
        prompts=prompts_of(template, synonyms=synonyms, subtract_empty=subtract_empty),
        licence=licence,
        allowed_purposes=allowed_purpose,
    )
    required(request, path="--path")
    register(client, answers, "/dissectors", request, wait=wait)


@verb(dissectors, "list")
def list_dissectors(
    client: ServiceClient, answers: Answers, limit: Limit = DEFAULT_LIMIT, everything: All = False
) -> None:
    """List dissectors, newest first, with their state: whether a worker could open them."""
    answers.show_list(client.pages("/dissectors", {}, limit=limit_of(limit, everything=everything)), _COLUMNS)


@verb(dissectors, "show")
def show_dissector(client: ServiceClient, answers: Answers, name: Name) -> None:
    """Show one dissector."""
    answers.show(client.get(path_of("dissectors", name)))


def prompts_of(template: list[str] | None, *, synonyms: bool, subtract_empty: bool) -> dict[str, object] | None:
    """The prompts that options give; None where they give none."""
    if not template and not synonyms and not subtract_empty:
        return None
    prompts: dict[str, object] = {"synonyms": synonyms, "subtract_empty": subtract_empty}
    return {**prompts, "templates": template} if template else prompts
