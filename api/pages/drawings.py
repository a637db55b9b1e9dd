"""What the drawings on pages about results are made of: verdicts and categories as parts of a bar, with colours."""

from collections.abc import Iterable, Sequence

from markupsafe import Markup

from service.domain.neurons import LayerSummary
from service.domain.verdicts import VerdictCounts
from service.reports import svg

VERDICT_COLOURS = {
    "named": "#009E73",
    "unverified": "#56B4E9",
    "unnamed": "#E69F00",
    "no signal": "#8C8C8C",
    "dead": "#CC79A7",
}
OTHERS = "other categories"


def verdict_bar(counts: VerdictCounts, dead: int = 0, *, width: int = 300) -> Markup:
    """How many neurons have which verdict, filled to the whole width."""
    parts = [(name, count) for name, count in verdict_parts(counts, dead) if count]
    return svg.stacked_bar(parts, counts.units + dead, VERDICT_COLOURS, width)


def verdict_parts(counts: VerdictCounts, dead: int = 0) -> list[tuple[str, int]]:
    """Each verdict with its neurons; the dead, which have none, come last."""
    return [
        ("named", counts.named),
        ("unverified", counts.unverified),
        ("unnamed", counts.unnamed),
        ("no signal", counts.no_signal),
        ("dead", dead),
    ]


def category_colours(layers: Iterable[LayerSummary]) -> dict[str, str]:
    """A colour for each broad category that is among the commonest of any layer, those in most neurons first."""
    neurons_of: dict[str, int] = {}
    for layer in layers:
        for name, count in layer.top_categories:
            neurons_of[name] = neurons_of.get(name, 0) + count
    commonest = sorted(neurons_of, key=lambda name: (-neurons_of[name], name))
    return {**svg.colours_of(commonest[: len(svg.PALETTE) - 1]), OTHERS: svg.PALETTE[-1]}


def category_bar(layer: LayerSummary, colours: dict[str, str], *, width: int = 300) -> Markup | None:
    """The commonest broad categories of a layer and the rest; None where no neuron counts."""
    parts: Sequence[tuple[str, int]] = layer.top_categories
    rest = layer.threshold_met - sum(count for _, count in parts)
    if rest > 0:
        parts = [*parts, (OTHERS, rest)]
    return svg.stacked_bar(parts, sum(count for _, count in parts), colours, width) if parts else None
