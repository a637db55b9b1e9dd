"""The HTTP contract as pages: one for each tag of the OpenAPI document, and one for what bodies and answers hold."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Node = Mapping[str, Any]

_SHAPES = "shapes.md"
_BOUNDS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "more than {}",
    "maximum": "at most {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
    "pattern": "matches `{}`",
}


def contract_pages(contract: Node) -> dict[str, str]:
    """File name -> Markdown: `index.md`, a page for each tag, and `shapes.md`."""
    by_tag: dict[str, list[str]] = {}
    for path, operations in contract["paths"].items():
        for verb, operation in operations.items():
            by_tag.setdefault(_tag(operation), []).append(_operation(verb, path, operation))

    pages = {f"{_slug(tag)}.md": _page(_titled(tag), operations) for tag, operations in by_tag.items()}
    shapes = [_shape(name, schema) for name, schema in sorted(contract["components"]["schemas"].items())]
    pages[_SHAPES] = _page("Shapes", ["What bodies and answers hold.", *shapes])
    pages["index.md"] = _index(contract, list(by_tag))
    return pages


def _tag(operation: Node) -> str:
    tags: Sequence[str] = operation.get("tags", ())
    return tags[0] if tags else "other"


def _titled(tag: str) -> str:
    return tag[:1].upper() + tag[1:]


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _page(title: str, sections: Sequence[str]) -> str:
    return "\n\n".join([f"# {title}", *sections]) + "\n"


def _index(contract: Node, tags: Sequence[str]) -> str:
    names = [*(_slug(tag) for tag in tags), _SHAPES.removesuffix(".md")]
    toctree = "\n".join(["```{toctree}", ":maxdepth: 2", "", *names, "```"])
    about = (
        "Written from `docs/openapi.json`, which a running service answers as `/openapi.json`. "
        "Calls need `Authorization: Bearer <API key>` unless they say otherwise. "
        f"Every error is a [Problem](#{_target('Problem')})."
    )
    return _page("HTTP contract", [contract["info"].get("description", ""), about, toctree])


def _operation(verb: str, path: str, operation: Node) -> str:
    parts = [f"## {verb.upper()} {path}", operation.get("description") or operation.get("summary", "")]
    if not operation.get("security"):
        parts.append("Needs no API key.")

    parameters = operation.get("parameters", ())
    if parameters:
        rows = [(f"`{one['name']}`", one["in"], _type(one["schema"]), _about(one, one["schema"])) for one in parameters]
        parts.append(_table(("parameter", "in", "type", "meaning"), rows))

    if "requestBody" in operation:
        body = operation["requestBody"]
        needed = "" if body.get("required") else ", may be left out"
        parts.append(f"**Body**{needed}: {_content(body['content'])}")

    answers = [(f"`{status}`", _answer(answer)) for status, answer in operation["responses"].items()]
    parts.append(_table(("status", "answer"), answers))
    return "\n\n".join(parts)


def _answer(answer: Node) -> str:
    shown = "" if answer["description"] == "Successful Response" else answer["description"]
    content = _content(answer["content"]) if answer.get("content") else ""
    return ": ".join(part for part in (_cell(shown), content) if part) or "no body"


def _content(content: Node) -> str:
    return "; ".join(f"{_type(media.get('schema', {}))} (`{kind}`)" for kind, media in content.items())


def _shape(name: str, schema: Node) -> str:
    parts = [f"({_target(name)})=\n## {name}", schema.get("description", "")]
    if "properties" in schema:
        required = schema.get("required", ())
        rows = [
            (f"`{field}`", _type(value), "yes" if field in required else "", _about(value, value))
            for field, value in schema["properties"].items()
        ]
        parts.append(_table(("field", "type", "required", "meaning"), rows))
    else:
        parts.append(_type(schema))
    return "\n\n".join(part for part in parts if part)


def _target(name: str) -> str:
    return f"shape-{name}"


def _type(schema: Node) -> str:
    """A schema in words; shapes that have a name are links."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{_target(name)})"

    alternatives = schema.get("anyOf") or schema.get("oneOf")
    if alternatives:
        return " or ".join(_type(alternative) for alternative in alternatives)

    values = [schema["const"]] if "const" in schema else schema.get("enum")
    if values:
        return " or ".join(_code(json.dumps(value)) for value in values)

    return _plain_type(schema)


def _plain_type(schema: Node) -> str:
    match schema.get("type"):
        case "array" if "prefixItems" in schema:
            return "[" + ", ".join(_type(item) for item in schema["prefixItems"]) + "]"
        case "array":
            return f"list of {_type(schema.get('items', {}))}"
        case "object":
            values = schema.get("additionalProperties")
            return f"object of {_type(values)}" if isinstance(values, Mapping) and values else "object"
        case kind:
            name = str(kind or "anything")
            return f"{name} ({schema['format']})" if "format" in schema else name


def _about(described: Node, schema: Node) -> str:
    """What a parameter or field means, its bounds and its default."""
    parts = [_cell(described.get("description", ""))]
    bounds = list(_bounds(schema))
    if bounds:
        parts.append(_cell(", ".join(bounds)))
    if schema.get("default") is not None:
        parts.append(f"default {_code(json.dumps(schema['default']))}")
    return "; ".join(part.rstrip(".") for part in parts if part)


def _bounds(schema: Node) -> Iterator[str]:
    for part in (schema, *schema.get("anyOf", ())):
        for key, words in _BOUNDS.items():
            if key in part:
                yield words.format(part[key])


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _code(text: str) -> str:
    return f"`{_cell(text)}`"


def _cell(text: str) -> str:
    """Text that fits into a table's cell."""
    return " ".join(text.split()).replace("|", "\\|")
