"""Values that somebody gives by the names of fields: each is checked, and the first wrong one is refused by name."""

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any, NoReturn

from service.errors import InvalidInput

Check = Callable[[str, object], object]
"""Takes the field's name and what was given, and gives the value; raises InvalidInput."""


def checked_fields(subject: str, values: Mapping[str, object], checks: Mapping[str, Check]) -> dict[str, Any]:
    """The checked values, without those that are None. subject: see `refuse_field`.

    Raises InvalidInput for a field without a check, with its near matches, and what the checks raise.
    """
    for name in values:
        if name not in checks:
            near = get_close_matches(str(name), checks, n=3, cutoff=0.5)
            known = f"Near matches: {', '.join(near)}." if near else f"Fields: {', '.join(checks)}."
            refuse_field(subject, str(name)[:60], values[name], "is not known", known)

    return {name: checks[name](name, value) for name, value in values.items() if value is not None}


def refuse_field(subject: str, name: str, value: object, what: str, remedy: str) -> NoReturn:
    """Raise InvalidInput. subject: what the fields are of, as `input`. what: goes on after the name and the value."""
    shown = f"{value}"[:80]
    raise InvalidInput(f"The {subject}'s {name} {shown} {what}.", field=f"{subject}.{name}", value=shown, remedy=remedy)
