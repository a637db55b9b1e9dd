"""YAML that others wrote, of which JSON is a part."""

from typing import Any

import yaml

from service.errors import InvalidInput

_MALFORMED = (yaml.YAMLError, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What PyYAML raises: its own errors, and those of malformed numbers, dates or truth values and of deep nesting."""


class _Alias(Exception):
    """The text repeats a part of itself."""


class _KeyTwice(Exception):
    """A mapping has a key twice; of these all but the last would be lost."""


class _PlainLoader(yaml.SafeLoader):
    """A loader without aliases: with them a text of some hundred bytes stands for a document of any size."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Compose a node, unless it repeats another."""
        if self.check_event(yaml.AliasEvent):
            raise _Alias
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Construct a mapping, unless it has a key twice."""
        keys = [(key.tag, key.value) for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if len(set(keys)) < len(keys):
            raise _KeyTwice(next(value for place, (tag, value) in enumerate(keys) if (tag, value) in keys[:place]))
        return super().construct_mapping(node, deep)


def parse_yaml(
    content: str, field: str, *, remedy: str, value: str | None = None, error: type[InvalidInput] = InvalidInput
) -> Any:
    """The document. Raises the error, InvalidInput or a kind of it, with the field's name.

    value: what the error shows of where the text is from.
    """
    try:
        return yaml.load(content, Loader=_PlainLoader)  # noqa: S506 - a SafeLoader
    except _Alias:
        detail = f"The {field} refers to a part of itself."
        raise error(detail, field=field, value=value, remedy="Write the part again.") from None
    except _KeyTwice as twice:
        detail = f"The {field} has the key '{str(twice)[:80]}' twice in one mapping."
        raise error(detail, field=field, value=value, remedy="Write each key once.") from None
    except _MALFORMED as malformed:
        mark = getattr(malformed, "problem_mark", None)
        where = "" if mark is None else f" (line {mark.line + 1}, column {mark.column + 1})"
        raise error(f"The {field} is not valid YAML{where}.", field=field, value=value, remedy=remedy) from None
