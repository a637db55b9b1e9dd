"""What commands send: the fields that options give, upon those of a file with the request's JSON."""

from pathlib import Path
from typing import Annotated, Any

import typer

from cli.documents import read_document
from service.domain.purposes import Purpose
from service.errors import InvalidInput
from service.plain_yaml import parse_yaml
from service.sources.uris import scheme_of

_MOST_BYTES = 16 << 20
_CONTRACT = "docs/openapi.json has its fields."

BodyFile = Annotated[
    Path | None,
    typer.Option(
        "--body", help="JSON or YAML file with fields of the request as the API takes them; options add to it."
    ),
]
Licence = Annotated[str | None, typer.Option(help="Its licence: an SPDX identifier or free text.")]
AllowedPurpose = Annotated[
    list[Purpose] | None, typer.Option(help="What jobs may use it for; repeat it. Left out: everything.")
]
Wait = Annotated[bool, typer.Option("--wait", help="Wait until a worker has opened it; status 2 where it cannot.")]


def body_of(file: Path | None, **fields: Any) -> dict[str, Any]:
    """The request: what the file says, and upon it the fields that are given. Raises InvalidInput for a bad file.

    fields: by name; an object adds to that of the file, and an empty one is not given.
    """
    given = {name: value for name, value in fields.items() if value is not None and value != {}}
    if file is None:
        return given

    text = read_document(file, field="body", most=_MOST_BYTES).decode("utf-8", "replace")
    content = parse_yaml(text, "body", value=str(file), remedy=f"Write it as JSON or YAML. {_CONTRACT}")
    if not isinstance(content, dict):
        raise InvalidInput(
            "The file holds no JSON object.", field="body", value=file, remedy=f"Write an object. {_CONTRACT}"
        )
    return {**content, **{name: _upon(content.get(name), value) for name, value in given.items()}}


def required(body: dict[str, Any], **options: str) -> dict[str, Any]:
    """The request, if it has these fields. options: by field, what gives it. Raises InvalidInput."""
    for field, option in options.items():
        if field not in body:
            raise InvalidInput(f"{field} is missing.", field=field, remedy=f"Give {option}, or {field} in --body.")
    return body


def server_path(path: str | None) -> str | None:
    """A path as the service takes it: whole. Sources and URIs stay as they are."""
    if path is None or scheme_of(path):
        return path
    return str(Path(path).absolute())


def _upon(before: Any, value: Any) -> Any:
    return {**before, **value} if isinstance(before, dict) and isinstance(value, dict) else value
