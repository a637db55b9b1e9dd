"""Small inline SVG drawings for reports. Every text passes through Markup.format, which escapes it.

Colours come from Okabe and Ito's palette, which colour-blind readers can tell apart; nothing is said by colour alone.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from math import ceil, floor, log10

from markupsafe import Markup

from service.domain.comparisons import Change, Measured, beyond_noise
from service.domain.neurons import ActivationSummary
from service.reports.layers import ScoreHistogram, random_shares

PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#8C8C8C")
BLUE, ORANGE, GREY, FAINT, INK = PALETTE[0], "#B45F06", "#B9C0C7", "#E3E7EA", "#22303C"
_HILL_BINS = 48
_CRITICAL = 95  # the percentile of the null beyond which p <= 0.05


def colours_of(categories: Iterable[str]) -> dict[str, str]:
    """A colour for each category, in order; all categories beyond the palette share its last colour."""
    last = len(PALETTE) - 1
    return {category: PALETTE[min(place, last)] for place, category in enumerate(categories)}


def bar(value: float, greatest: float, colour: str = BLUE, width: int = 110) -> Markup:
    """A horizontal bar beside a number that says the same, so hidden from screen readers."""
    length = width * value / greatest if greatest > 0 else 0.0
    return _hidden(width, 10, [_rect(0, 0, width, 10, FAINT), _rect(0, 0, max(0.0, length), 10, colour)])


def stacked_bar(parts: Sequence[tuple[str, int]], total: int, colours: Mapping[str, str], width: int = 430) -> Markup:
    """Shares of `total`, each with its count inside where there is room; `total` fills the width."""
    shapes: list[Markup] = []
    left = 0.0
    for name, count in parts:
        span = width * count / max(total, 1)
        shapes.append(_segment(left, span, name, count, colours.get(name, PALETTE[-1])))
        left += span

    words = ", ".join(f"{name} {count}" for name, count in parts) or "none"
    return drawing(width, 18, words, shapes, title=False)


def swatch(colour: str) -> Markup:
    """A legend's square."""
    return _hidden(11, 11, [_rect(0, 0, 11, 11, colour)])


def score_histogram(scores: ScoreHistogram, words: str, width: int = 330, height: int = 150) -> Markup:
    """Units by their best score, significant ones dark; the outline is what random image sets would give."""
    left = 34
    bottom = height - 30
    top = 8

    units = [significant + others for significant, others in zip(scores.significant, scores.others, strict=True)]
    living = sum(units)
    outline = [share * living for share in scores.random]

    across = _Scale(scores.edges[0], scores.edges[-1], left, width - 6)
    up = _Scale(0.0, max(*units, *outline, 1.0), bottom, top)

    shapes = [_line(left, bottom, width - 6, bottom)]
    for (start, stop), dark, pale in zip(pairwise(scores.edges), scores.significant, scores.others, strict=True):
        x = across(start) + 0.5
        span = across(stop) - across(start) - 1
        shapes.append(_rect(x, up(pale), span, bottom - up(pale), GREY))
        shapes.append(_rect(x, up(pale + dark), span, up(pale) - up(pale + dark), BLUE))
    shapes.append(_steps([across(edge) for edge in scores.edges], [up(value) for value in outline], bottom))

    shapes += _ticks_below(across, bottom)
    for value in (0, round(up.high)):
        shapes.append(_text(left - 5, up(value) + 4, str(value), anchor="end"))
    shapes.append(_text((left + width) / 2, height - 3, "best score", anchor="middle"))
    return drawing(width, height, words, shapes)


def null_and_score(quantiles: Sequence[float], score: float, words: str, width: int = 250, height: int = 62) -> Markup:
    """The best scores of random image sets as a hill, its upper 5 % dark, and a neuron's score as a line on it."""
    bottom = height - 17
    low = min(quantiles[0], score)
    high = max(quantiles[-1], score)
    room = (high - low or 1.0) * 0.04
    across = _Scale(low - room, high + room, 4, width - 4)

    reach = quantiles[-1] - quantiles[0] or 1.0
    edges = [quantiles[0] + reach * step / _HILL_BINS for step in range(_HILL_BINS + 1)]
    shares = random_shares(quantiles, edges)
    up = _Scale(0.0, max(shares) or 1.0, bottom, 8)

    critical = quantiles[_CRITICAL]
    shapes = []
    for (start, stop), share in zip(pairwise(edges), shares, strict=True):
        colour = ORANGE if start >= critical else GREY
        span = across(stop) - across(start) + 0.3
        shapes.append(_rect(across(start), up(share), span, bottom - up(share), colour))
    shapes.append(_line(4, bottom, width - 4, bottom))

    x = across(score)
    shapes.append(_line(x, 4, x, bottom, BLUE, 2.5))
    shapes.append(_text(x, height - 4, f"score {score:.2f}", anchor=_anchor_within(x, width), fill=BLUE))
    return drawing(width, height, words, shapes)


def activations(
    summary: ActivationSummary, images: Sequence[float], words: str, width: int = 430, height: int = 66
) -> Markup:
    """A neuron's activation over the probe set: its range, its mean with one deviation, and its top images as marks."""
    middle = 26
    low, high = summary.minimum, max(summary.maximum, *images) if images else summary.maximum
    room = (high - low or 1.0) * 0.04
    across = _Scale(low - room, high + room, 6, width - 6)

    left, right = across(max(low, summary.mean - summary.std)), across(min(high, summary.mean + summary.std))
    shapes = [
        _rect(across(low), middle - 3, across(high) - across(low), 6, FAINT),
        _rect(left, middle - 8, right - left, 16, GREY),
        _line(across(summary.mean), middle - 12, across(summary.mean), middle + 12, INK, 2),
    ]
    for activation in images:
        mark = Markup('<circle cx="{:.1f}" cy="{:.1f}" r="4.5" fill="{}" stroke="#fff"/>')
        shapes.append(mark.format(across(activation), middle, BLUE))
    shapes += _ticks_below(across, height - 18)
    return drawing(width, height, words, shapes)


