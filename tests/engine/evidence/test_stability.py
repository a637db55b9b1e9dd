"""What resampling leaves of a label."""

import pytest
import torch

from service.engine.evidence.exams import Exams
from service.engine.evidence.stability import labels_of_resamples, stabilities
from service.engine.similarity.scorer import best_concepts, columns_of_scores
from service.engine.similarity.wpmi_scorer import WpmiParameters, WpmiScorer

TEXTS = ("mass", "spiculated mass", "calcification", "clip")
CATEGORIES = ("mass", "mass", "calcification", None)


def test_shares_and_prediction_sets() -> None:
    resampled = torch.tensor([[0] * 6 + [1] * 3 + [2], [3] * 10, [2] * 5 + [0] * 5])
    mass, clip, even = stabilities(torch.tensor([0, 3, 0]), resampled, TEXTS, CATEGORIES)
    assert (mass.label, mass.category, mass.prediction_set) == (0.6, 0.9, ("mass", "spiculated mass"))
    assert (clip.label, clip.category, clip.prediction_set) == (1.0, None, ("clip",))
    assert (even.label, even.category, even.prediction_set) == (0.5, 0.5, ("mass", "calcification"))


def test_labels_are_chosen_anew_with_the_prior_of_the_resample() -> None:
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(40, 4, generator=generator) / 3
    top = torch.stack([torch.randperm(40, generator=generator)[:18] for _ in range(5)])
    exams = Exams(torch.arange(40) // 4, 10, "exam")
    columns, rows = columns_of_scores(scores, top)
    scorer = WpmiScorer(columns, WpmiParameters())
    once = torch.ones(10, dtype=torch.int64)
    without_some = once.clone()
    without_some[:3] = 0
    labels = labels_of_resamples(scorer, top, rows, exams, [once, without_some], 6, lambda: None)
    assert labels.shape == (5, 2)
    assert torch.equal(labels[:, 0], best_concepts(scorer, rows[:, :6], 1, check_cancelled=lambda: None).indices[:, 0])
    left = torch.stack([images[images >= 12][:6] for images in top])
    columns, rows = columns_of_scores(scores, left)
    alone = best_concepts(WpmiScorer(columns, WpmiParameters()), rows, 1, check_cancelled=lambda: None)
    assert torch.equal(labels[:, 1], alone.indices[:, 0])


def test_resampling_can_be_stopped() -> None:
    columns, rows = columns_of_scores(torch.randn(8, 4), torch.arange(8).view(2, 4))

    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        labels_of_resamples(
            WpmiScorer(columns, WpmiParameters()),
            rows,
            rows,
            Exams(torch.arange(8), 8, "image"),
            [torch.ones(8, dtype=torch.int64)],
            2,
            stop,
        )
