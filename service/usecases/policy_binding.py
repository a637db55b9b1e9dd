"""A policy against what it will be applied to: what no audit could ever satisfy or break is refused beforehand."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches

from service.concepts.must_have import match_concepts
from service.domain.concepts import ConceptSet
from service.domain.policies import (
    Policy,
    RequiredConcepts,
    Rule,
    StratifiedRule,
    WatchedDependence,
    WatchedShare,
)
from service.errors import InvalidPolicy


def bind_policy(policy: Policy, concept_set: ConceptSet, exams: Mapping[str, Mapping[str, int]]) -> Policy:
    """The policy with its concepts in the concept set's own words.

    exams: of the probe set, by stratum and value. Raises InvalidPolicy for a concept, category or stratum that is not
    there, for one of which no value has enough exams, and for watched concepts that are not watched.
    """
    rules = [_bind(rule, concept_set, exams, f"policy.rules.{index}") for index, rule in enumerate(policy.rules)]
    return replace(policy, rules=tuple(rules))


def _bind(rule: Rule, concept_set: ConceptSet, exams: Mapping[str, Mapping[str, int]], field: str) -> Rule:
    if isinstance(rule, StratifiedRule) and rule.by is not None:
        _check_stratum(rule.by, rule.least_exams, exams, field)
    _check_categories(getattr(rule, "categories", None), concept_set, field)

    if isinstance(rule, RequiredConcepts):
        return replace(rule, concepts=_matched_concepts(rule.concepts, concept_set, field))
    if isinstance(rule, WatchedShare | WatchedDependence):
        if not any(concept.watched for concept in concept_set.concepts):
            raise InvalidPolicy(
                f"Concept set {concept_set.name} watches no concept, so no audit could ever break the rule.",
                field=field,
                remedy="Mark concepts as watched, or leave the rule out.",
            )
        if rule.concepts is not None:
            concepts = _matched_concepts(rule.concepts, concept_set, field)
            _check_watched(concepts, concept_set, field)
            return replace(rule, concepts=concepts)
    return rule


def _matched_concepts(concepts: Iterable[str], concept_set: ConceptSet, field: str) -> tuple[str, ...]:
    matched = []
    for position, (text, index) in enumerate(match_concepts(concept_set, concepts)):
        if index is None:
            raise _unknown("concept", text, concept_set.texts, f"{field}.concepts.{position}")
        matched.append(concept_set.concepts[index].text)
    return tuple(matched)


def _check_watched(concepts: Iterable[str], concept_set: ConceptSet, field: str) -> None:
    # Those that no mammogram shows bear the mark in sets of earlier releases: a rule on them alone is not testable.
    watched = [concept.text for concept in concept_set.concepts if concept.watched]
    for position, text in enumerate(concepts):
        if text not in watched:
            raise InvalidPolicy(
                f"'{text}' is not watched, so the service does not measure how neurons respond to it.",
                field=f"{field}.concepts.{position}",
                value=text,
                remedy="Name watched concepts, or mark it as watched in the concept set.",
            )


def _check_categories(categories: Iterable[str] | None, concept_set: ConceptSet, field: str) -> None:
    known_categories = sorted({concept.category for concept in concept_set.concepts if concept.category is not None})
    for position, name in enumerate(categories or ()):
        if name not in known_categories:
            raise _unknown("category", name, known_categories, f"{field}.categories.{position}")


def _check_stratum(stratum: str, least_exams: int, exams: Mapping[str, Mapping[str, int]], field: str) -> None:
    if stratum not in exams:
        raise _unknown("stratum", stratum, sorted(exams), f"{field}.by")

    most = max(exams[stratum].values())
    if most < least_exams:
        raise InvalidPolicy(
            f"No value of {stratum} has {least_exams} exams in the probe set, so the rule could never be tested.",
            field=f"{field}.least_exams",
            value=least_exams,
            remedy=f"The largest has {most}: lower least_exams (to 20 or more), or use a larger probe set.",
        )


def _unknown(what: str, value: str, known_names: Sequence[str], field: str) -> InvalidPolicy:
    near = get_close_matches(value, known_names, n=3, cutoff=0.5)
    return InvalidPolicy(
        f"There is no {what} '{value[:80]}'.",
        field=field,
        value=value,
        remedy=f"Near matches: {', '.join(near)}." if near else f"Known: {', '.join(known_names[:12]) or 'none'}.",
    )
