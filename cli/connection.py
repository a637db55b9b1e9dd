"""Options of the commands that ask a running service."""

from pathlib import Path
from typing import Annotated

import typer

from cli.client import ServiceClient
from service.key_files import read_key

Url = Annotated[str, typer.Option(help="URL of the service.")]
KeyFile = Annotated[Path, typer.Option(help="File that holds the API key.")]

URL = "http://127.0.0.1:8000"
KEY_FILE = Path(".stack/api-key")


def connect(url: str, api_key_file: Path) -> ServiceClient:
    """A client with the key in that file. Raises InvalidInput where it cannot be read, and like `ServiceClient`."""
    remedy = "Name the file that holds it; `mammodissect up` keeps it as api-key in its data folder."
    return ServiceClient(url, read_key(api_key_file, field="api_key_file", remedy=remedy))
