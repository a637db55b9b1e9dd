"""How the names of concepts become the texts that a dissector reads: templates, synonyms, the empty template.

For a concept with the names n (its text, and its synonyms where these are asked for) and the templates t, with e(...)
for the dissector's unit-length embedding of a text and mean(...) for the unit-length direction of a mean:

    concept     m = mean of e(t filled with n) over all n and t
    empty       m0 = mean of e(t filled with nothing) over all t
    similarity  cosine(image, m), or cosine(image, m) - cosine(image, m0) where the empty template is subtracted

The first line is the prompt ensemble of CLIP (Radford et al., ICML 2021), the last the adaptive cosine similarity of
WWW (Ahn et al., CVPR 2024, arXiv 2402.18956). Images have unit length, so it is the product with m - m0.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypedDict

from service.domain.concepts import Concept, ConceptSet
from service.domain.digests import digest_of
from service.domain.spelling import folded
from service.errors import InvalidConceptSet, InvalidInput

PLACEHOLDER = "{}"

MOST_TEMPLATES = 100
"""The ensemble of CLIP for ImageNet has 80."""

LONGEST_TEMPLATE = 300
"""Characters."""

MOST_TEXTS = 200_000
"""Concepts times names times templates: each is a pass of the text encoder."""

_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


class PromptFields(TypedDict):
    """The fields of `Prompts` in JSON."""

    templates: list[str]
    synonyms: bool
    subtract_empty: bool


@dataclass(frozen=True, slots=True)
class Prompts:
    """See the module. Made by `Prompts.of`, which checks."""

    templates: tuple[str, ...] = (PLACEHOLDER,)
    """Each with one place for a concept's name."""

    synonyms: bool = False
    """Whether a concept's synonyms count as its text does."""

    subtract_empty: bool = False
    """Whether the similarity to the templates without a name is subtracted."""

    @classmethod
    def of(
        cls,
        templates: Sequence[str] = (PLACEHOLDER,),
        *,
        synonyms: bool = False,
        subtract_empty: bool = False,
        field: str = "method.prompts",
    ) -> "Prompts":
        """The prompts, checked. field: what the caller calls them.

        Raises InvalidInput for no template or more than a hundred, for one that is too long, has not just one {},
        other braces or characters that cannot be seen, or is a duplicate, and where nothing is left to subtract.
        """
        field = f"{field}.templates"
        if not 1 <= len(templates) <= MOST_TEMPLATES:
            raise InvalidInput(
                f"There are {len(templates)} templates.",
                field=field,
                value=len(templates),
                remedy=f"Give 1 to {MOST_TEMPLATES}, or leave the templates out: then the names stand alone.",
            )

        prompts = cls(tuple(_checked(template, field) for template in templates), synonyms, subtract_empty)
        _check_distinct(prompts.templates, field)
        if subtract_empty:
            _check_something_is_left(prompts, field)
        return prompts

    @classmethod
    def from_dict(cls, stored: PromptFields) -> "Prompts":
        """What `as_dict` gave."""
        return cls(tuple(stored["templates"]), stored["synonyms"], stored["subtract_empty"])

    def as_dict(self) -> PromptFields:
        """JSON form, part of content keys."""
        return {
            "templates": list(self.templates),
            "synonyms": self.synonyms,
            "subtract_empty": self.subtract_empty,
        }

    @property
    def are_plain(self) -> bool:
        """Is each concept's text embedded as it stands, as without prompts?"""
        return self == Prompts()

    @property
    def empty_texts(self) -> tuple[str, ...]:
        """The templates without a name."""
        return tuple(_filled(template, "") for template in self.templates)

    @property
    def words(self) -> str:
        """The prompts as a sentence of a report."""
        templates = ", ".join(f"'{template}'" for template in self.templates)
        names = "text and its synonyms are" if self.synonyms else "text is"
        number = "template" if len(self.templates) == 1 else f"{len(self.templates)} templates"
        averaged = " (averaged)" if self.synonyms or len(self.templates) > 1 else ""
        subtracted = "; the similarity to the empty template is subtracted" if self.subtract_empty else ""
        return f"A concept's {names} put into the {number} {templates}{averaged}{subtracted}."

    def names(self, concept: Concept) -> tuple[str, ...]:
        """The concept's text first; its synonyms, but for those that only repeat, where they count."""
        names = (concept.text, *concept.synonyms) if self.synonyms else (concept.text,)
        first_with: dict[str, str] = {}
        for name in names:
            first_with.setdefault(folded(name), name)
        return tuple(first_with.values())

    def texts(self, concept: Concept) -> Iterator[str]:
        """What the dissector reads of a concept: name by name, each in all templates."""
        for name in self.names(concept):
            for template in self.templates:
                yield _filled(template, name)


