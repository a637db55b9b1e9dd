"""Texts of reports, fitting of heads, figures: on small tensors with a known answer."""

import numpy as np
import pytest
import torch
from torch import Tensor

from service.engine.evidence.recognition import recognise, retrieval
from service.engine.fitting.heads import HeadOptions, Pairs, fit_heads
from service.engine.fitting.report_texts import phrases, sentences, texts_of


def test_a_report_is_taken_apart_into_distinct_sentences() -> None:
    assert sentences("Dense breast. Round mass.\nRound mass.  ") == ("Dense breast.", "Round mass.")


def test_phrases_are_short_runs_without_small_words_at_their_ends() -> None:
    found = phrases("There is a spiculated mass in the left breast.")
    assert {"spiculated", "spiculated mass", "mass", "left breast"} <= found
    assert not {"a spiculated mass", "mass in the", "there"} & found


def test_what_follows_a_negation_is_no_phrase_of_the_report() -> None:
    assert phrases("Architectural distortion without a central mass.") == {
        "architectural",
        "distortion",
        "architectural distortion",
    }
    assert phrases("No suspicious mass.") == frozenset()


def test_phrases_do_not_run_across_a_comma() -> None:
    assert "dense acr" not in phrases("Extremely dense, ACR category D.")


def test_texts_come_from_the_chosen_reports_only() -> None:
    reports = ["Round mass.", "Round mass.", "Round mass.", "Normal.", "Normal.", "Implant."]
    texts, own = texts_of(reports, [0, 1, 2, 3, 4])
    assert "Implant." not in texts
    assert own[5] == []
    assert [texts[place] for place in own[3]] == ["Normal."]
    assert {texts[place] for place in own[0]} == {"Round mass.", "round", "mass", "round mass"}


def made_up(images: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Features [N, 30] that carry 6 hidden attributes, sentence embeddings [6, 12] of them, and who has which."""
    generator = torch.Generator().manual_seed(99)
    loadings, texts = torch.randn(6, 30, generator=generator), torch.randn(6, 12, generator=generator)
    noise = torch.Generator().manual_seed(seed)
    has = torch.rand(images, 6, generator=noise) < 0.3
    features = has.float() @ loadings + 0.5 * torch.randn(images, 30, generator=noise)
    return features, torch.nn.functional.normalize(texts, dim=1), has


def test_heads_find_the_attributes_that_generated_the_features() -> None:
    features, texts, has = made_up(400, seed=1)
    held_back, _, has_held_back = made_up(100, seed=2)
    fitted = fit_heads(
        Pairs(features, texts, has), Pairs(held_back, texts, has_held_back), HeadOptions(width=6, epochs=10)
    )
    test, _, labels = made_up(300, seed=3)
    scores = fitted.heads.embed_features(test) @ fitted.heads.embed_sentences(texts).T
    for column in range(6):
        found = recognise(scores[:, column].numpy(), labels[:, column].numpy(), list(range(300)))
        assert found is not None
        assert found.low > 0.85


def test_embeddings_have_unit_length() -> None:
    features, texts, has = made_up(80, seed=1)
    heads = fit_heads(Pairs(features, texts, has), Pairs(features, texts, has), HeadOptions(width=4, epochs=1)).heads
    torch.testing.assert_close(heads.embed_features(features).norm(dim=1), torch.ones(80))
    torch.testing.assert_close(heads.embed_sentences(texts).norm(dim=1), torch.ones(6))


def test_equal_fits_are_equal_to_the_bit() -> None:
    features, texts, has = made_up(120, seed=1)
    pairs = Pairs(features, texts, has)
    first, second = (fit_heads(pairs, pairs, HeadOptions(width=6, epochs=3)) for _ in range(2))
    for name, value in first.heads.tensors().items():
        assert torch.equal(value, second.heads.tensors()[name]), name
    assert first.losses == second.losses


def test_fitting_keeps_the_epoch_with_the_lowest_held_back_loss() -> None:
    features, texts, has = made_up(60, seed=1)
    held_back, _, _ = made_up(60, seed=2)
    shuffled = has[torch.randperm(60, generator=torch.Generator().manual_seed(0))]
    fitted = fit_heads(
        Pairs(features, texts, has), Pairs(held_back, texts, shuffled), HeadOptions(width=6, epochs=40, step=0.1)
    )
    best = int(np.argmin(fitted.losses))
    assert len(fitted.losses) - 1 - best <= HeadOptions().patience
    assert len(fitted.losses) < 41


def test_area_and_interval_without_groups_agree_with_delong() -> None:
    """Worked by hand: positives 3, 2; negatives 1, 2 (DeLong et al., Biometrics 44, 1988)."""
    scores, labels = np.array([3, 2, 1, 2], np.float32), np.array([True, True, False, False])
    found = recognise(scores, labels, ["a", "b", "c", "d"])
    assert found is not None
    assert found.auroc == pytest.approx(0.875)
    # Each side has components 1 and 0.75, so a sum of squares of 2 * 0.125**2, over (2 - 1) * 2; two sides.
    half = 1.959964 * (2 * (2 * 0.125**2) / 2) ** 0.5
    assert found.low == pytest.approx(0.875 - half, abs=1e-6)
    assert found.high == 1.0
    assert (found.positives, found.negatives) == (2, 2)


def test_images_of_the_same_patient_widen_the_interval() -> None:
    generator = np.random.default_rng(0)
    scores = np.repeat(generator.normal(size=60).astype(np.float32), 4)
    labels = np.repeat(generator.random(60) < 0.4, 4)
    apart = recognise(scores, labels, list(range(240)))
    together = recognise(scores, labels, [index // 4 for index in range(240)])
    assert apart is not None
    assert together is not None
    assert together.auroc == apart.auroc
    assert together.low < apart.low


def test_no_figure_where_one_patient_has_all_the_positives() -> None:
    scores, labels = np.arange(6, dtype=np.float32), np.array([True, True, False, False, False, False])
    assert recognise(scores, labels, ["a", "a", "b", "c", "d", "e"]) is None


def test_retrieval_counts_ranks_in_both_directions() -> None:
    images, texts = torch.eye(3), torch.eye(3)
    perfect = retrieval(images, texts, torch.eye(3, dtype=torch.bool))
    assert perfect["image_to_text_recall_at_1"] == perfect["text_to_image_recall_at_1"] == 1.0
    shifted = retrieval(images, texts, torch.eye(3, dtype=torch.bool).roll(1, 0))
    assert shifted["image_to_text_recall_at_1"] == 0.0
    assert shifted["image_to_text_recall_at_5"] == 1.0
    assert shifted["text_to_image_median_rank"] == 3.0


def test_ties_count_against_retrieval() -> None:
    same = torch.ones(2, 1)
    assert retrieval(same, same, torch.eye(2, dtype=torch.bool))["image_to_text_recall_at_1"] == 0.0
