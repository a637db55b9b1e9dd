"""Which characters may be in the text of a concept, and what is said of a place of a concept file."""

import unicodedata

from service.errors import InvalidConceptSet

MAX_LENGTH = 300
_BLANKS = " \t\u00a0"
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_JOINERS = frozenset("\u200c\u200d")  # part of the spelling in Persian and in Indic scripts


def invalid(where: str, what: str, remedy: str, field: str = "concepts") -> InvalidConceptSet:
    """The error for one place of the input: `where` is as `line 3` or `entry 3`."""
    return InvalidConceptSet(f"{where[:1].upper()}{where[1:]} {what}.", field=field, value=where, remedy=remedy)


def clean(value: str, where: str, field: str) -> str:
    """The value without blanks around it. Raises InvalidConceptSet when it is too long or holds unseen characters."""
    value = value.strip(_BLANKS)
    if len(value) > MAX_LENGTH:
        raise invalid(
            where,
            f"has a {field} of {len(value)} characters",
            f"Use {MAX_LENGTH} at most: a concept is a short phrase.",
        )

    for character in value:
        if unicodedata.category(character) in _UNSEEN and character not in _JOINERS:
            raise invalid(
                where,
                f"holds the control character U+{ord(character):04X} in its {field}",
                "Remove characters that cannot be seen.",
            )

    return value.strip()
