"""Options of the commands that ask a running service."""

from pathlib import Path
from typing import Annotated

import typer

from cli.client import ServiceClient
from service.errors import InvalidInput

Url = Annotated[str, typer.Option(help="Where the service is.")]
KeyFile = Annotated[Path, typer.Option(help="File that holds the API key.")]

URL = "http://127.0.0.1:8000"
KEY_FILE = Path(".stack/api-key")


def connect(url: str, api_key_file: Path) -> ServiceClient:
    """A client with the key in that file. Raises InvalidInput where it cannot be read."""
    try:
        return ServiceClient(url, api_key_file.read_text("utf-8").strip())
    except OSError as error:
        raise InvalidInput(
            f"The API key cannot be read: {error.strerror}.",
            field="api_key_file",
            value=api_key_file,
            remedy="Name the file that holds it; `mammodissect up` keeps it in api-key of its data folder.",
        ) from None
