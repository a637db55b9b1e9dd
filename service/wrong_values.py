"""What was expected where a value did not fit, in our own words for every kind of error that pydantic has."""

from collections.abc import Mapping

_FALLBACK = "a value as GET /openapi.json describes it"

_EXPECTED: dict[str, str] = {
    "string_type": "a text",
    "string_sub_type": "a text",
    "string_unicode": "a text of whole characters",
    "string_too_short": "a text of at least {min_length} character(s)",
    "string_too_long": "a text of at most {max_length} characters",
    "string_pattern_mismatch": "a text of the form {pattern}",
    "string_not_ascii": "a text of ASCII characters",
    "literal_error": "{expected}",
    "enum": "{expected}",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a whole number of fewer digits",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "decimal_type": "a number",
    "decimal_parsing": "a number",
    "greater_than": "a number greater than {gt}",
    "greater_than_equal": "a number of at least {ge}",
    "less_than": "a number less than {lt}",
    "less_than_equal": "a number of at most {le}",
    "multiple_of": "a multiple of {multiple_of}",
    "list_type": "a list",
    "tuple_type": "a list",
    "set_type": "a list",
    "frozen_set_type": "a list",
    "iterable_type": "a list",
    "too_short": "a list of at least {min_length} item(s)",
    "too_long": "a list of at most {max_length} items",
    "dict_type": "an object",
    "mapping_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
    "dataclass_type": "an object",
    "dataclass_exact_type": "an object",
    "none_required": "null",
    "json_type": "JSON",
    "bytes_type": "a text",
    "uuid_type": "an id such as 0198c5a2-7d3e-7c41-9f60-3b1d2a4e5f60",
    "uuid_parsing": "an id such as 0198c5a2-7d3e-7c41-9f60-3b1d2a4e5f60",
    "uuid_version": "an id such as 0198c5a2-7d3e-7c41-9f60-3b1d2a4e5f60",
    "datetime_type": "a time such as 2026-06-01T02:00:00Z",
    "datetime_parsing": "a time such as 2026-06-01T02:00:00Z",
    "datetime_from_date_parsing": "a time such as 2026-06-01T02:00:00Z",
    "datetime_object_invalid": "a time such as 2026-06-01T02:00:00Z",
    "datetime_past": "a time that has passed",
    "datetime_future": "a time to come",
    "timezone_aware": "a time with its zone, such as 2026-06-01T02:00:00Z",
    "timezone_naive": "a time without a zone, such as 2026-06-01T02:00:00",
    "timezone_offset": "a time such as 2026-06-01T02:00:00Z",
    "date_type": "a date such as 2026-06-01",
    "date_parsing": "a date such as 2026-06-01",
    "date_from_datetime_parsing": "a date such as 2026-06-01",
    "date_from_datetime_inexact": "a date such as 2026-06-01",
    "time_type": "a time of day such as 02:00",
    "time_parsing": "a time of day such as 02:00",
    "time_delta_type": "a duration such as PT1H",
    "time_delta_parsing": "a duration such as PT1H",
    "url_type": "a URL",
    "url_parsing": "a URL",
    "url_syntax_violation": "a URL",
    "url_too_long": "a shorter URL",
    "url_scheme": "a URL that begins with {expected_schemes}",
}


def expected_of(kind: str, context: Mapping[str, object]) -> str:
    """What a field should hold, as a noun: `a list of at least 1 item(s)`. kind, context: of pydantic's error."""
    try:
        expected = _EXPECTED[kind].format_map(context)
    except KeyError:
        return _FALLBACK
    return expected.replace("1 item(s)", "1 item").replace("(s)", "s").replace("1 characters", "1 character")
