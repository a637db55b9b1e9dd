"""A drawing of what audits have said, one after the other. Each verdict has a shape of its own beside its colour."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from service.reports.svg import GREY, INK, drawing

_COLOURS = {"pass": "#009E73", "warn": "#E69F00", "fail": "#D55E00"}
_STEP = 34
_EDGE = 4
_HEIGHT = 58
_MIDDLE = 20
_RADIUS = 8
_LEAST_WIDTH = 300  # the words below need as much


@dataclass(frozen=True, slots=True)
class Mark:
    """An audit on the line."""

    verdict: str | None
    """None where there is none: it runs, was cancelled, or could not be carried out."""

    words: str
    """What is told of it: `12 May 2026: PASS`."""


def verdict_line(marks: Sequence[Mark], when: str) -> Markup:
    """The marks from left to right, the oldest first. when: from which day to which they are, in words."""
    end = _STEP * len(marks) + _EDGE
    width = max(_LEAST_WIDTH, end + _EDGE)
    shapes = [
        Markup('<line x1="{}" y1="{}" x2="{}" y2="{}" stroke="{}" stroke-width="2"/>').format(
            _EDGE, _MIDDLE, end, _MIDDLE, GREY
        )
    ]
    for place, mark in enumerate(marks):
        shapes.append(_mark(mark, _STEP * (place + 0.5) + _EDGE))

    text = Markup('<text x="{}" y="{}" fill="{}" font-size="11">{}</text>')
    shapes.append(text.format(_EDGE, _HEIGHT - 6, INK, when))

    words = "Verdicts, the oldest first: " + "; ".join(mark.words for mark in marks)
    return drawing(width, _HEIGHT, words, shapes, title=False)


def _mark(mark: Mark, x: float) -> Markup:
    """A circle for a pass, a triangle for a warning, a square for a failure, a ring where there is no verdict."""
    low, high = _MIDDLE - _RADIUS, _MIDDLE + _RADIUS
    match mark.verdict:
        case "pass":
            shape = Markup('<circle cx="{:.1f}" cy="{}" r="{}" fill="{}"/>').format(
                x, _MIDDLE, _RADIUS, _COLOURS["pass"]
            )
        case "warn":
            points = f"{x:.1f},{low} {x + _RADIUS:.1f},{high} {x - _RADIUS:.1f},{high}"
            shape = Markup('<polygon points="{}" fill="{}"/>').format(points, _COLOURS["warn"])
        case "fail":
            shape = Markup('<rect x="{:.1f}" y="{}" width="{}" height="{}" fill="{}"/>').format(
                x - _RADIUS, low, 2 * _RADIUS, 2 * _RADIUS, _COLOURS["fail"]
            )
        case _:
            shape = Markup('<circle cx="{:.1f}" cy="{}" r="{}" fill="#fff" stroke="{}" stroke-width="2"/>').format(
                x, _MIDDLE, _RADIUS - 2, GREY
            )
    return Markup("<g><title>{}</title>{}</g>").format(mark.words, shape)
