"""`mammodissect audits`: audits of deployed models, and of candidates for them."""

from typing import Annotated

import typer

from cli import input_options
from cli.audit import candidate, exit_status, wait_for_verdict
from cli.client import ServiceClient, path_of
from cli.nouns.answers import Answers, Column
from cli.nouns.bodies import server_path
from cli.nouns.command import DEFAULT_LIMIT, All, Limit, limit_of, noun, verb
from service.domain.policies import Verdict
from service.errors import InvalidInput
from service.exits import ExitStatus

audits = noun("audits", "Audits of deployed models: start, list, show.")

_COLUMNS = (
    Column("audit", "id"),
    Column("deployment", "deployment"),
    Column("target", "target"),
    Column("policy", "policy"),
    Column("status", "status"),
    Column("verdict", "verdict"),
    Column("begun", "created_at"),
)


@verb(audits, "start")
def start_audit(
    client: ServiceClient,
    answers: Answers,
    deployment: Annotated[str, typer.Argument(help="Name of the deployment.")],
    target: Annotated[str | None, typer.Option(help="A registered model as a candidate.")] = None,
    checkpoint: Annotated[str | None, typer.Option(help="Or a checkpoint as a candidate.")] = None,
    architecture: Annotated[str | None, typer.Option(help="Its architecture; left out: as in use.")] = None,
    sha256: Annotated[str | None, typer.Option(help="The digest that the checkpoint must have.")] = None,
    input_values: Annotated[list[str] | None, typer.Option("--input", help=input_options.HELP)] = None,
    weights: Annotated[str | None, typer.Option(help="Which of the checkpoint's sets of weights.")] = None,
    override_reason: Annotated[
        str | None, typer.Option(help="Why parts are used that do not allow the deployment's purpose.")
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for the verdict: status 0 for PASS and WARN, 1 for FAIL, 2 for none.")
    ] = False,
    timeout: Annotated[float, typer.Option(min=1, help="The most seconds to wait.")] = 6 * 3600.0,
    strict: Annotated[bool, typer.Option("--strict", help="Treat WARN as FAIL.")] = False,
) -> None:
    """Audit the version in use, or a candidate for a deployment."""
    request: dict[str, object] = {"deployment": deployment}
    if target is not None and checkpoint is not None:
        raise InvalidInput(
            "Two candidates are named.", field="target", value=target, remedy="Give --target or --checkpoint."
        )
    if target is not None:
        request["target"] = target
    elif checkpoint is not None:
        given = input_options.read_input(input_values)
        path = server_path(checkpoint) or checkpoint
        request["target"] = candidate(client, deployment, path, architecture, sha256, given, weights)
    if override_reason is not None:
        request["override_purpose"] = {"reason": override_reason}

    audit = client.post("/audits", request)
    if not wait:
        answers.show(audit)
        return

    answers.say(f"Audit {audit['id']} of {deployment} ({audit['target']}) by policy {audit['policy']}")
    audit = wait_for_verdict(client, audit["id"], timeout)
    answers.show(audit)
    status = exit_status(audit, strict=strict)
    if status is not ExitStatus.OK:
        raise typer.Exit(status)


@verb(audits, "list")
def list_audits(
    client: ServiceClient,
    answers: Answers,
    deployment: Annotated[str | None, typer.Option(help="Only of this deployment.")] = None,
    verdict: Annotated[Verdict | None, typer.Option(help="Only with this verdict.")] = None,
    limit: Limit = DEFAULT_LIMIT,
    everything: All = False,
) -> None:
    """List audits in brief, newest first."""
    filters = {"deployment": deployment, "verdict": verdict}
    answers.show_list(client.pages("/audits", filters, limit=limit_of(limit, everything=everything)), _COLUMNS)


@verb(audits, "show")
def show_audit(
    client: ServiceClient, answers: Answers, audit: Annotated[str, typer.Argument(help="Id of the audit.")]
) -> None:
    """Show one audit: its verdict, the outcome of every rule, and the facts behind them."""
    answers.show(client.get(path_of("audits", audit)))
