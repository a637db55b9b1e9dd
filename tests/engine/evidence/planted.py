"""A dissector of sixteen dimensions, concepts along some of them, and units that are known."""

from collections.abc import Iterator

import torch
from torch import Tensor

from service.domain.concepts import Concept, ConceptSet
from service.engine.evidence.exams import Exams
from service.engine.evidence.moments import FOLDS, Moments, folds_of_exams

IMAGES, WIDTH, CONCEPTS = 1200, 16, 60
EXAMS = Exams(torch.arange(IMAGES) // 3, IMAGES // 3, "exam")
FOLD_OF_IMAGE = folds_of_exams(EXAMS)

CONCEPT_SET = ConceptSet(
    "planted",
    tuple(
        Concept(f"concept {place}", f"category {place // 6}", f"broad {place // 30}", mammographic=place < 54)
        for place in range(CONCEPTS)
    ),
)


def embeddings(seed: int = 0) -> Tensor:
    """float32 [N, D]: normal, along the axes at different deviations."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(IMAGES, WIDTH, generator=generator) * torch.linspace(2, 0.5, WIDTH)


def pieces(images: Tensor) -> Iterator[Tensor]:
    """The images one block after the other."""
    for start in range(0, len(images), 100):
        yield images[start : start + 100]


def texts() -> Tensor:
    """float32 [C, D], of length 1."""
    drawn = torch.randn(CONCEPTS, WIDTH, generator=torch.Generator().manual_seed(1))
    lengths: Tensor = drawn.norm(dim=1, keepdim=True)
    return drawn / lengths


def following(images: Tensor, directions: Tensor, signal: float, seed: int = 2) -> Tensor:
    """Units that follow directions [U, D], at so many deviations of their noise: float32 [N, U]."""
    projected = images @ directions.t()
    noise = torch.randn(projected.shape, generator=torch.Generator().manual_seed(seed))
    return signal * projected / projected.std(dim=0) + noise


def moments_of(images: Tensor, activations: Tensor) -> Moments:
    """In one block."""
    return Moments.of_layer([(images, activations)], FOLD_OF_IMAGE, FOLDS)
