"""Lists as CSV: a line for each item, a column for each of its fields, for whoever reads them with a spreadsheet.

Every route of a list answers so where it is asked to, from the JSON that it answers with otherwise.
"""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from fastapi import Request, Response
from pydantic import BaseModel

from api.report_answers import JSON, named
from api.tags import Handler
from service.errors import InvalidInput

CSV = "text/csv"

DESCRIPTION: dict[str, Any] = {
    "parameters": [
        {
            "name": "format",
            "in": "query",
            "required": False,
            "schema": {"type": "string", "enum": ["json", "csv"]},
            "description": "`csv`: a line for each item in brief. Left out: CSV where `Accept` asks for that rather "
            "than JSON, else JSON.",
        }
    ],
    "responses": {"200": {"content": {CSV: {"schema": {"type": "string"}}}}},
}
"""What the contract says of every list beside its JSON."""

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")
_FORMATS = ("json", "csv")

_Path = tuple[str, ...]


def item_of(response_model: Any) -> type[BaseModel] | None:
    """The items of a list with that response model, in brief; None for what is no list."""
    of_list = get_args(response_model)[0] if _is_union(response_model) else response_model
    if not _is_model(of_list) or "items" not in of_list.model_fields:
        return None
    items = of_list.model_fields["items"].annotation
    item = get_args(items)[0] if get_origin(items) is list else None
    return item if _is_model(item) else None


def with_csv(handle: Handler, item: type[BaseModel], name: str) -> Handler:
    """The handler of a list that also answers with CSV. name: of the file.

    It raises InvalidInput for another format, and for whole items as CSV.
    """
    columns = list(_columns_of(item))

    async def handle_list(request: Request) -> Response:
        is_csv = _asks_for_csv(request)
        answer = await handle(request)
        if is_csv and answer.status_code == HTTPStatus.OK:
            link = {"Link": answer.headers["Link"]} if "Link" in answer.headers else {}
            table = _table(columns, json.loads(bytes(answer.body))["items"])
            headers = {**link, **named(f"{name}.csv", "attachment")}
            answer = Response(table, media_type=f"{CSV}; header=present", headers=headers)
        answer.headers["Vary"] = "Accept"
        return answer

    return handle_list


def harmless(text: str) -> str:
    """The text as a cell that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


def _asks_for_csv(request: Request) -> bool:
    asked = request.query_params.get("format")
    if asked is not None and asked not in _FORMATS:
        raise InvalidInput("A list has no such format.", field="format", value=asked, remedy="Ask for json or csv.")

    accept = request.headers.get("accept", "")
    is_csv = asked == "csv" if asked is not None else CSV in accept and JSON not in accept
    if is_csv and request.query_params.get("fields") == "full":
        raise InvalidInput(
            "A list of whole items is not to be had as CSV.",
            field="fields",
            value="full",
            remedy="Leave out fields=full, or ask for JSON. GET /jobs/{id}/export has all neurons of a job as CSV.",
        )
    return is_csv


def _table(columns: Sequence[_Path], items: Sequence[dict[str, Any]]) -> str:
    file = io.StringIO()
    lines = csv.writer(file, lineterminator="\r\n")
    lines.writerow([".".join(column) for column in columns])
    lines.writerows([_cell(_value_at(item, column)) for column in columns] for item in items)
    return file.getvalue()


def _value_at(item: Any, path: _Path) -> Any:
    for name in path:
        if item is None:
            return None
        item = item[name]
    return item


def _cell(value: Any) -> Any:
    """Numbers as they are; text made harmless; lists and free-form objects as JSON."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return harmless(value)
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False)
    return value


def _columns_of(model: type[BaseModel], above: _Path = ()) -> Iterator[_Path]:
    """The fields of the model and of the objects in it, which are columns of their own: `evidence.quality.clarity`."""
    for name, field in model.model_fields.items():
        nested = _nested_model(field.annotation)
        if nested is None:
            yield (*above, name)
        else:
            yield from _columns_of(nested, (*above, name))


def _nested_model(annotation: Any) -> type[BaseModel] | None:
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if _is_union(annotation):
        kinds = [kind for kind in get_args(annotation) if kind is not type(None)]
        annotation = kinds[0] if len(kinds) == 1 else None
    return annotation if _is_model(annotation) else None


def _is_union(annotation: Any) -> bool:
    return get_origin(annotation) in {Union, UnionType}


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
