"""A drawing of a figure with its interval, on a scale with a mark."""

from markupsafe import Markup

from service.reports.svg import BLUE, FAINT, GREY, ORANGE

_WIDTH = 160
_HEIGHT = 16
_EDGE = 5


def auroc_interval(value: float, low: float | None, high: float | None, chance: float = 0.5) -> Markup:
    """An area under the ROC curve from 0 to 1 with its interval; blue where all of it is above chance.

    The numbers stand beside it, so it is hidden from screen readers.
    """
    middle = _HEIGHT / 2
    line = Markup('<line x1="{:.1f}" y1="{}" x2="{:.1f}" y2="{}" stroke="{}" stroke-width="{}"/>')
    colour = BLUE if low is not None and low > chance else ORANGE

    shapes = [
        line.format(_place(0), middle, _place(1), middle, FAINT, 4),
        line.format(_place(chance), 1, _place(chance), _HEIGHT - 1, GREY, 2),
    ]
    if low is not None and high is not None:
        shapes.append(line.format(_place(low), middle, _place(high), middle, colour, 3))
    shapes.append(Markup('<circle cx="{:.1f}" cy="{}" r="4.5" fill="{}"/>').format(_place(value), middle, colour))

    svg = Markup('<svg viewBox="0 0 {0} {1}" width="{0}" height="{1}" aria-hidden="true">{2}</svg>')
    return svg.format(_WIDTH, _HEIGHT, Markup("").join(shapes))


def _place(value: float) -> float:
    return _EDGE + min(1.0, max(0.0, value)) * (_WIDTH - 2 * _EDGE)
