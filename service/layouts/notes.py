"""What was decided or left out while a layout was read, told to the user."""

_MOST_PLACES = 20
"""That a note names."""


class Notes:
    """Sentences, each told once, counts of what happened more than once, and files that were left out.

    names_files: whether these are named, or only counted.
    """

    def __init__(self, *, names_files: bool = True) -> None:
        self._names_files = names_files
        self._sentences: dict[str, None] = {}
        self._tallies: dict[str, int] = {}
        self._places: dict[str, list[str]] = {}
        self._left_out: dict[str, int] = {}

    def say(self, sentence: str) -> None:
        """Note a whole sentence."""
        self._sentences[sentence] = None

    def tally(self, what: str, count: int = 1) -> None:
        """Note that it happened again; `what` goes on after the number, as in `image(s) were left out`."""
        self._tallies[what] = self._tallies.get(what, 0) + count

    def name(self, why: str, place: str) -> None:
        """Note that a file was left out; `why` as in `is damaged`."""
        self._left_out[why] = self._left_out.get(why, 0) + 1
        places = self._places.setdefault(why, [])
        if len(places) < _MOST_PLACES:
            places.append(place)

    def all(self) -> tuple[str, ...]:
        """Every note."""
        counted = (f"{count:,} {what}." for what, count in self._tallies.items())
        left_out = (
            f"{count:,} file(s) were left out, because each {why}{self._named(why, count)}"
            for why, count in self._left_out.items()
        )
        return (*self._sentences, *counted, *left_out)

    def _named(self, why: str, count: int) -> str:
        if not self._names_files:
            return "."
        return f": {', '.join(self._places[why])}" + (", …" if count > len(self._places[why]) else ".")
