"""The concept sets that come with the software."""

from functools import cache
from importlib.resources import files

from service.concepts.parse import parse_concept_set
from service.domain.concepts import ConceptSet
from service.domain.purposes import Purpose, Terms
from service.errors import NotFound

_FILES = {"bi-rads": "bi_rads.csv"}
BUILTIN: tuple[str, ...] = tuple(_FILES)
BUILTIN_TERMS = Terms("Apache-2.0", tuple(Purpose))
"""They were written for this software and have its licence."""


@cache
def builtin_concept_set(name: str) -> ConceptSet:
    """The built-in concept set of that name, read on first use. Raises NotFound."""
    if name not in _FILES:
        raise NotFound(
            f"There is no built-in concept set '{name[:64]}'.",
            field="concept_set",
            value=name,
            remedy=f"Built in: {', '.join(BUILTIN)}.",
        )

    content = files("service.concepts").joinpath("data", _FILES[name]).read_bytes()
    return parse_concept_set(name, content, "csv")
