"""The commands of `mammodissect`, and its own options."""

from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from cli.admin import admin
from cli.audit import audit
from cli.audit_report import audit_report
from cli.check import check
from cli.concepts import concepts
from cli.dissect import dissect
from cli.evaluate import evaluate
from cli.fit_dissector import fit_dissector
from cli.fit_phantom_targets import fit_phantom_targets
from cli.inspect import inspect
from cli.login import login, logout
from cli.manifest import manifest
from cli.nouns import NOUNS
from cli.paper import paper
from cli.questions import compare, coverage, watch_list
from cli.report import report
from cli.samples import samples
from cli.verify import verify
from service.errors import InvalidInput
from service.exits import ExitStatus

app = typer.Typer(
    name="mammodissect",
    help="Names what the neurons of a mammography network respond to.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

_OF_A_SERVICE = "What a running service has"
"""The panel of the help with the commands that speak nouns and verbs."""

DataDir = Annotated[Path, typer.Option(help="Folder for the state; created with mode 0700.")]


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mammodissect {version('mammo-clip-dissect-service')}")
        raise typer.Exit


@app.callback()
def take_global_options(
    _debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    _version: Annotated[
        bool, typer.Option("--version", help="Show the version and end.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Names what the neurons of a mammography network respond to."""
    # `cli.main` has looked for --debug already: an error may come before anything is parsed.


app.add_typer(admin)
app.add_typer(concepts)
for _noun in NOUNS:
    app.add_typer(_noun, rich_help_panel=_OF_A_SERVICE)
app.command(rich_help_panel=_OF_A_SERVICE)(login)
app.command(rich_help_panel=_OF_A_SERVICE)(logout)
app.command()(dissect)
app.command()(inspect)
app.command()(check)
app.command()(fit_dissector)
app.command()(evaluate)
app.command()(fit_phantom_targets)
app.command()(report)
app.command()(audit_report)
app.command()(verify)
app.command()(samples)
app.command()(manifest)
app.command()(coverage)
app.command()(watch_list)
app.command()(compare)
app.command()(paper)
app.command()(audit)


@app.command()
def up(
    data_dir: DataDir = Path(".stack"),
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port of the API on 127.0.0.1.")] = 8000,
) -> None:
    """Run the whole service on this machine: Postgres, Valkey, API, one worker, scheduler."""
    from cli.up import run_stack

    run_stack(data_dir, port)


@app.command()
def demo(
    data_dir: Annotated[Path, typer.Option(help="Where samples and state are kept for the next run.")] = Path(".demo"),
) -> None:
    """Train a network on synthetic mammograms, dissect it before and after, and compare, through its own service."""
    from cli.demo import run_demo

    run_demo(data_dir)


@app.command()
def migrate() -> None:
    """Upgrade the database at DATABASE_URL to the newest schema and create the login of SERVICE_DATABASE_URL."""
    from service.config import read_settings
    from service.db.logins import admit_login
    from service.db.migrate import upgrade

    settings = read_settings()
    url = settings.database_url.get_secret_value()
    service_url = settings.service_database_url.get_secret_value()
    if not url:
        raise InvalidInput("DATABASE_URL is not set.", field="database_url", remedy="Set it in the environment.")

    upgrade(url)
    if service_url:
        admit_login(url, service_url)


def run_command() -> int | None:
    """Run the command that the process was started with. Raises InvalidInput for wrong usage, and what it raises."""
    # Not as typer's own program: that would end with 1 for errors of its own kinds, and 1 is an answer of our commands.
    try:
        status: int | None = app(standalone_mode=False, prog_name="mammodissect")
    except typer.Abort:
        return ExitStatus.INTERRUPTED
    except typer.TyperException as error:
        return _say_wrong_usage(error)
    except SystemExit as ended:
        # Typer takes every broken pipe for that of our output; it may be a connection's.
        if isinstance(ended.__context__, BrokenPipeError):
            raise ended.__context__ from None
        raise

    return status


def _say_wrong_usage(error: typer.TyperException) -> int:
    problem = error.format_message()
    if not problem:  # a command that was left out: typer has printed the help instead
        return ExitStatus.ERROR

    context = getattr(error, "ctx", None)
    command = context.command_path if context else "mammodissect"
    sentence = problem if problem.endswith((".", "?")) else f"{problem}."
    raise InvalidInput(sentence, remedy=f"See `{command} --help`.")
