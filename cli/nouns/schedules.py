"""`mammodissect schedules`: when deployed models are audited again."""

from typing import Annotated

import typer

from cli.client import ServiceClient, path_of
from cli.nouns.answers import Answers, Column
from cli.nouns.bodies import BodyFile, body_of, required
from cli.nouns.command import DEFAULT_LIMIT, All, Limit, limit_of, noun, verb
from service.domain.schedules import CatchUp, Overlap

schedules = noun("schedules", "When deployed models are audited: register, list, show, pause, resume.")

ScheduleName = Annotated[str, typer.Argument(help="Its name.")]

_COLUMNS = (
    Column("schedule", "name"),
    Column("deployment", "deployment"),
    Column("cron", "cron"),
    Column("zone", "zone"),
    Column("paused", "paused"),
    Column("next", "next_fire_at"),
    Column("notice", "notice"),
)


@verb(schedules, "register")
def register_schedule(
    client: ServiceClient,
    answers: Answers,
    name: ScheduleName,
    deployment: Annotated[str | None, typer.Option(help="Deployment to audit.")] = None,
    cron: Annotated[str | None, typer.Option(help="Minute, hour, day of the month, month, day of the week.")] = None,
    zone: Annotated[str | None, typer.Option(help="IANA time zone. Left out: UTC.")] = None,
    catch_up: Annotated[CatchUp | None, typer.Option(help="Which missed fires it makes up for.")] = None,
    catch_up_max: Annotated[int | None, typer.Option(min=1, help="The most of them, with --catch-up all.")] = None,
    grace_s: Annotated[int | None, typer.Option(min=60, help="Seconds after which it makes up for none.")] = None,
    overlap: Annotated[Overlap | None, typer.Option(help="What a fire does while an audit is running.")] = None,
    body: BodyFile = None,
) -> None:
    """Create a schedule."""
    request = body_of(
        body,
        name=name,
        deployment=deployment,
        cron=cron,
        zone=zone,
        catch_up=catch_up,
        catch_up_max=catch_up_max,
        grace_s=grace_s,
        overlap=overlap,
    )
    required(request, deployment="--deployment", cron="--cron")
    answers.show(client.post("/schedules", request))


@verb(schedules, "list")
def list_schedules(
    client: ServiceClient,
    answers: Answers,
    deployment: Annotated[str | None, typer.Option(help="Only of this deployment.")] = None,
    limit: Limit = DEFAULT_LIMIT,
    everything: All = False,
) -> None:
    """List schedules, newest first."""
    pages = client.pages("/schedules", {"deployment": deployment}, limit=limit_of(limit, everything=everything))
    answers.show_list(pages, _COLUMNS)


@verb(schedules, "show")
def show_schedule(client: ServiceClient, answers: Answers, name: ScheduleName) -> None:
    """Show one schedule, and when it fires next."""
    answers.show(client.get(path_of("schedules", name)))


@verb(schedules, "pause")
def pause_schedule(client: ServiceClient, answers: Answers, name: ScheduleName) -> None:
    """Pause a schedule. Fires that are due or waiting count as missed."""
    answers.show(client.post(path_of("schedules", name, "pause"), {}))


@verb(schedules, "resume")
def resume_schedule(client: ServiceClient, answers: Answers, name: ScheduleName) -> None:
    """Resume a schedule. It does not make up for the fires of the pause."""
    answers.show(client.post(path_of("schedules", name, "resume"), {}))
