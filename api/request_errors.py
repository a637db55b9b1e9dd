"""What is wrong with a request, in our own words: the field as the caller knows it, its value, and what to send."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import ErrorDetails

from service.wrong_values import expected_of

_SECRET = re.compile("secret|password|token|key|authorization|signature|credential|url", re.IGNORECASE)
_LONGEST_VALUE = 80
_MOST_LISTED = 20
_SOURCES = {"header": "header", "query": "parameter", "path": "parameter"}
_CONTRACT = "GET /openapi.json has every field of it."


@dataclass(frozen=True, slots=True)
class WrongField:
    """One wrong field."""

    field: str
    detail: str
    remedy: str
    value: str | None = None

    def as_json(self) -> dict[str, str]:
        """The field as it stands in `errors` of a problem."""
        fields = {"field": self.field, "detail": self.detail, "remedy": self.remedy}
        if self.value is not None:
            fields["value"] = self.value
        return fields


@dataclass(slots=True)
class _Fault:
    """What pydantic says of one place: the place as the caller knows it, and the kinds of error there."""

    place: tuple[str | int, ...]
    source: str
    value: object
    errors: list[ErrorDetails]


def wrong_fields(errors: Sequence[ErrorDetails], body: object) -> tuple[list[WrongField], int]:
    """The first 20 fields that are wrong, in the order in which they were found, and how many more are.

    body: the JSON that the errors are about, if any.
    Of a value that may have one of several forms, pydantic says for each form why it is none. Here that is one error,
    and none at all where the value has one of the forms but something inside of it is wrong.
    """
    faults: dict[tuple[str | int, ...], _Fault] = {}
    for error in errors:
        source, *steps = error["loc"]
        # A parameter that may be repeated is known by its name alone.
        place = tuple(_place_in(body, steps, error["type"]) if source == "body" else steps[:1])
        fault = faults.setdefault((source, *place), _Fault(place, str(source), error.get("input"), []))
        fault.errors.append(error)

    around = {key[:length] for key in faults for length in range(1, len(key))}
    innermost = [fault for key, fault in faults.items() if key not in around]
    listed = [_wrong_field(fault) for fault in innermost[:_MOST_LISTED]]
    return listed, len(innermost) - len(listed)


def _place_in(body: object, steps: Sequence[str | int], kind: str) -> list[str | int]:
    """The steps that lead through the body; the others are names of forms that a value may have."""
    place: list[str | int] = []
    here: Any = body
    for number, step in enumerate(steps, start=1):
        if _leads_on(here, step):
            here = here[step]
            place.append(step)
        elif kind == "missing" and number == len(steps):
            place.append(step)

    return place


def _leads_on(here: object, step: str | int) -> bool:
    if isinstance(here, list):
        return isinstance(step, int) and 0 <= step < len(here)
    return isinstance(here, dict) and step in here


def _wrong_field(fault: _Fault) -> WrongField:
    error = fault.errors[0]
    context = error.get("ctx") or {}
    steps = [shortened(str(step)) for step in fault.place]
    field = ".".join(steps) or fault.source
    part = _SOURCES.get(fault.source, "field")

    match error["type"]:
        case "missing" if field == "body":
            return WrongField(field, "The body is missing.", f"Send a JSON object. {_CONTRACT}")
        case "missing":
            return WrongField(field, f"The {part} {field} is missing.", f"Send it. {_CONTRACT}")
        case "extra_forbidden":
            return WrongField(
                field, f"The {part} {field} is not known here.", f"Leave it out, or correct its name. {_CONTRACT}"
            )
        case "value_error" | "assertion_error":
            return _of_validator(field, str(context.get("error", "")), _shown(fault))
        case "union_tag_not_found" | "union_tag_invalid":
            return _of_discriminator(fault, context)

    forms = list(dict.fromkeys(expected_of(form["type"], form.get("ctx") or {}) for form in fault.errors))
    *first, last = " or ".join(forms).split(" or ")
    expected = f"{', '.join(first)} or {last}" if first else last
    name = "The body" if field == "body" else field
    return WrongField(field, f"{name} must be {expected}.", f"Send {expected}.", _shown(fault))


def _of_validator(field: str, text: str, value: str | None) -> WrongField:
    """An error of a validator of our own, whose text may tell the remedy behind a semicolon."""
    detail, _, remedy = text.rstrip(".").partition("; ")
    remedy = f"{remedy[:1].upper()}{remedy[1:]}." if remedy else f"Send another value. {_CONTRACT}"
    return WrongField(field, f"{field} {detail}.", remedy, value)


def _of_discriminator(fault: _Fault, context: Mapping[str, object]) -> WrongField:
    """The object does not say, or wrongly says, which of several kinds it is."""
    name = str(context.get("discriminator", "")).strip("'")
    field = ".".join((*map(str, fault.place), name))
    value = fault.value.get(name) if isinstance(fault.value, dict) else None

    tags = str(context.get("expected_tags", "")).replace(", ", " or ")
    remedy = f"Send {tags}." if tags else f"Say which kind it is. {_CONTRACT}"
    detail = f"{field} must be {tags}." if tags else f"The field {field} is missing."
    return WrongField(field, detail, remedy, None if value is None else shortened(str(value)))


def _shown(fault: _Fault) -> str | None:
    """The value as far as it may be repeated: no secrets, no lists, no objects, nothing long."""
    if fault.value is None or isinstance(fault.value, dict | list | bytes):
        return None
    if any(_SECRET.search(str(step)) for step in fault.place):
        return None

    text = str(fault.value)
    return shortened(text.lower() if isinstance(fault.value, bool) else text)


def shortened(text: str) -> str:
    """As much of what the caller sent as is repeated to it."""
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 1]}…"
