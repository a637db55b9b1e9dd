"""`mammodissect login` and `logout`: profiles for the services that somebody calls."""

import sys
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from cli.addresses import service_url
from cli.client import ServiceClient, ServiceError
from cli.profiles import (
    DEFAULT,
    Profile,
    check_name,
    key_file_of,
    read_profiles,
    write_private,
    write_profiles,
)
from service.errors import InvalidInput
from service.key_files import check_key, read_key

_MOST_CHARACTERS = 64 * 1024
_REMEDY = "Give the API key that the service was started with, or one of its API_KEYS."


def login(
    url: Annotated[str, typer.Option(help="URL of the service.")],
    profile: Annotated[str, typer.Option(help="Name of the profile.")] = DEFAULT,
    api_key_file: Annotated[
        Path | None,
        typer.Option(
            help="File that holds the API key, which stays where it is. Left out: the key is read from "
            "standard input, or asked for, and kept in a file of its own."
        ),
    ] = None,
    check: Annotated[bool, typer.Option(help="Ask the service whether it takes the key.")] = True,
) -> None:
    """Keep the address of a service and the file with its API key, as what commands use from now on.

    The key is never an argument: others could read it in the list of processes.
    """
    check_name(profile)
    address = str(service_url(url)).rstrip("/")
    key = _key_given() if api_key_file is None else read_key(api_key_file, field="api_key_file", remedy=_REMEDY)
    if check:
        _ask_service(address, key)

    profiles = read_profiles()
    kept_in = key_file_of(profile) if api_key_file is None else api_key_file.absolute()
    if api_key_file is None:
        write_private(kept_in, f"{key}\n", field="api_key")
    write_profiles(profiles.with_profile(Profile(profile, address, kept_in)))

    typer.echo(f"Profile {profile}: {address}, with the key in {kept_in}", err=True)


def logout(
    profile: Annotated[str | None, typer.Option(help="Name of the profile. Left out: the one in use.")] = None,
) -> None:
    """Forget a profile, and the key that `login` has kept for it. A key file of your own stays where it is."""
    profiles = read_profiles()
    name = profile or profiles.current
    if name is None:
        raise InvalidInput("No profile is in use.", field="profile", remedy="Name one with --profile.")

    forgotten = profiles.find(name)
    write_profiles(profiles.without(name))
    key_file_of(forgotten.name).unlink(missing_ok=True)
    typer.echo(f"Profile {name} forgotten", err=True)


def _key_given() -> str:
    """The key that is typed without being shown, or that comes in a pipe."""
    if sys.stdin is None or not sys.stdin.isatty():
        text = "" if sys.stdin is None else sys.stdin.read(_MOST_CHARACTERS)
    else:
        text = str(typer.prompt("API key", hide_input=True, err=True))

    key = text.removeprefix("\ufeff").strip()
    check_key(key, field="api_key", remedy=_REMEDY)
    return key


def _ask_service(url: str, key: str) -> None:
    with closing(ServiceClient(url, key)) as client:
        try:
            client.get("/jobs", limit=1)
        except ServiceError as error:
            remedy = f"{error.remedy or _REMEDY} --no-check keeps the profile all the same."
            raise ServiceError(error.detail, field=error.field, value=error.value, remedy=remedy) from None
