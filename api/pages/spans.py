"""Spans of time in words."""

from datetime import timedelta

_UNITS = (("day", 86_400), ("hour", 3_600), ("minute", 60))
_MOST_HOURS = 48


def span_words(span: timedelta) -> str:
    """`less than a minute`, `5 minutes`, `47 hours`, `12 days`: the largest unit of which there are enough to tell."""
    seconds = int(span.total_seconds())
    for name, length in _UNITS:
        number = seconds // length
        if number >= 1 and not (name == "day" and seconds < _MOST_HOURS * 3_600):
            return f"{number:,} {name}" if number == 1 else f"{number:,} {name}s"
    return "less than a minute"
