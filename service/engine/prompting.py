"""The embeddings of a concept set by a dissector, each concept by its text alone or by what the prompts make of it."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from service.domain.concepts import Concept, ConceptSet
from service.domain.prompts import Prompts, check_texts, texts_of
from service.engine.concept_texts import check_distinguishable
from service.engine.networks.protocols import Dissector
from service.engine.scoring import embed_concepts, embed_texts
from service.errors import InvalidConceptSet

_TEXTS_AT_ONCE = 4096
_NOTHING = 1e-6
"""Vectors of unit length that cancel out to less than this are equal, or opposite, but for rounding."""

Vectors = NDArray[np.float64]


def embed_concept_set(dissector: Dissector, concept_set: ConceptSet, prompts: Prompts | None) -> Tensor:
    """The concepts' embeddings, float32 [C, D], on the dissector's device; `service.domain.prompts` has the formulas.

    They have unit length, but for those from which the empty template is subtracted.
    Raises InvalidConceptSet as `embed_concepts` and `check_texts` do, and where texts of a concept cancel out; and
    InvalidInput where there are too many texts.
    """
    if prompts is None:
        return embed_concepts(dissector, concept_set.texts)

    check_texts(concept_set, prompts)
    concepts, texts = zip(*texts_of(concept_set, prompts), strict=True)
    check_distinguishable(dissector, texts, concepts)

    blocks = [_block(dissector, concepts, prompts) for concepts in _blocks(concept_set, prompts)]
    embeddings = np.concatenate([block for block, _ in blocks])
    device = blocks[0][1]

    if prompts.subtract_empty:
        vectors, _ = _embedded(dissector, prompts.empty_texts)
        embeddings -= _direction_of_mean(vectors)
    _check_something_is_left(embeddings, concept_set)
    return torch.from_numpy(embeddings.astype(np.float32)).to(device)


def _blocks(concept_set: ConceptSet, prompts: Prompts) -> Iterator[list[Concept]]:
    """The concepts in blocks, so that memory does not grow with the number of their texts."""
    block: list[Concept] = []
    texts = 0
    for concept in concept_set.concepts:
        block.append(concept)
        texts += len(prompts.names(concept)) * len(prompts.templates)
        if texts >= _TEXTS_AT_ONCE:
            yield block
            block, texts = [], 0
    if block:
        yield block


def _block(dissector: Dissector, concepts: Sequence[Concept], prompts: Prompts) -> tuple[Vectors, torch.device]:
    """The directions of the concepts' means [C, D], and where the dissector computes."""
    texts_of_concepts = [list(prompts.texts(concept)) for concept in concepts]
    vectors, device = _embedded(dissector, [text for texts in texts_of_concepts for text in texts])
    ends = np.cumsum([len(texts) for texts in texts_of_concepts])[:-1]
    return np.stack([_direction_of_mean(part) for part in np.split(vectors, ends)]), device


def _embedded(dissector: Dissector, texts: Sequence[str]) -> tuple[Vectors, torch.device]:
    embeddings = embed_texts(dissector, texts)
    return embeddings.cpu().numpy().astype(np.float64), embeddings.device


def _direction_of_mean(vectors: Vectors) -> Vectors:
    """The mean of unit-length vectors [n, D], made one of unit length; zeros where they cancel out."""
    mean: Vectors = vectors.mean(axis=0)
    length = np.linalg.norm(mean)
    return mean / length if length > _NOTHING else np.zeros_like(mean)


def _check_something_is_left(embeddings: Vectors, concept_set: ConceptSet) -> None:
    lengths = np.linalg.norm(embeddings, axis=1)
    if lengths.min() > _NOTHING:
        return
    concept = concept_set.texts[int(lengths.argmin())]
    raise InvalidConceptSet(
        f"To the dissector nothing is left of the concept '{concept}': its texts cancel out, or say no more than the "
        "empty template.",
        field="concept_set",
        value=concept,
        remedy="Leave the concept out, or subtract_empty.",
    )
