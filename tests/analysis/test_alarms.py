"""Alarms of audits where it is known what networks stand for: units planted on the findings of invented exams."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from benchmarks.other_exams import ShownExams, audit_exams, facts_of_audit
from service.analysis.policy_codec import parse_policy, policy_as_json, policy_from
from service.analysis.verdict import judge
from service.concepts.builtin import builtin_concept_set
from service.domain.concepts import Concept, ConceptSet
from service.domain.evidence import EvidenceOptions
from service.domain.jobs import DissectionOptions
from service.domain.methods import Method
from service.domain.probes import ProbeItem
from service.usecases.policy_binding import bind_policy

DOCS = Path(__file__).parents[2] / "docs"
CATEGORIES = {
    "breast density": ("fatty", "scattered", "heterogeneous", "extremely dense"),
    "mass": ("round mass", "oval mass", "spiculated mass"),
    "calcification": ("grouped calcifications", "coarse calcifications", "linear calcifications"),
    "skin": ("skin thickening", "nipple retraction"),
    "devices": ("clip", "implant"),
}
WORDS = ConceptSet(
    "words",
    tuple(
        Concept(text, category, "any", watched=category == "devices")
        for category, texts in CATEGORIES.items()
        for text in texts
    ),
)
EXAMS, PER_EXAM = 1200, 2
EACH = 60
UNITS_A_CONCEPT = 6
OPTIONS = DissectionOptions(
    ("late",), Method.of().fitted_to(EACH * PER_EXAM), evidence=EvidenceOptions(draws=400, resamples=60, halves=20)
)
POLICY = policy_from(
    {
        "rules": [
            {"rule": "category-loss", "at_most": 0.25},
            {"rule": "divergence", "at_most": 0.05},
            {"rule": "label-churn", "at_most": 0.5},
            {"rule": "watched-share", "at_most": 0.05, "above_baseline": True},
        ]
    }
)


@cache
def findings() -> Tensor:
    """What each exam shows of the concepts, bool [exams, C]: one density, a fifth of everything else."""
    generator = torch.Generator().manual_seed(1)
    shown = torch.rand(EXAMS, len(WORDS.concepts), generator=generator) < 0.2
    shown[:, :4] = torch.nn.functional.one_hot(torch.randint(4, (EXAMS,), generator=generator), 4).bool()
    return shown


@cache
def world() -> tuple[Tensor, Tensor]:
    """Embeddings of the images and of the concepts."""
    generator = torch.Generator().manual_seed(2)
    texts = normalize(torch.randn(len(WORDS.concepts), 32, generator=generator), dim=1)
    exams = findings().float() @ texts
    noise = torch.randn(EXAMS * PER_EXAM, 32, generator=generator)
    return normalize(exams.repeat_interleave(PER_EXAM, dim=0) + 0.15 * noise, dim=1), texts


def network(stands_for: Sequence[str], signal: float = 2.0) -> ShownExams:
    """A network with a unit for each of the words: its activation is noise, and higher where an exam shows the word."""
    generator = torch.Generator().manual_seed(3)
    truth = findings()[:, [WORDS.texts.index(word) for word in stands_for]].float()
    noise = torch.randn(EXAMS * PER_EXAM, len(stands_for), generator=generator)
    images, texts = world()
    shown = [
        frozenset(text for text, on_exam in zip(WORDS.texts, exam, strict=True) if on_exam)
        for exam in findings().tolist()
    ]
    items = [
        ProbeItem(
            str(image),
            Path(str(image)),
            row=image + 1,
            exam_id=str(image // PER_EXAM),
            findings=shown[image // PER_EXAM],
        )
        for image in range(EXAMS * PER_EXAM)
    ]
    layers = {"late": noise + signal * truth.repeat_interleave(PER_EXAM, dim=0)}
    return ShownExams(items, layers, images, texts, WORDS, dict(enumerate(WORDS.texts)))


def all_words(instead: Mapping[str, str] | None = None) -> list[str]:
    """Six units for each concept, but for those that stand for another one instead."""
    return [(instead or {}).get(word, word) for word in WORDS.texts for _ in range(UNITS_A_CONCEPT)]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Matrices this small are slower on two."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def judged(before: ShownExams, after: ShownExams) -> Mapping[str, str]:
    """The outcomes of an audit whose baseline saw the same exams."""
    exams = before.exams()[:EACH]
    facts = facts_of_audit(before.dissect(exams, OPTIONS), after.dissect(exams, OPTIONS), WORDS)
    return {one.kind: one.outcome for one in judge(POLICY, facts).outcomes}


def test_an_untouched_network_has_no_drift_at_all() -> None:
    exams = network(all_words()).exams()[:EACH]
    before, after = (network(all_words()).dissect(exams, OPTIONS) for _ in range(2))
    facts = facts_of_audit(before, after, WORDS)
    assert facts.drift is not None
    assert facts.drift.zero
    assert judge(POLICY, facts).verdict == "pass"


def test_a_network_that_forgot_density_loses_the_category() -> None:
    forgotten = all_words(dict.fromkeys(CATEGORIES["breast density"], "linear calcifications"))
    assert judged(network(all_words()), network(forgotten))["category-loss"] == "fail"


def test_a_network_that_leans_on_clips_breaks_the_rule_on_watched_concepts() -> None:
    leaning = all_words(dict.fromkeys((*CATEGORIES["mass"], "coarse calcifications", "linear calcifications"), "clip"))
    assert judged(network(all_words()), network(leaning))["watched-share"] == "fail"


def test_each_rule_is_broken_by_other_exams_alone_in_a_twentieth_of_the_audits_at_most() -> None:
    """Units that respond weakly, so that which of them are significant changes with the exams."""
    shown = network(all_words(), 1.4)
    outcomes = [one for seed in range(20) for one in audit_exams(shown, POLICY, OPTIONS, EACH, seed)[1].outcomes]
    broken = Counter(one.kind for one in outcomes if one.outcome == "fail")
    assert max(broken.values(), default=0) <= 1
    bare = [one.figures for one in outcomes if one.kind == "watched-share"]
    above = [figures["share"] - figures["baseline"] > figures["at_most"] for figures in bare]  # type: ignore[operator]
    assert sum(above) >= 2, "without its noise floor the rule on watched concepts would be broken more often"


def test_the_proposed_policy_can_be_read_and_bound() -> None:
    policy = parse_policy((DOCS / "examples" / "screening-policy.yaml").read_text())
    concept_set = builtin_concept_set("bi-rads")
    bound = bind_policy(policy, concept_set, {})
    assert policy_from(policy_as_json(bound)) == bound
    assert {"category-loss", "watched-share", "divergence", "label-churn"} <= {rule.rule for rule in bound.rules}
