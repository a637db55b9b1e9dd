"""`mammodissect deployments`: deployed models, and how they are audited."""

from typing import Annotated

import typer

from cli.client import ServiceClient, path_of
from cli.nouns.answers import Answers, Column
from cli.nouns.bodies import BodyFile, body_of, required
from cli.nouns.command import DEFAULT_LIMIT, All, Limit, limit_of, noun, verb

deployments = noun("deployments", "Deployed models: register, list, show.")

_COLUMNS = (
    Column("deployment", "name"),
    Column("target", "target"),
    Column("policy", "policy"),
    Column("probe set", "probe_set"),
    Column("baseline", "baseline"),
    Column("silenced until", "snooze.until"),
    Column("since", "created_at"),
)


@verb(deployments, "register")
def register_deployment(
    client: ServiceClient,
    answers: Answers,
    name: Annotated[str, typer.Argument(help="Its name.")],
    policy: Annotated[str | None, typer.Option(help="Policy that it must fulfil.")] = None,
    baseline: Annotated[
        str | None, typer.Option(help="Id of the job that audits are compared with, and whose settings they have.")
    ] = None,
    registered_model: Annotated[str | None, typer.Option(help="Its name in a model registry.")] = None,
    alert_budget: Annotated[int | None, typer.Option(min=1, help="The most alerts in 24 hours.")] = None,
    body: BodyFile = None,
) -> None:
    """Deploy a model: that of a baseline, or of the `dissection` in --body."""
    request = body_of(
        body,
        name=name,
        policy=policy,
        baseline=baseline,
        registered_model=registered_model,
        alert_budget=alert_budget,
    )
    required(request, policy="--policy")
    answers.show(client.post("/deployments", request))


@verb(deployments, "list")
def list_deployments(
    client: ServiceClient, answers: Answers, limit: Limit = DEFAULT_LIMIT, everything: All = False
) -> None:
    """List deployments, newest first."""
    answers.show_list(client.pages("/deployments", {}, limit=limit_of(limit, everything=everything)), _COLUMNS)


@verb(deployments, "show")
def show_deployment(
    client: ServiceClient, answers: Answers, name: Annotated[str, typer.Argument(help="Its name.")]
) -> None:
    """Show one deployment."""
    answers.show(client.get(path_of("deployments", name)))
