"""The embeddings of concepts with prompts, against the formulas in numpy."""

from collections.abc import Sequence
from hashlib import sha256

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from service.domain.concepts import Concept, ConceptSet
from service.domain.prompts import Prompts
from service.engine import prompting
from service.engine.networks.protocols import TokenizedText
from service.engine.prompting import embed_concept_set
from service.errors import InvalidConceptSet
from tests.engine.toys import CONTRACT, as_letters

WORDS = ConceptSet(
    "words",
    (Concept("mass", synonyms=("lesion", "nodule")), Concept("calcification"), Concept("clip", synonyms=("x",))),
)
TEMPLATES = ("a mammogram showing {}", "{} in the breast", "{}")


class Hashing:
    """A dissector whose embedding of a text follows from the text alone."""

    digest = "0" * 64
    preprocessing = CONTRACT
    notes = ()

    def __init__(self, **known: tuple[float, ...]) -> None:
        self._known = known

    def embed_images(self, images: Tensor) -> Tensor:
        raise AssertionError("no image is needed")

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        return torch.from_numpy(np.stack([self.of(text) for text in texts])).float()

    def tokenize(self, texts: Sequence[str]) -> list[TokenizedText]:
        return [as_letters(text) for text in texts]

    def of(self, text: str) -> NDArray[np.float64]:
        if text in self._known:
            return np.array(self._known[text])
        vector = np.random.default_rng(list(sha256(text.encode()).digest())).normal(size=24)
        single: NDArray[np.float64] = (vector / np.linalg.norm(vector)).astype(np.float32).astype(np.float64)
        return single


def unit(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    length: NDArray[np.float64] = vector / np.linalg.norm(vector)
    return length


def test_without_prompts_the_embeddings_are_the_dissectors_bit_by_bit() -> None:
    dissector = Hashing()
    assert torch.equal(embed_concept_set(dissector, WORDS, None), dissector.embed_texts(WORDS.texts))


@pytest.mark.parametrize("synonyms", [False, True])
@pytest.mark.parametrize("subtract_empty", [False, True])
@pytest.mark.parametrize("at_once", [1, 4096])
def test_the_formulas(synonyms: bool, subtract_empty: bool, at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompting, "_TEXTS_AT_ONCE", at_once)
    dissector = Hashing()
    templates = TEMPLATES[: 2 if subtract_empty else 3]
    prompts = Prompts.of(templates, synonyms=synonyms, subtract_empty=subtract_empty)
    embeddings = embed_concept_set(dissector, WORDS, prompts)

    expected = []
    for concept in WORDS.concepts:
        names = (concept.text, *concept.synonyms) if synonyms else (concept.text,)
        texts = [template.replace("{}", name) for name in names for template in templates]
        expected.append(unit(np.mean([dissector.of(text) for text in texts], axis=0)))
    if subtract_empty:
        empty = unit(np.mean([dissector.of("a mammogram showing"), dissector.of("in the breast")], axis=0))
        image = unit(np.random.default_rng(1).normal(size=24))
        similarities = [image @ concept - image @ empty for concept in expected]
        assert np.allclose(embeddings.numpy() @ image, similarities, atol=1e-6), "a difference of two cosines"
        expected = [concept - empty for concept in expected]

    assert embeddings.dtype == torch.float32
    assert np.allclose(embeddings.numpy(), np.stack(expected), atol=1e-7)
    assert torch.equal(embeddings, embed_concept_set(dissector, WORDS, prompts))


@pytest.mark.parametrize(
    ("known", "subtract_empty"),
    [
        ({"a mass": (1.0, 0.0), "b mass": (-1.0, 0.0), "a": (0.0, 1.0), "b": (0.0, 1.0)}, False),
        ({"a mass": (1.0, 0.0), "b mass": (1.0, 0.0), "a": (1.0, 0.0), "b": (1.0, 0.0)}, True),
    ],
    ids=["texts that cancel out", "no more than the empty template"],
)
def test_a_concept_of_which_nothing_is_left(known: dict[str, tuple[float, ...]], subtract_empty: bool) -> None:
    prompts = Prompts.of(["a {}", "b {}"], subtract_empty=subtract_empty)
    with pytest.raises(InvalidConceptSet, match="nothing is left of the concept 'mass'"):
        embed_concept_set(Hashing(**known), ConceptSet("words", (Concept("mass"),)), prompts)


def test_an_embedding_that_is_not_finite_is_named() -> None:
    dissector = Hashing(**{"a clip": (float("nan"),) * 24})
    with pytest.raises(InvalidConceptSet, match="'a clip' is not finite"):
        embed_concept_set(dissector, WORDS, Prompts.of(["a {}"]))


class Brief(Hashing):
    """Reads the first twelve letters."""

    def tokenize(self, texts: Sequence[str]) -> list[TokenizedText]:
        return [TokenizedText(tuple(map(ord, text[:12])), len(text), min(12, len(text))) for text in texts]


def test_texts_of_two_concepts_that_are_cut_to_one_are_refused() -> None:
    words = ConceptSet("words", (Concept("mass", synonyms=("mass of the breast", "mass of the side")), Concept("clip")))
    assert len(embed_concept_set(Brief(), words, Prompts.of(synonyms=True))) == 2, "of one concept they may be alike"
    with pytest.raises(InvalidConceptSet, match="'a mammogram of mass' and 'a mammogram of clip' apart: it reads 12"):
        embed_concept_set(Brief(), words, Prompts.of(["a mammogram of {}"]))


def test_concepts_with_a_text_in_common_are_refused() -> None:
    words = ConceptSet("words", (Concept("mass"), Concept("left mass")))
    with pytest.raises(InvalidConceptSet, match="'left mass' in common"):
        embed_concept_set(Hashing(), words, Prompts.of(["{}", "left {}"]))
