"""What readers say of labels: each for themselves, without seeing what another says of the same neuron."""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from service.domain.concepts import ConceptSet
from service.domain.digests import digest_of
from service.domain.evidence import NO_CONCEPT
from service.errors import InvalidInput

MOST_NAME = 300
"""The longest name that a reader may give, in characters: as long as a concept's."""

MOST_REASON = 2_000

_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_JOINERS = frozenset("\u200c\u200d")  # part of the spelling in Persian and in Indic scripts
_LINES = frozenset("\n\r\t")


class Decision(StrEnum):
    """What a reader says of a neuron's label. All but a comment judge it."""

    ACCEPT = "accept"
    REJECT = "reject"
    RENAME = "rename"
    COMMENT = "comment"


class Standing(StrEnum):
    """What the readers of a neuron say together."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    RENAMED = "renamed"
    DISPUTED = "disputed"
    """Their judgements differ, or the names that they give."""


_STANDINGS = {
    Decision.ACCEPT: Standing.ACCEPTED,
    Decision.REJECT: Standing.REJECTED,
    Decision.RENAME: Standing.RENAMED,
}


@dataclass(frozen=True, slots=True)
class Judgement:
    """A decision, with the name that a renaming gives."""

    decision: Decision
    name: str | None = None

    @property
    def stance(self) -> str | None:
        """What judgements are compared by: equal ones agree. None for a comment, which judges nothing."""
        match self.decision:
            case Decision.COMMENT:
                return None
            case Decision.RENAME:
                return f"{self.decision}:{folded(self.name or '')}"
            case _:
                return str(self.decision)


@dataclass(frozen=True, slots=True)
class Review:
    """What one reader said of one neuron, once; a later version replaces it and leaves it as it is."""

    id: UUID
    job: UUID
    layer: str
    unit: int
    reader: str

    version: int
    """Counts this reader's reviews of the neuron, from 1."""

    judgement: Judgement

    name_in_set: bool | None
    """Whether the name is a concept of the job's set; None where nothing was renamed."""

    reason: str

    blind: bool
    """Whether the reader could see no other review of the neuron when they gave it."""

    created_at: datetime

    @property
    def digest(self) -> str:
        """What the trail keeps of it."""
        return digest_of(
            {
                "reader": self.reader,
                "version": self.version,
                "decision": self.judgement.decision,
                "name": self.judgement.name,
                "reason": self.reason,
            }
        )


@dataclass(frozen=True, slots=True)
class ReviewFilter:
    """Which reviews of a job to list; a field that is None does not restrict."""

    layer: str | None = None
    unit: int | None = None
    reader: str | None = None
    decision: Decision | None = None

    disputed: bool | None = None
    """Of neurons that stand as disputed, as far as the caller sees; or of all others."""

    history: bool = False
    """Replaced ones too."""


@dataclass(frozen=True, slots=True)
class ReviewedNeuron:
    """A neuron, and what those of its readers say whose reviews somebody may see."""

    layer: str
    unit: int

    measured: str | None
    """What the dissection calls it; None where it has no name."""

    judgements: Mapping[str, Judgement]
    """By reader, in the order of their names; without comments."""

    @property
    def readers(self) -> tuple[str, ...]:
        """Who has judged it."""
        return tuple(self.judgements)

    @property
    def standing(self) -> Standing | None:
        """What they say together; None where nobody judges it."""
        return standing_of(self.judgements.values())

    @property
    def name(self) -> str | None:
        """What they call it: see `reviewed_name`."""
        return reviewed_name(self.judgements.values(), self.measured)


def standing_of(judgements: Iterable[Judgement]) -> Standing | None:
    """What these judgements amount to; None where there is none among them."""
    judging = [judgement for judgement in judgements if judgement.stance is not None]
    if not judging:
        return None
    if len({judgement.stance for judgement in judging}) > 1:
        return Standing.DISPUTED
    return _STANDINGS[judging[0].decision]


def reviewed_name(judgements: Iterable[Judgement], measured: str | None) -> str | None:
    """What the readers call a neuron: the measured name where they accept it, or the name that they give it.

    None where they reject it, where they do not agree, and where nobody judges it.
    """
    judging = [judgement for judgement in judgements if judgement.stance is not None]
    match standing_of(judging):
        case Standing.ACCEPTED:
            return measured
        case Standing.RENAMED:
            return judging[0].name
        case _:
            return None


def measured_name(verdict: str | None, name: str | None, concept: str | None) -> str | None:
    """What a dissection calls a neuron: the name of its verdict, or its label where the job has no verdicts."""
    if verdict is not None:
        return name
    return None if concept == NO_CONCEPT else concept


def check_judgement(
    decision: Decision, name: str | None, *, measured: str | None, concept_set: ConceptSet
) -> tuple[Judgement, bool | None]:
    """The judgement, and whether its name is a concept of the set.

    A concept, or a synonym of it, gives the concept's own text, whatever the case. Raises InvalidInput for a renaming
    without a name, a name that is too long, unreadable or the measured one, and a name where nothing is renamed.
    """
    if decision is not Decision.RENAME:
        if name is not None:
            raise InvalidInput(
                f"A name comes with a decision to {decision}.",
                field="name",
                value=name,
                remedy=f"Leave it out, or give the decision {Decision.RENAME}.",
            )
        return Judgement(decision), None

    if name is None or not name.strip():
        raise InvalidInput(
            "The label is to be renamed, and there is no name.",
            field="name",
            remedy="Give `name`: a concept of the set, or words of your own.",
        )

    given = " ".join(_readable(name, "name", MOST_NAME, lines=False).split())
    concept = _concept_called(given, concept_set)
    if measured is not None and folded(concept or given) == folded(measured):
        raise InvalidInput(
            f"The neuron is called '{measured}' already.",
            field="name",
            value=name,
            remedy=f"Give the decision {Decision.ACCEPT} if that is right.",
        )
    return Judgement(decision, concept or given), concept is not None


def check_reason(reason: str) -> str:
    """The reason without blanks around it. Raises InvalidInput for an empty, unreadable or too long one."""
    if not reason.strip():
        raise InvalidInput("A review needs its reason.", field="reason", remedy="Say in a few words why.")
    return _readable(reason, "reason", MOST_REASON, lines=True)


def folded(name: str) -> str:
    """What names are compared by: neither case nor blanks make a difference."""
    return " ".join(name.split()).casefold()


def _readable(text: str, field: str, most: int, *, lines: bool) -> str:
    """The text without blanks around it. lines: whether it may have several lines."""
    text = text.strip()
    if len(text) > most:
        raise InvalidInput(
            f"The {field} has {len(text)} characters.", field=field, value=text, remedy=f"Use {most} at most."
        )
    for character in text:
        allowed = character in _JOINERS or (lines and character in _LINES)
        if unicodedata.category(character) in _UNSEEN and not allowed:
            raise InvalidInput(
                f"The {field} holds the control character U+{ord(character):04X}.",
                field=field,
                remedy="Remove characters that cannot be seen.",
            )
    return text


def _concept_called(name: str, concept_set: ConceptSet) -> str | None:
    """The text of the concept with that text, or else with that synonym."""
    wanted = folded(name)
    for concept in concept_set.concepts:
        if folded(concept.text) == wanted:
            return concept.text
    for concept in concept_set.concepts:
        if _names(concept.synonyms, wanted):
            return concept.text
    return None


def _names(synonyms: Sequence[str], wanted: str) -> bool:
    return any(folded(synonym) == wanted for synonym in synonyms)
