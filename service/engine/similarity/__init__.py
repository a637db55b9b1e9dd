"""Score: how well each concept describes each unit. The eight functions, and what computes them."""

from service.engine.similarity.functions import (
    contrast,
    contrast_from_top_k,
    contrast_scan,
    correlation,
    cosine,
    cosine_cubed,
    rank_reorder,
    soft_wpmi,
    soft_wpmi_from_top_k,
    wpmi,
)

__all__ = [
    "contrast",
    "contrast_from_top_k",
    "contrast_scan",
    "correlation",
    "cosine",
    "cosine_cubed",
    "rank_reorder",
    "soft_wpmi",
    "soft_wpmi_from_top_k",
    "wpmi",
]
