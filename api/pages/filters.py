"""The filters of lists of neurons, as forms send them: every field is sent, and the empty ones restrict nothing."""

from dataclasses import dataclass, field
from math import isfinite
from typing import get_args
from uuid import UUID

from starlette.datastructures import QueryParams

from service.db.neurons import Sort
from service.domain.neurons import NeuronFilter
from service.domain.verdicts import Verdict
from service.errors import InvalidInput

_YES_NO = {"": None, "yes": True, "no": False}
_MOST_CHARACTERS = 300
DEFAULT_SORT: Sort = "-score"


@dataclass(frozen=True, slots=True)
class AskedNeurons:
    """Which neurons of a layer are asked for, and in which order."""

    where: NeuronFilter
    sort: Sort
    wrong: dict[str, str] = field(default_factory=dict)
    """What is wrong with what was typed into a field; that field then restricts nothing."""

    @property
    def restricts(self) -> bool:
        """Whether any filter is set."""
        return self.where != NeuronFilter()


def read_filters(query: QueryParams) -> AskedNeurons:
    """The filters in a page's address. Raises InvalidInput for what no form of ours sends."""
    wrong: dict[str, str] = {}
    sort = _sort(query.get("sort", ""))
    where = NeuronFilter(
        concept=_text(query, "concept"),
        category=_text(query, "category"),
        broad_category=_text(query, "broad_category"),
        min_score=_number(query, "min_score", wrong),
        dead=_choice(query, "dead"),
        significant=_choice(query, "significant"),
        verdicts=read_verdicts(query),
    )
    return AskedNeurons(where, sort, wrong)


def read_verdicts(query: QueryParams) -> tuple[Verdict, ...] | None:
    """The verdicts that are asked for; None for all. Raises InvalidInput for a word that is none."""
    words = [word for word in query.getlist("verdict") if word]
    try:
        return tuple(map(Verdict, words)) or None
    except ValueError:
        raise _unknown("verdict", words[0], list(Verdict)) from None


def read_job(word: str) -> UUID | None:
    """The job that a form's field names; None where it is empty. Raises InvalidInput."""
    if not word:
        return None
    try:
        return UUID(word)
    except ValueError:
        raise InvalidInput(
            "That is no job's number.", field="job", value=word, remedy="Choose one of the list of dissections."
        ) from None


def _sort(word: str) -> Sort:
    for sort in get_args(Sort):
        if word == sort:
            known: Sort = sort
            return known
    if word == "":
        return DEFAULT_SORT
    raise _unknown("sort", word, list(get_args(Sort)))


def _text(query: QueryParams, name: str) -> str | None:
    return query.get(name, "").strip()[:_MOST_CHARACTERS] or None


def _number(query: QueryParams, name: str, wrong: dict[str, str]) -> float | None:
    text = query.get(name, "").strip()
    if not text:
        return None
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        value = float("nan")
    if isfinite(value):
        return value
    wrong[name] = "That is no number. Write it like 2.5."
    return None


def _choice(query: QueryParams, name: str) -> bool | None:
    word = query.get(name, "")
    if word not in _YES_NO:
        raise _unknown(name, word, ["yes", "no"])
    return _YES_NO[word]


def _unknown(field_name: str, word: str, known: list[str]) -> InvalidInput:
    return InvalidInput(
        f"'{word[:80]}' cannot be chosen.", field=field_name, value=word, remedy=f"Choose one of {', '.join(known)}."
    )
