"""Responses to watched concepts beyond what the label implies, on planted units."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from service.domain.evidence import Evidence, Watched
from service.engine.evidence.moments import Moments
from service.engine.evidence.watched_responses import p_of_partial, partial_correlations, with_partial_correlations

IMAGES, WIDTH, FOLDS = 800, 12, 4
MASS, VIEW, NEAR_MASS, COPY = range(4)


def world() -> tuple[Tensor, Tensor]:
    """Embeddings of images, and four texts: `near mass` shares much with `mass`, the copy is its double."""
    generator = torch.Generator().manual_seed(4)
    images = normalize(torch.randn(IMAGES, WIDTH, generator=generator), dim=1)
    texts = normalize(torch.randn(3, WIDTH, generator=generator), dim=1)
    texts[NEAR_MASS] = normalize(texts[MASS] + 0.5 * texts[NEAR_MASS], dim=0)
    return images, torch.cat([texts, texts[MASS:VIEW]])


def activations(images: Tensor, texts: Tensor) -> Tensor:
    """Units: of the mass alone, of mass and view, of the view, of nothing that varies."""
    generator = torch.Generator().manual_seed(5)
    noise = 0.2 * torch.randn(IMAGES, 4, generator=generator)
    mass, view = images @ texts[MASS], images @ texts[VIEW]
    noise[:, 3] = 0
    return torch.stack([mass, mass + view, view, torch.zeros(IMAGES)], dim=1) + noise


def moments_of(images: Tensor, units: Tensor) -> Moments:
    return Moments.of_layer([(images, units)], torch.arange(IMAGES) % FOLDS, FOLDS)


LABELS = torch.tensor([MASS, MASS, VIEW, MASS])
WATCHED = torch.tensor([VIEW, NEAR_MASS, COPY])


def test_partial_correlations_are_those_of_residuals() -> None:
    images, texts = world()
    units = activations(images, texts)
    partial = partial_correlations(moments_of(images, units), texts, LABELS, WATCHED)

    folds = torch.arange(IMAGES) % FOLDS

    def centred(values: Tensor) -> Tensor:
        means = torch.stack([values[folds == fold].mean() for fold in range(FOLDS)])
        return (values - means[folds]).double()

    label, view, unit = (centred(values) for values in (images @ texts[MASS], images @ texts[VIEW], units[:, 1]))
    residuals = [values - label * (values @ label) / (label @ label) for values in (unit, view)]
    expected = torch.corrcoef(torch.stack(residuals))[0, 1]
    assert float(partial[1, 0]) == pytest.approx(float(expected), abs=1e-6)


def test_what_the_label_implies_is_no_response() -> None:
    images, texts = world()
    moments = moments_of(images, activations(images, texts))
    partial = partial_correlations(moments, texts, LABELS, WATCHED)
    p = p_of_partial(partial, IMAGES // 4)
    assert bool((p[0] > 0.01).all()), "mass implies all that this unit has of its neighbour"
    assert float(partial[1, 0]) > 0.5
    assert float(p[1, 0]) < 1e-6
    assert float(partial[0, 2]) == 0, "a concept that the dissector takes for the label"


def test_of_the_label_itself_nothing_is_given() -> None:
    images, texts = world()
    moments = moments_of(images, activations(images, texts))
    partial = partial_correlations(moments, texts, LABELS, WATCHED)
    assert float(partial[2, 0]) > 0.7
    assert partial[3].tolist() == [0, 0, 0], "a constant unit responds to nothing"


def test_few_exams_say_nothing() -> None:
    assert p_of_partial(torch.tensor([0.99]), 3).tolist() == [1.0]
    assert float(p_of_partial(torch.tensor([0.0], dtype=torch.float64), 50)) == 0.5
    assert float(p_of_partial(torch.tensor([1.0], dtype=torch.float64), 50)) == 0.0


def test_each_response_gets_its_own_figures() -> None:
    images, texts = world()
    moments = moments_of(images, activations(images, texts))
    responses = (Watched(NEAR_MASS, "near mass", 0.01, 3.0), Watched(VIEW, "view", 0.01, 3.0))
    evidence = [Evidence(), Evidence(watched=responses), Evidence(), Evidence()]
    bare, judged, *_ = with_partial_correlations(evidence, LABELS, moments, texts, 200)
    assert bare == Evidence()
    near, view = judged.watched
    assert view.partial is not None
    assert view.partial > 0.5
    assert near.partial is not None
    assert near.partial < view.partial
    assert (near.p, near.z, near.q) == (0.01, 3.0, None)


def test_units_that_do_not_fit_together_are_refused() -> None:
    images, texts = world()
    moments = moments_of(images, activations(images, texts))
    with pytest.raises(ValueError, match="3 labels of 4 units"):
        with_partial_correlations([Evidence()] * 4, LABELS[:3], moments, texts, 200)