def _anchor_within(x: float, width: float) -> str:
    """How to anchor a text at x so that it does not reach beyond the drawing."""
    if x > width * 0.6:
        return "end"
    if x < width * 0.4:
        return "start"
    return "middle"


def change(shown: Change, extent: float, width: int = 300, height: int = 20) -> Markup:
    """A gain as a dot with its interval on the band that the exams alone would fill; full where it is beyond that."""
    across = _Scale(-extent, extent, 6, width - 6)
    middle = height / 2
    shapes = []

    if shown.noise is not None:
        left = across(-shown.noise)
        right = across(shown.noise)
        shapes.append(_rect(left, 2, right - left, height - 4, FAINT))
    shapes.append(_line(across(0), 0, across(0), height, GREY))

    colour = BLUE if shown.gain >= 0 else ORANGE
    if shown.low is not None and shown.high is not None:
        shapes.append(_line(across(shown.low), middle, across(shown.high), middle, colour, 2))

    fill = colour if beyond_noise(shown) else "#fff"
    dot = Markup('<circle cx="{:.1f}" cy="{:.1f}" r="4.5" fill="{}" stroke="{}" stroke-width="2"/>')
    shapes.append(dot.format(across(shown.gain), middle, fill, colour))
    return _hidden(width, height, shapes)


def share_on_noise(share: Measured, greatest: float, width: int = 110) -> Markup:
    """A bar with its noise floor as a mark on it."""
    across = _Scale(0.0, greatest, 0, width)
    colour = BLUE if beyond_noise(share) else GREY
    shapes = [_rect(0, 3, width, 10, FAINT), _rect(0, 3, across(share.value or 0.0), 10, colour)]
    if share.noise is not None:
        shapes.append(_line(across(share.noise), 0, across(share.noise), 16, ORANGE, 2))
    return _hidden(width, 16, shapes)


def drawing(width: int, height: int, words: str, shapes: Iterable[Markup], *, title: bool = True) -> Markup:
    """An SVG that says in words what it shows."""
    svg = Markup(
        '<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" aria-label="{words}">'
        "{title}{shapes}</svg>"
    )
    return svg.format(
        width=width,
        height=height,
        words=words,
        title=Markup("<title>{}</title>").format(words) if title else "",
        shapes=Markup("").join(shapes),
    )


class _Scale:
    """Maps a range of values onto a range of pixels."""

    def __init__(self, low: float, high: float, start: float, stop: float) -> None:
        self.low = low
        self.high = high if high > low else low + 1.0
        self._start = start
        self._stop = stop

    def __call__(self, value: float) -> float:
        return self._start + (value - self.low) / (self.high - self.low) * (self._stop - self._start)


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round values between low and high, at most about `most`."""
    rough = (high - low) / max(most, 1)
    if rough <= 0:
        return [low]

    size = 10.0 ** floor(log10(rough))
    step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= rough)
    return [round(step * place, 10) for place in range(ceil(low / step), floor(high / step) + 1)]


def _ticks_below(across: _Scale, y: float) -> list[Markup]:
    shapes = []
    for value in ticks(across.low, across.high):
        shapes.append(_line(across(value), y, across(value), y + 3))
        shapes.append(_text(across(value), y + 14, f"{value:g}", anchor="middle"))
    return shapes


def _steps(edges: Sequence[float], tops: Sequence[float], bottom: float) -> Markup:
    points = [(edges[0], bottom)]
    for (start, stop), top in zip(pairwise(edges), tops, strict=True):
        points += [(start, top), (stop, top)]
    points.append((edges[-1], bottom))

    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return Markup('<polyline points="{}" fill="none" stroke="{}" stroke-width="1.6"/>').format(path, ORANGE)


def _hidden(width: int, height: int, shapes: Iterable[Markup]) -> Markup:
    svg = Markup(
        '<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" aria-hidden="true">{shapes}</svg>'
    )
    return svg.format(width=width, height=height, shapes=Markup("").join(shapes))


def _rect(x: float, y: float, width: float, height: float, fill: str) -> Markup:
    return Markup('<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" fill="{}"/>').format(
        x, y, max(0.0, width), max(0.0, height), fill
    )


def _line(x1: float, y1: float, x2: float, y2: float, stroke: str = INK, width: float = 1.0) -> Markup:
    return Markup('<line x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}" stroke="{}" stroke-width="{}"/>').format(
        x1, y1, x2, y2, stroke, width
    )


def _text(x: float, y: float, words: str, *, anchor: str = "start", fill: str = INK) -> Markup:
    return Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}" fill="{}" font-size="11">{}</text>').format(
        x, y, anchor, fill, words
    )


def _segment(left: float, width: float, name: str, count: int, colour: str) -> Markup:
    text = ""
    if width >= 9 + 6 * len(str(count)):
        text = _text(left + width / 2, 13, str(count), anchor="middle", fill=_on(colour))

    return Markup(
        '<g><title>{}: {}</title><rect x="{:.1f}" y="0" width="{:.1f}" height="18" fill="{}" stroke="#fff"/>{}</g>'
    ).format(name, count, left, width, colour, text)


def _on(colour: str) -> str:
    return "#fff" if colour in {"#0072B2", "#009E73", "#D55E00"} else "#111"
