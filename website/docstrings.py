"""Docstrings as this repository writes them, which is plain text with `code`, in the markup that Sphinx reads."""

import re
from collections.abc import Iterator, Sequence

_FIELD = re.compile(r"(\*{0,2}[a-z_]\w*(?:, [a-z_]\w*)*): ")
_BULLET = re.compile(r"[-*] ")
_SPECIAL = re.compile(r"([\\*|_`]|:(?=:))")


def as_restructured(lines: Sequence[str]) -> list[str]:
    """A docstring's lines with every character that is markup elsewhere escaped.

    Paragraphs stay paragraphs; indented ones are shown as they are; lists stay lists; `name: text` stands out.
    """
    result: list[str] = []
    for paragraph in _paragraphs(lines):
        result += [*_shown(paragraph), ""]
    return result


def _paragraphs(lines: Sequence[str]) -> Iterator[list[str]]:
    paragraph: list[str] = []
    for line in [*lines, ""]:
        if line.strip():
            paragraph.append(line)
        elif paragraph:
            yield paragraph
            paragraph = []


def _shown(paragraph: Sequence[str]) -> list[str]:
    if paragraph[0].startswith("  "):
        return ["::", "", *(f"   {line}" for line in paragraph)]
    if any(line.startswith("  ") for line in paragraph) and not _BULLET.match(paragraph[0]):
        return [f"| {_escaped(line.strip())}" for line in paragraph]

    shown: list[str] = []
    for line in paragraph:
        bullet = _BULLET.match(line)
        if bullet:
            shown += ["", f"- {_escaped(line[bullet.end() :])}"]
        else:
            shown.append(_indent(line, after=shown) + _text(line.strip(), first=not shown))
    return shown


def _indent(line: str, *, after: Sequence[str]) -> str:
    inside_a_list = line.startswith("  ") and any(shown.startswith("- ") for shown in after)
    return "  " if inside_a_list else ""


def _text(line: str, *, first: bool) -> str:
    field = _FIELD.match(line) if first else None
    if field is None:
        return _escaped(line)
    names = " ".join(f"``{name}``" + "," * (position > 0) for position, name in _from_the_end(field.group(1)))
    return f"{names}: {_escaped(line[field.end() :])}"


def _from_the_end(names: str) -> Iterator[tuple[int, str]]:
    parts = names.split(", ")
    for index, name in enumerate(parts):
        yield len(parts) - 1 - index, name


def _escaped(text: str) -> str:
    """`code` becomes literal text; outside of it nothing is markup."""
    parts = re.split(r"`([^`]+)`", text)
    return "".join(_literal(part) if odd % 2 else _SPECIAL.sub(r"\\\1", part) for odd, part in enumerate(parts))


def _literal(code: str) -> str:
    # The escaped blanks let a letter follow: `name`s.
    return f"\\ ``{code.strip()}``\\ "
