"""Which weights of a file a target has, and how they were brought into its network."""

from collections.abc import Iterable
from typing import Literal, NotRequired, TypedDict

_NAMED = 5


class Listed(TypedDict):
    """Entries of a file, by number and the first of their names."""

    count: int
    names: list[str]


class WeightsReading(TypedDict):
    """What was decided when a weights file was read for an architecture (database and wire format)."""

    entry: str
    """The set that was taken: the entries that lead to it, joined by "/"; "." for the file's own dictionary."""

    chosen: Literal["only", "default", "given"]
    """Whether it was the only set that fits, the default among several, or asked for."""

    sets: list[str]
    """Every set of the file that fits the architecture, by the names that `weights` takes."""

    same: NotRequired[list[str]]
    """Other names that the file has for the set that was taken. Left out where it has none."""

    prefix: str
    """What stands before the network's own names in the file's keys."""

    renamed: Listed
    """Entries that the architecture's library renames or reshapes itself when it loads such a file."""

    filled_in: Listed
    """Entries of the network that the file lacks and that hold nothing learned."""

    left_out: Listed
    """Layers of the network that the file has no fitting weights for, which cannot be dissected: all of them."""

    unused: Listed
    """Entries of the set that are not part of the network."""

    channels: Literal[1, 3]
    """Colour channels of the network's first convolution."""


def listed(names: Iterable[str], most: int | None = _NAMED) -> Listed:
    """The number of names, and the first few; all of them where `most` is None."""
    every = list(names)
    return {"count": len(every), "names": [name[:200] for name in every[:most]]}


def first_names(entries: Listed) -> str:
    """Their names for a sentence, with dots where there are more."""
    more = ", ..." if entries["count"] > len(entries["names"]) else ""
    return ", ".join(entries["names"]) + more


def reading_in_words(reading: WeightsReading) -> list[str]:
    """Sentences for a report."""
    set_name = "the file's own dictionary" if reading["entry"] == "." else f"the entry '{reading['entry']}'"
    sentences = [f"The weights are those of {set_name}{_chosen(reading)}."]
    same = reading.get("same")
    if same:
        sentences.append(f"The file has the same weights under {', '.join(map(repr, same))}, too.")
    if reading["prefix"]:
        sentences.append(f"Their names begin with '{reading['prefix']}', which was taken off.")

    if reading["channels"] == 1:
        sentences.append(
            "The first convolution has one channel: it sees the grey plane, scaled by the average of the mean and of "
            "the standard deviation of the three channels."
        )

    for field, words in (
        ("renamed", "renamed or reshaped as the architecture's library does"),
        ("filled_in", "not in the file, filled in as they hold nothing learned"),
        ("left_out", "left out of the network, because the file has no fitting weights for them"),
        ("unused", "in the file, but not part of the network"),
    ):
        entries: Listed = reading[field]  # type: ignore[literal-required]
        if entries["count"]:
            sentences.append(f"{entries['count']} {words}: {first_names(entries)}.")
    return sentences


def _chosen(reading: WeightsReading) -> str:
    if reading["chosen"] == "only":
        return ", the only ones in the file that fit"
    others = ", ".join(f"'{name}'" for name in reading["sets"] if name != reading["entry"])
    how = "as asked for" if reading["chosen"] == "given" else "by default"
    return f", {how}; the file also holds {others}" if others else f", {how}"
