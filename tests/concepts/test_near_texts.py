import tracemalloc

import numpy as np
import pytest

from service.concepts import near_texts
from service.concepts.near_texts import MOST_PAIRS, near_pairs


def test_pairs_that_are_near_come_nearest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near_texts, "_BLOCK", 2)
    angles = np.array([0.0, 0.05, 1.5, 1.52, 0.01], np.float32)
    embeddings = 7 * np.stack([np.cos(angles), np.sin(angles)], axis=1)

    pairs = near_pairs(["a", "b", "c", "d", "e"], embeddings)
    assert [(first, second) for first, second, _ in pairs] == [("a", "e"), ("c", "d"), ("b", "e"), ("a", "b")]
    assert [cosine for *_, cosine in pairs] == pytest.approx(np.cos([0.01, 0.02, 0.04, 0.05]), abs=1e-6)


def test_where_all_are_near_no_more_than_the_first_are_held() -> None:
    texts = [f"concept {number}" for number in range(2_000)]
    tracemalloc.start()
    try:
        pairs = near_pairs(texts, np.ones((2_000, 4), np.float32))
        assert tracemalloc.get_traced_memory()[1] < 100 << 20
    finally:
        tracemalloc.stop()
    assert [(first, second) for first, second, _ in pairs] == [(texts[0], other) for other in texts[1 : MOST_PAIRS + 1]]
