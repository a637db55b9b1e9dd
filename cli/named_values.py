"""Options that give several values by name: `name=value`, or a file with several of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cli.documents import read_document
from service.errors import InvalidInput
from service.plain_yaml import parse_yaml

_SUFFIXES = {".json", ".yaml", ".yml"}
_MOST_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class NamedValues:
    """How an option is read, and what its errors say."""

    field: str
    """What errors name, as `input`."""

    example: tuple[str, str]
    """A name with a value, as in ("height", "384")."""

    value_of: Callable[[str, str, str], object]
    """The value that a text gives; it is given the name, the text and the whole option."""

    def read(self, options: Sequence[str]) -> dict[str, object]:
        """All values by name. Raises InvalidInput, also for a name that is given twice."""
        values: dict[str, object] = {}
        for option in options:
            for name, value in self._values(option).items():
                if name in values:
                    raise InvalidInput(
                        f"The {self.field}'s {name} is given twice.",
                        field=f"{self.field}.{name}",
                        value=value,
                        remedy=f"Give {name} once.",
                    )
                values[name] = value
        return values

    def parsed(self, text: str, option: str) -> object:
        """What a text is in YAML, of which JSON is a part. Raises InvalidInput."""
        return parse_yaml(text, self.field, value=option, remedy="Write it as in YAML or JSON.")

    def _values(self, option: str) -> dict[str, object]:
        name, separator, text = option.partition("=")
        if separator:
            return {name.strip(): self.value_of(name.strip(), text, option)}

        path = Path(option)
        example, value = self.example
        if path.suffix.lower() not in _SUFFIXES:
            raise InvalidInput(
                f"'{option[:80]}' is neither name=value nor a file.",
                field=self.field,
                value=option,
                remedy=f"Write name=value, as in {example}={value}, or name a .yaml or .json file.",
            )

        text = read_document(path, field=self.field, most=_MOST_BYTES).decode("utf-8", "replace")
        content = self.parsed(text, option)
        if not isinstance(content, dict):
            raise InvalidInput(
                "The file holds no names with values.",
                field=self.field,
                value=option,
                remedy=f"Write a line for each, as in `{example}: {value}`.",
            )
        return {str(name): value for name, value in content.items()}
