"""Figures as they are read."""

_NONE = "\N{EN DASH}"
_MINUS = "\N{MINUS SIGN}"


def percent(share: float | None) -> str:
    """0.256 -> `26 %`; only zero reads as 0 %, and only the whole as 100 %."""
    if share is None:
        return _NONE
    if 0 < share < 0.005:
        return "< 1 %"
    if 0.995 <= share < 1:
        return "> 99 %"
    return f"{share:.0%}".replace("%", " %")


def number(value: float | None, digits: int = 2) -> str:
    """A figure with a true minus sign, or a dash where there is none."""
    return _NONE if value is None else f"{value:.{digits}f}".replace("-", _MINUS)


def signed(value: float | None) -> str:
    """A difference with its sign, to one decimal where that is not zero."""
    if value is None:
        return _NONE
    rounded = round(value, 1)
    return "0" if rounded == 0 else f"{rounded:+g}".replace("-", _MINUS)


def probability(value: float | None) -> str:
    """Two significant digits: 0.00031, or 3.1e-09 where it is tiny."""
    return _NONE if value is None else f"{value:.2g}".replace("-", _MINUS)
