"""Policies as YAML or JSON, their schema, and errors that name the rule and the field."""

from difflib import get_close_matches
from typing import get_args

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from service.domain.json_text import check_values
from service.domain.json_values import StoredJson
from service.domain.policies import Policy, Rule
from service.errors import InvalidPolicy
from service.plain_yaml import parse_yaml
from service.wrong_values import expected_of

_POLICY: TypeAdapter[Policy] = TypeAdapter(Policy)
_KINDS = tuple(kind.__dataclass_fields__["rule"].default for kind in get_args(get_args(Rule)[0]))
_REMEDY = "GET /policies/schema has the schema, docs/audits.md an example."


def parse_policy(content: str) -> Policy:
    """A policy from YAML, of which JSON is a part. Raises InvalidPolicy."""
    document = parse_yaml(content, "policy", remedy=_REMEDY, error=InvalidPolicy)
    check_values(document, "policy", within="policy")
    return policy_from(document)


def policy_from(document: object) -> Policy:
    """A policy from JSON values. Raises InvalidPolicy that names the first field that is wrong."""
    try:
        return _POLICY.validate_python(document)
    except ValidationError as error:
        raise _invalid(error.errors(include_url=False)[0]) from None


def policy_as_json(policy: Policy) -> StoredJson:
    """JSON values that `policy_from` turns into an equal policy; what is not set is left out."""
    document: StoredJson = _POLICY.dump_python(policy, mode="json", exclude_none=True)
    return document


def policy_schema() -> StoredJson:
    """The JSON Schema of a policy."""
    return _POLICY.json_schema()


def _invalid(error: ErrorDetails) -> InvalidPolicy:
    context = error.get("ctx", {})
    steps = [step for step in error["loc"] if step not in _KINDS]
    field = ".".join(map(str, ("policy", *steps)))
    value = error["input"]

    if error["type"] == "union_tag_invalid":
        return _unknown_rule(value, field)
    if error["type"] == "union_tag_not_found":
        return InvalidPolicy(
            "A rule does not say its kind.", field=f"{field}.rule", remedy=f"There are {', '.join(_KINDS)}."
        )
    if error["type"] == "unexpected_keyword_argument":
        return InvalidPolicy(f"There is no field '{steps[-1]}'.", field=field, value=value, remedy=_REMEDY)

    shown = None if isinstance(value, dict | list | tuple) else value
    if error["type"] in {"missing", "missing_argument", "missing_keyword_only_argument"}:
        return InvalidPolicy(f"The field {field} is missing.", field=field, remedy=_REMEDY)
    if error["type"] in {"value_error", "assertion_error"}:
        return InvalidPolicy(f"{context['error']}.", field=field, value=shown, remedy=_REMEDY)
    return InvalidPolicy(
        f"{field} must be {expected_of(error['type'], context)}.", field=field, value=shown, remedy=_REMEDY
    )


def _unknown_rule(rule: object, field: str) -> InvalidPolicy:
    kind = str(rule.get("rule")) if isinstance(rule, dict) else ""
    close_matches = get_close_matches(kind, _KINDS, n=1)
    remedy = f"Did you mean {close_matches[0]}?" if close_matches else f"There are {', '.join(_KINDS)}."
    return InvalidPolicy(f"There is no rule '{kind[:80]}'.", field=f"{field}.rule", value=kind, remedy=remedy)
