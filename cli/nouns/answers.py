"""How answers of the service are shown: as the JSON that it sent, or as tables."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from cli.client import Answer

_WIDTH_OF_FILES = 200
"""Columns of a table that goes to a file or a pipe, where no terminal says how many there are."""

_LONGEST_VALUE = 400
_ROWS_OF_PARTS = 20


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a list: its head, and the path of the field in an item, as `spec.images`."""

    head: str
    field: str


@dataclass(frozen=True, slots=True)
class Answers:
    """Where answers go. as_json: as the service sent them."""

    as_json: bool

    def show_list(self, pages: Iterable[Answer], columns: Sequence[Column]) -> None:
        """The items of a list's pages; as JSON one page with all of them."""
        whole: Answer = {}
        items: list[Answer] = []
        for page in pages:
            items += page["items"]
            whole = {**page, **whole, "next": page.get("next")} if "next" in page else {**page, **whole}
        whole["items"] = items

        if self.as_json:
            self._print_json(whole)
            return

        table = _table(*(column.head for column in columns))
        for item in items:
            table.add_row(*(cell(_at(item, column.field)) for column in columns))
        _console().print(table if items else "None.")
        if whole.get("next"):
            typer.echo("There are more: see them with --limit, or --all.", err=True)

    def show(self, answer: Answer) -> None:
        """One thing whole; in words its fields, and a table for each list of parts."""
        if self.as_json:
            self._print_json(answer)
            return

        table, parts = _table("field", "value"), dict[str, list[Answer]]()
        for name, value in _flat(answer):
            if isinstance(value, list) and value and all(isinstance(entry, dict) for entry in value):
                table.add_row(name, f"{len(value)}, below")
                parts[name] = value
            else:
                table.add_row(name, cell(value))

        console = _console()
        console.print(table)
        for name, entries in parts.items():
            console.print(_table_of_parts(name, entries))

    def say(self, sentence: str) -> None:
        """A sentence beside the answer, on standard error."""
        typer.echo(printable(sentence), err=True)

    def stream(self, answer: Answer, sentence: str) -> None:
        """One of several answers that come one after the other: a line of JSON, or a sentence."""
        typer.echo(json.dumps(answer) if self.as_json else printable(sentence))
        sys.stdout.flush()

    def _print_json(self, answer: Answer) -> None:
        typer.echo(json.dumps(answer, indent=2))


def cell(value: Any) -> str:
    """A value in a table."""
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.4g}"
        case str():
            text = value
        case list() if all(isinstance(entry, str | int) for entry in value):
            text = ", ".join(map(str, value)) or "-"
        case _:
            text = json.dumps(value, ensure_ascii=False)

    text = printable(text)
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 1]}…"


def printable(text: str) -> str:
    """The text without what a terminal would obey: names come from files that anybody may have made."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def _at(item: Mapping[str, Any], field: str) -> Any:
    value: Any = item
    for name in field.split("."):
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value


def _flat(answer: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    """Fields with their values, and with a dot those of the objects that they are. What is deeper stays as it is."""
    for name, value in answer.items():
        if isinstance(value, dict) and value:
            yield from ((f"{name}.{inner}", inner_value) for inner, inner_value in value.items())
        else:
            yield name, value


def _table_of_parts(name: str, entries: Sequence[Answer]) -> Table:
    heads = list(dict.fromkeys(key for entry in entries for key, value in entry.items() if _is_short(value)))
    more = f", the first {_ROWS_OF_PARTS}; --json has all" if len(entries) > _ROWS_OF_PARTS else ""
    table = _table(*heads, title=f"{name} ({len(entries)}{more})")
    for entry in entries[:_ROWS_OF_PARTS]:
        table.add_row(*(cell(entry.get(head)) for head in heads))
    return table


def _is_short(value: Any) -> bool:
    return not isinstance(value, dict | list)


def _table(*heads: str, title: str | None = None) -> Table:
    return Table(*heads, title=title, title_justify="left", box=box.SIMPLE_HEAD)


def _console() -> Console:
    console = Console(markup=False, highlight=False)
    if not console.is_terminal and console.width < _WIDTH_OF_FILES:
        return Console(markup=False, highlight=False, width=_WIDTH_OF_FILES)
    return console
