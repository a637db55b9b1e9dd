"""`mammodissect comparisons`: dissections side by side."""

from typing import Annotated

import typer

from cli.client import ServiceClient, path_of
from cli.nouns.answers import Answers, Column
from cli.nouns.command import DEFAULT_LIMIT, All, Limit, limit_of, noun, verb

comparisons = noun("comparisons", "Dissections side by side: create, list, show.")

_COLUMNS = (Column("comparison", "id"), Column("jobs", "jobs"), Column("made", "created_at"))


@verb(comparisons, "create")
def create_comparison(
    client: ServiceClient,
    answers: Answers,
    jobs: Annotated[list[str], typer.Argument(help="Ids of 2 to 8 succeeded jobs; the first is the reference.")],
) -> None:
    """Compare succeeded jobs with the first. The same jobs again are the same comparison."""
    answers.show(client.post("/comparisons", {"jobs": jobs}, repeatable=True))


@verb(comparisons, "list")
def list_comparisons(
    client: ServiceClient, answers: Answers, limit: Limit = DEFAULT_LIMIT, everything: All = False
) -> None:
    """List comparisons, newest first."""
    answers.show_list(client.pages("/comparisons", {}, limit=limit_of(limit, everything=everything)), _COLUMNS)


@verb(comparisons, "show")
def show_comparison(
    client: ServiceClient, answers: Answers, comparison: Annotated[str, typer.Argument(help="Its id.")]
) -> None:
    """Show one comparison with its results. `mammodissect compare` shows gains and losses as a table."""
    answers.show(client.get(path_of("comparisons", comparison)))
