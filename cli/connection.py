"""Options of the commands that ask a running service, and what address and key they come to."""

import os
from pathlib import Path
from typing import Annotated

import typer

from cli.addresses import service_url
from cli.client import ServiceClient
from cli.profiles import VARIABLE, Profile, read_profiles
from service.errors import InvalidInput
from service.key_files import check_key, read_key

URL = "http://127.0.0.1:8000"
KEY_FILE = Path(".stack/api-key")

URL_VARIABLE = "MAMMODISSECT_URL"
KEY_VARIABLE = "MAMMODISSECT_API_KEY"
KEY_FILE_VARIABLE = "MAMMODISSECT_API_KEY_FILE"

PATIENCE_S = 30.0

Url = Annotated[
    str | None,
    typer.Option(help=f"URL of the service. Left out: {URL_VARIABLE}, the profile's, or {URL}."),
]
KeyFile = Annotated[
    Path | None,
    typer.Option(
        help=f"File that holds the API key. Left out: {KEY_FILE_VARIABLE}, {KEY_VARIABLE} (the key itself), "
        f"the profile's, or {KEY_FILE}."
    ),
]
ProfileName = Annotated[
    str | None,
    typer.Option("--profile", help=f"Profile of `mammodissect login`. Left out: {VARIABLE}, or the last login."),
]

_REMEDY = "Name the file that holds it; `mammodissect up` keeps it as api-key in its data folder."


def connect(url: str | None = None, api_key_file: Path | None = None, profile: str | None = None) -> ServiceClient:
    """A client for the address and with the key that options, environment and profiles come to, in this order.

    A named profile goes before the environment. The key of a profile goes to the address of that profile alone. Raises
    InvalidInput where there is no such key, NotFound for an unknown profile, and what `ServiceClient` raises.
    """
    if url is not None and api_key_file is not None and profile is None:
        return ServiceClient(url, _key_in(api_key_file), patience_s=PATIENCE_S)

    chosen = read_profiles().chosen(profile, os.environ)
    variables = {} if profile is not None else os.environ

    address = url or variables.get(URL_VARIABLE) or (URL if chosen is None else chosen.url)
    if api_key_file is not None:
        key = _key_in(api_key_file)
    elif file := variables.get(KEY_FILE_VARIABLE):
        key = _key_in(Path(file))
    elif given := variables.get(KEY_VARIABLE):
        check_key(given, what=f"The API key in {KEY_VARIABLE}", field=KEY_VARIABLE, remedy="Set it to the key alone.")
        key = given
    else:
        key = _key_of_profile(address, chosen, named=profile is not None)

    return ServiceClient(address, key, patience_s=PATIENCE_S)


def _key_of_profile(address: str, profile: Profile | None, *, named: bool) -> str:
    if profile is not None and _same_address(profile.url, address):
        remedy = f"Log in again: mammodissect login --profile {profile.name} --url {profile.url}"
        return read_key(profile.api_key_file, field="profile", remedy=remedy)

    if profile is not None and named:
        raise InvalidInput(
            f"The key of profile {profile.name} is for {profile.url}, and is not sent elsewhere.",
            field="url",
            value=address,
            remedy="Leave out --url, or give --api-key-file as well.",
        )
    return _key_in(KEY_FILE)


def _same_address(left: str, right: str) -> bool:
    return str(service_url(left)).rstrip("/") == str(service_url(right)).rstrip("/")


def _key_in(file: Path) -> str:
    return read_key(file, field="api_key_file", remedy=_REMEDY)