def texts_of(concept_set: ConceptSet, prompts: Prompts | None) -> list[tuple[str, str]]:
    """What a dissector reads of the concepts: pairs of a concept's text and what is read for it."""
    if prompts is None:
        return [(text, text) for text in concept_set.texts]
    return [(concept.text, text) for concept in concept_set.concepts for text in prompts.texts(concept)]


def check_texts(concept_set: ConceptSet, prompts: Prompts) -> None:
    """Raise InvalidConceptSet where two concepts share a text, as synonyms or templates may bring about.

    Raises InvalidInput where there are more texts than anybody would embed.
    """
    names = sum(len(prompts.names(concept)) for concept in concept_set.concepts)
    number = names * len(prompts.templates)
    if number > MOST_TEXTS:
        raise InvalidInput(
            f"{names:,} names in {len(prompts.templates)} templates are {number:,} texts.",
            field="method.prompts",
            value=number,
            remedy=f"Give fewer templates or concepts: {MOST_TEXTS:,} texts at most.",
        )

    first_with: dict[str, str] = {}
    for concept, text in texts_of(concept_set, prompts):
        earlier = first_with.setdefault(folded(text), concept)
        if earlier != concept:
            raise _shared(earlier, concept, text)


def texts_digest(concept_set: str, prompts: PromptFields | None) -> str:
    """What a concept set's embeddings are kept under. concept_set: its digest, which it is without prompts."""
    return concept_set if prompts is None else digest_of({"concept_set": concept_set, "prompts": prompts})


def _filled(template: str, name: str) -> str:
    return template.replace(PLACEHOLDER, name).strip()


def _checked(template: str, field: str) -> str:
    cleaned = template.strip()
    if len(cleaned) > LONGEST_TEMPLATE:
        raise _unusable(template, field, f"has {len(cleaned)} characters", f"Use {LONGEST_TEMPLATE} at most.")

    unseen = next((character for character in cleaned if unicodedata.category(character) in _UNSEEN), None)
    if unseen is not None:
        what = f"holds the control character U+{ord(unseen):04X}"
        raise _unusable(template, field, what, "Remove characters that cannot be seen.")

    places = cleaned.count(PLACEHOLDER)
    if places != 1:
        what = "has no place for a concept's name" if places == 0 else f"has {places} places for a concept's name"
        raise _unusable(template, field, what, "Write {} once, where the name belongs: 'a mammogram showing {}'.")
    if cleaned.count("{") > 1 or cleaned.count("}") > 1:
        raise _unusable(template, field, "has braces beside the place for a concept's name", "Remove them.")
    return cleaned


def _check_distinct(templates: Sequence[str], field: str) -> None:
    first_with: dict[str, str] = {}
    for template in templates:
        if folded(template) in first_with:
            same = first_with[folded(template)]
            what = "stands twice in the list" if same == template else f"repeats '{same}' but for case or blanks"
            raise _unusable(template, field, what, "Give each template once.")
        first_with[folded(template)] = template


def _check_something_is_left(prompts: Prompts, field: str) -> None:
    for template, empty in zip(prompts.templates, prompts.empty_texts, strict=True):
        if not empty:
            remedy = "Give templates with words beside the {}, or leave subtract_empty out."
            raise _unusable(template, field, "is empty without a name, so there is nothing to subtract", remedy)


def _unusable(template: str, field: str, what: str, remedy: str) -> InvalidInput:
    return InvalidInput(f"A template {what}.", field=field, value=template, remedy=remedy)


def _shared(earlier: str, concept: str, text: str) -> InvalidConceptSet:
    return InvalidConceptSet(
        f"With these prompts the concepts '{earlier}' and '{concept}' have the text '{text}' in common.",
        field="concept_set",
        value=text,
        remedy="Leave out one of the two concepts, or the synonym or template that gives both this text.",
    )
