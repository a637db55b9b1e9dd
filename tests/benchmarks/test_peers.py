"""The published methods, written from their papers, on units that were planted."""

import pytest
import torch
from torch import Tensor

from benchmarks.label_accuracy import own_concepts
from benchmarks.peers.methods import (
    Method,
    Names,
    Shown,
    clip_dissect,
    invert,
    linear_explanations,
    semantic_lens,
    www,
)
from benchmarks.peers.trial import judge_by_generator
from service.probes.phantoms import FINDINGS

_IMAGES, _WIDTH, _CONCEPTS = 800, 32, 12


def _shown(activations: Tensor | None = None, *, noise: float = 0.3) -> Shown:
    """Unit i follows concept i, where no other activations are given."""
    generator = torch.Generator().manual_seed(0)
    embeddings = torch.nn.functional.normalize(torch.randn(_IMAGES, _WIDTH, generator=generator), dim=1)
    texts = torch.eye(_WIDTH)[:_CONCEPTS]
    if activations is None:
        cosines = embeddings @ texts.t()
        activations = cosines / cosines.std(dim=0) + noise * torch.randn(_IMAGES, _CONCEPTS, generator=generator)
    truth = torch.rand(_IMAGES, len(FINDINGS), generator=generator) < 0.3
    return Shown(embeddings, texts, torch.zeros(_WIDTH), truth, torch.arange(_IMAGES) // 4, activations)


@pytest.mark.parametrize("method", [clip_dissect, semantic_lens, www, linear_explanations])
def test_a_unit_that_follows_a_concept_is_named_after_it(method: Method) -> None:
    names = method(_shown())
    assert [concepts[0] for concepts in names.concepts] == list(range(_CONCEPTS))


def test_linear_explanations_find_the_parts_and_their_weights() -> None:
    shown = _shown()
    cosines = shown.cosines / shown.cosines.std(dim=0)
    activations = 2 * cosines[:, 3:4] + cosines[:, 8:9] + 0.1 * torch.randn(_IMAGES, 1)
    names = linear_explanations(_shown(activations))

    assert names.concepts[0][:2] == (3, 8)
    weights = names.weights[0] * shown.cosines.std(dim=0)
    assert float(weights[3] / weights[8]) == pytest.approx(2, rel=0.1)


def test_semantic_lens_names_nothing_farther_than_the_empty_template() -> None:
    shown = _shown()
    towards = torch.nn.functional.normalize(shown.texts.sum(dim=0), dim=0)
    activations = -(shown.embeddings @ shown.texts.t()).sum(dim=1, keepdim=True)
    names = semantic_lens(Shown(shown.embeddings, shown.texts[:1], -towards, shown.truth, shown.exams, activations))

    assert names.concepts == ((),)
    assert bool((names.weights == 0).all())


def test_www_takes_every_concept_that_is_near_the_highest() -> None:
    shown = _shown()
    twice = torch.cat([shown.texts, shown.texts[:1]])
    names = www(Shown(shown.embeddings, twice, shown.template, shown.truth, shown.exams, shown.activations[:, :2]))

    assert set(names.concepts[0]) == {0, _CONCEPTS}
    assert names.concepts[1] == (1,)


def test_invert_names_findings_and_no_noise() -> None:
    generator = torch.Generator().manual_seed(3)
    shown = _shown()
    follows = 2 * shown.truth.float() + torch.randn(shown.truth.shape, generator=generator)
    noise = torch.randn(_IMAGES, 40, generator=generator)
    activations = torch.cat([follows, noise], dim=1)
    texts = torch.zeros(int(own_concepts().max()) + 1, _WIDTH)
    names = invert(Shown(shown.embeddings, texts, shown.template, shown.truth, shown.exams, activations))

    assert [concepts[0] for concepts in names.concepts[: len(FINDINGS)]] == own_concepts().tolist()
    assert sum(bool(concepts) for concepts in names.concepts[len(FINDINGS) :]) <= 4


def test_the_generator_judges_by_the_named_finding_alone() -> None:
    truth = torch.zeros(6, len(FINDINGS), dtype=torch.bool)
    truth[:2, 4] = True
    activations = torch.tensor([[5.0, 1.0], [7.0, 1.5], [1.0, 5.0], [2.0, 6.0], [3.0, 7.0], [2.0, 6.0]])
    concept = int(own_concepts()[4])
    undrawable = next(place for place in range(1000) if place not in own_concepts().tolist())
    auc, mad = judge_by_generator(activations, truth, Names(((concept,), (undrawable,)), torch.zeros(2, 1)))

    assert auc[0] == 1
    assert mad[0] == pytest.approx((6 - 2) / torch.tensor([1.0, 2.0, 3.0, 2.0]).std().item())
    assert bool(auc[1].isnan() & mad[1].isnan())
