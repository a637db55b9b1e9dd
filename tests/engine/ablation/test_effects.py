"""What changed between two sets of outputs, against figures worked out in other ways."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from service.domain.ablations import AurocChange, Effect
from service.engine.ablation.effects import Drawn, Finding, Floats, effect_of, findings_to_measure

LIMITS = {"most_outputs": 10, "most_auroc_outputs": 10}


def drawn(exams: list[int], resamples: int = 0, seed: int = 1) -> Drawn:
    of_image = np.array(exams)
    count = int(of_image.max()) + 1
    occurrences: Floats | None = None
    if resamples:
        random = np.random.default_rng(seed)
        occurrences = random.multinomial(count, np.full(count, 1 / count), size=resamples).astype(float)
    return Drawn(of_image, count, occurrences)


def columns(*values: list[float]) -> np.ndarray:
    return np.array(values, np.float32).T


def test_changes_are_in_deviations_of_the_output() -> None:
    before = columns([0.0, 2.0, 4.0, 6.0])
    after = columns([1.0, 2.0, 3.0, 0.0])
    [change] = effect_of(before, after, drawn([0, 1, 2, 3]), [], **LIMITS).outputs
    std = np.std([0.0, 2.0, 4.0, 6.0])
    assert change.std == pytest.approx(std)
    assert change.change == pytest.approx((1 + 0 - 1 - 6) / 4 / std)
    assert change.absolute == pytest.approx((1 + 0 + 1 + 6) / 4 / std)
    assert change.low is change.absolute_high is None


def test_an_output_that_never_varies_has_no_figures() -> None:
    before = columns([1.0, 1.0, 1.0], [0.0, 1.0, 2.0])
    after = columns([5.0, 1.0, 1.0], [0.0, 1.0, 2.0])
    effect = effect_of(before, after, drawn([0, 1, 2]), [], **LIMITS)
    assert [change.absolute for change in effect.outputs] == [None, 0.0]
    assert effect.most is not None
    assert effect.most.output == 1
    assert not effect.same


def test_nothing_changed() -> None:
    before = columns([0.0, 1.0, 2.0])
    effect = effect_of(before, before.copy(), drawn([0, 1, 2], 50), [], **LIMITS)
    assert effect.same
    assert effect.outputs[0].change == effect.outputs[0].low == effect.outputs[0].high == 0.0


def test_only_the_outputs_that_change_most_are_listed_by_index() -> None:
    before = np.tile(np.arange(4, dtype=np.float32)[:, None], (1, 3))
    after = before + np.array([3.0, 1.0, 2.0], np.float32)
    effect = effect_of(before, after, drawn([0, 1, 2, 3]), [], most_outputs=2, most_auroc_outputs=1)
    assert [change.output for change in effect.outputs] == [0, 2]


def test_intervals_of_means_are_those_of_resampled_exams() -> None:
    random = np.random.default_rng(0)
    exams = np.repeat(np.arange(30), 2)
    by_exam = random.normal(size=30)[exams]
    before = random.normal(size=(60, 1)).astype(np.float32)
    after = before + (0.5 + by_exam[:, None]).astype(np.float32)
    sampled = drawn(exams.tolist(), 2000)
    [change] = effect_of(before, after, sampled, [], **LIMITS).outputs

    assert sampled.occurrences is not None
    differences = (after - before)[:, 0].astype(float) / before.astype(float).std()
    by_hand = []
    for counts in sampled.occurrences:
        weights = counts[exams]
        by_hand.append((weights * differences).sum() / weights.sum())
    assert (change.low, change.high) == pytest.approx(tuple(np.percentile(by_hand, [2.5, 97.5])))

    # Images of one exam are alike here: drawn one by one they would give too narrow an interval.
    [alone] = effect_of(before, after, drawn(list(range(60)), 2000), [], **LIMITS).outputs
    assert alone.low is not None
    assert alone.high is not None
    assert change.low is not None
    assert change.high is not None
    assert change.high - change.low > 1.2 * (alone.high - alone.low)


def mixed(seed: int, images: int = 160) -> tuple[np.ndarray, np.ndarray, Finding, list[int]]:
    random = np.random.default_rng(seed)
    has = random.random(images) < 0.4
    scores = random.normal(size=images) + has
    before = np.round(scores, 1).astype(np.float32)[:, None]  # with ties
    after = (before[:, 0] - 0.7 * has + 0.2 * random.normal(size=images)).astype(np.float32)[:, None]
    return before, after, Finding("mass", has, ~has), (np.arange(images) // 2).tolist()


def auroc(effect: Effect) -> AurocChange:
    [change] = effect.aurocs
    return change


def test_aurocs_are_those_of_sklearn() -> None:
    before, after, finding, exams = mixed(1)
    change = auroc(effect_of(before, after, drawn(exams), [finding], **LIMITS))
    assert change.before == pytest.approx(roc_auc_score(finding.having, before[:, 0]))
    assert change.after == pytest.approx(roc_auc_score(finding.having, after[:, 0]))
    assert change.change == pytest.approx(change.after - change.before)
    assert change.low is change.high is None


@pytest.mark.parametrize("seed", [2, 3, 4])
def test_intervals_of_aurocs_are_close_to_a_bootstrap_of_the_whole_area(seed: int) -> None:
    before, after, finding, exams = mixed(seed)
    sampled = drawn(exams, 1000)
    change = auroc(effect_of(before, after, sampled, [finding], **LIMITS))
    assert sampled.occurrences is not None

    by_hand = []
    for counts in sampled.occurrences:
        weights = counts[exams]
        areas = [roc_auc_score(finding.having, scores[:, 0], sample_weight=weights) for scores in (before, after)]
        by_hand.append(areas[1] - areas[0])
    low, high = np.percentile(by_hand, [2.5, 97.5])
    assert change.low is not None
    assert change.high is not None
    assert change.low < change.change < change.high
    assert (change.low, change.high) == pytest.approx((low, high), abs=0.1 * (high - low))


def test_a_resample_without_the_finding_counts_for_nothing() -> None:
    before = columns([3.0, 2.0, 1.0, 0.0])
    finding = Finding("mass", np.array([True, False, False, False]), np.array([False, True, True, True]))
    sampled = Drawn(np.arange(4), 4, np.array([[0.0, 2.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0]]))
    change = auroc(effect_of(before, before, sampled, [finding], **LIMITS))
    assert (change.low, change.high) == (0.0, 0.0)


def test_findings_need_images_of_several_exams_on_either_side() -> None:
    with_all = frozenset({"mass"})
    findings = [with_all] * 6 + [frozenset()] * 6 + [None]
    measured, too_rare = findings_to_measure(findings, np.arange(13))
    assert [finding.count.positives for finding in measured] == [6]
    assert measured[0].count.negatives == 6
    assert too_rare == []
    assert findings_to_measure(findings, np.array([0] * 6 + list(range(1, 8))))[1] == ["mass"]
    assert findings_to_measure(findings[2:], np.arange(11))[1] == ["mass"]
    assert findings_to_measure([None, None], np.arange(2)) == ([], [])
