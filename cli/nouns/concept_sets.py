"""`mammodissect concept-sets`: what neurons may be named after."""

from typing import Annotated

import typer

from cli.client import ServiceClient, path_of
from cli.nouns.answers import Answers, Column
from cli.nouns.bodies import AllowedPurpose, BodyFile, Licence, body_of, server_path
from cli.nouns.command import DEFAULT_LIMIT, All, Limit, Name, limit_of, noun, verb
from cli.nouns.registered import register
from service.errors import InvalidInput

concept_sets = noun("concept-sets", "What neurons may be named after: register, list, show, diff.")

_COLUMNS = (
    Column("concept set", "reference"),
    Column("concepts", "spec.concepts"),
    Column("licence", "licence"),
    Column("registered", "created_at"),
)


@verb(concept_sets, "register")
def register_concept_set(
    client: ServiceClient,
    answers: Answers,
    name: Annotated[str, typer.Argument(help="Its name.")],
    path: Annotated[str | None, typer.Option(help="File of concepts as the service sees it.")] = None,
    categories: Annotated[str | None, typer.Option(help="Table of their categories as the service sees it.")] = None,
    control: Annotated[
        list[str] | None, typer.Option(help="Broad category of everyday things in that table; repeat it.")
    ] = None,
    dissector: Annotated[
        str | None, typer.Option(help="Registered dissector whose reading of the texts counts in the remarks.")
    ] = None,
    licence: Licence = None,
    allowed_purpose: AllowedPurpose = None,
    body: BodyFile = None,
) -> None:
    """Register concepts, and show what is weak about them. Concepts themselves may be listed in --body."""
    request = body_of(
        body,
        name=name,
        path=server_path(path),
        categories=server_path(categories),
        control=control,
        dissector=dissector,
        licence=licence,
        allowed_purposes=allowed_purpose,
    )
    if not {"path", "concepts"} & request.keys():
        raise InvalidInput("There are no concepts.", field="path", remedy="Give --path, or concepts in --body.")
    register(client, answers, "/concept-sets", request)


@verb(concept_sets, "list")
def list_concept_sets(
    client: ServiceClient, answers: Answers, limit: Limit = DEFAULT_LIMIT, everything: All = False
) -> None:
    """List concept sets, newest first, including the built-in ones."""
    answers.show_list(client.pages("/concept-sets", {}, limit=limit_of(limit, everything=everything)), _COLUMNS)


@verb(concept_sets, "show")
def show_concept_set(client: ServiceClient, answers: Answers, name: Name) -> None:
    """Show one concept set with its concepts, and what is weak about them."""
    answers.show(client.get(path_of("concept-sets", name)))


@verb(concept_sets, "diff")
def compare_concept_sets(
    client: ServiceClient,
    answers: Answers,
    name: Name,
    to: Annotated[str, typer.Argument(help="`name` or `name@version` of the later one.")],
) -> None:
    """Show what happened from one concept set to another."""
    answers.show(client.get(path_of("concept-sets", name, "diff"), to=to))
