"""`mammodissect models`: the networks under examination."""

from typing import Annotated

import typer

from cli import autoencoder_options, input_options
from cli.client import ServiceClient, path_of
from cli.nouns.answers import Answers, Column
from cli.nouns.bodies import AllowedPurpose, BodyFile, Licence, Wait, body_of, required, server_path
from cli.nouns.command import DEFAULT_LIMIT, All, Limit, Name, limit_of, noun, verb
from cli.nouns.registered import register

models = noun("models", "Networks under examination: register, list, show.")

_COLUMNS = (
    Column("model", "reference"),
    Column("state", "state"),
    Column("architecture", "spec.architecture"),
    Column("checkpoint", "spec.checkpoint"),
    Column("registered", "created_at"),
)


@verb(models, "register")
def register_model(
    client: ServiceClient,
    answers: Answers,
    name: Annotated[str, typer.Argument(help="Its name.")],
    checkpoint: Annotated[
        str | None, typer.Option(help="Weights file as the service sees it, or a source such as s3://bucket/key.")
    ] = None,
    architecture: Annotated[str | None, typer.Option(help="Such as mammo-clip/b5 or timm/resnet50.")] = None,
    sha256: Annotated[str | None, typer.Option(help="The digest that the checkpoint must have.")] = None,
    input_values: Annotated[list[str] | None, typer.Option("--input", help=input_options.HELP)] = None,
    weights: Annotated[str | None, typer.Option(help="Which of the file's sets of weights.")] = None,
    autoencoder: Annotated[list[str] | None, typer.Option(help=autoencoder_options.HELP)] = None,
    licence: Licence = None,
    allowed_purpose: AllowedPurpose = None,
    body: BodyFile = None,
    wait: Wait = False,
) -> None:
    """Register a checkpoint; a worker then lists its layers."""
    given = input_options.read_input(input_values)
    request = body_of(
        body,
        name=name,
        checkpoint=server_path(checkpoint),
        architecture=architecture,
        sha256=sha256,
        input=None if given is None else given.as_dict(),
        weights=weights,
        autoencoder=_autoencoder(autoencoder),
        licence=licence,
        allowed_purposes=allowed_purpose,
    )
    required(request, checkpoint="--checkpoint", architecture="--architecture")
    register(client, answers, "/models", request, wait=wait)


@verb(models, "list")
def list_models(client: ServiceClient, answers: Answers, limit: Limit = DEFAULT_LIMIT, everything: All = False) -> None:
    """List models, newest first, with their state: whether a worker could open them."""
    answers.show_list(client.pages("/models", {}, limit=limit_of(limit, everything=everything)), _COLUMNS)


@verb(models, "show")
def show_model(client: ServiceClient, answers: Answers, name: Name) -> None:
    """Show one model with its layers and how images reach it."""
    answers.show(client.get(path_of("models", name)))


def _autoencoder(options: list[str] | None) -> dict[str, object] | None:
    given = autoencoder_options.read_autoencoder_options(options)
    if given is None:
        return None

    fields = {name: getattr(given, name) for name in ("layer", "sha256", "activation", "k", "pre_bias")}
    fields["checkpoint"] = server_path(given.checkpoint)
    return {name: value for name, value in fields.items() if value is not None}
