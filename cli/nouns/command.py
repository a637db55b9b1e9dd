"""What all commands of nouns share: which service they ask, and how they show its answers."""

import functools
import inspect
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any, Concatenate, ParamSpec

import typer

from cli.client import ServiceClient
from cli.connection import KeyFile, ProfileName, Url, connect
from cli.nouns.answers import Answers

P = ParamSpec("P")
Verb = Callable[Concatenate[ServiceClient, Answers, P], None]

Json = Annotated[bool, typer.Option("--json", help="Print the JSON that the service answers.")]
Limit = Annotated[int, typer.Option(min=1, help="The most items.")]
All = Annotated[bool, typer.Option("--all", help="All items, however many there are.")]
Name = Annotated[str, typer.Argument(help="`name`, which means its newest version, or `name@version`.")]

DEFAULT_LIMIT = 50

_SHARED = (
    inspect.Parameter("as_json", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Json),
    inspect.Parameter("url", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Url),
    inspect.Parameter("api_key_file", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=KeyFile),
    inspect.Parameter("profile", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=ProfileName),
)


def noun(name: str, text: str) -> typer.Typer:
    """The commands of a noun, to which verbs are added."""
    return typer.Typer(name=name, help=text, no_args_is_help=True)


def verb(app: typer.Typer, name: str) -> Callable[[Verb[P]], Verb[P]]:
    """Make a function a command with the options --json, --url, --api-key-file and --profile.

    It gets the service's client and the place for its answers before the parameters of its own.
    """

    def add(function: Verb[P]) -> Verb[P]:
        @functools.wraps(function)
        def command(
            *,
            as_json: bool,
            url: str | None,
            api_key_file: Path | None,
            profile: str | None,
            **own: Any,
        ) -> None:
            with closing(connect(url, api_key_file, profile)) as client:
                function(client, Answers(as_json), **own)  # type: ignore[call-arg]  # typer hands over all of them by name

        _, _, *parameters = inspect.signature(function).parameters.values()
        by_name = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters]
        command.__signature__ = inspect.Signature([*by_name, *_SHARED])  # type: ignore[attr-defined]
        app.command(name)(command)
        return function

    return add


def limit_of(limit: int, *, everything: bool) -> int | None:
    """The most items that are asked for; None for all."""
    return None if everything else limit
