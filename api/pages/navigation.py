"""The pages that the head of every page leads to."""

import re
from dataclasses import dataclass

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

SEARCH = "/ui/search"
_PARAMETER = re.compile(r"{[^}]*}")


@dataclass(frozen=True, slots=True)
class Entry:
    """A link in the head."""

    title: str
    path: str

    def leads_to(self, here: str) -> bool:
        """Whether the page at that path belongs to the entry."""
        return here == self.path or (self.path != "/ui" and here.startswith(f"{self.path}/"))


_ENTRIES = (
    Entry("Home", "/ui"),
    Entry("Jobs", "/ui/jobs"),
    Entry("Models", "/ui/models"),
    Entry("Concepts", "/ui/concepts"),
    Entry("Compare", "/ui/compare"),
    Entry("Probe sets", "/ui/probe-sets"),
    Entry("Dissectors", "/ui/dissectors"),
    Entry("Concept sets", "/ui/concept-sets"),
    Entry("Deployments", "/ui/deployments"),
    Entry("Fleet", "/ui/fleet"),
)


@dataclass(frozen=True, slots=True)
class Navigation:
    """What the head of every page shows."""

    entries: tuple[Entry, ...]
    paths: frozenset[str]
    """Of all pages, with `{}` in place of each parameter."""

    def serves(self, path: str) -> bool:
        """Whether there is such a page, `/ui/models/{}`."""
        return path in self.paths

    @property
    def has_search(self) -> bool:
        """Whether there is the page that finds things."""
        return self.serves(SEARCH)


def navigation_of(app: FastAPI) -> Navigation:
    """Those of the links that lead to a page of the application."""
    paths = {_PARAMETER.sub("{}", str(context.path)) for context in iter_route_contexts(app.routes)}
    return Navigation(tuple(entry for entry in _ENTRIES if entry.path in paths), frozenset(paths))
