"""Published ways to name neurons, written from their papers, each with the paper's own rule for not naming one.

All are given the same images, dissector, concepts and units. docs/peers.md says what each paper says and where a choice
was left to us. No method is given anything of the held-out exams.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from scipy.stats import norm
from torch import Tensor
from torch.nn.functional import normalize

from benchmarks.label_accuracy import own_concepts
from service.engine import similarity
from service.engine.top_k import top_k_images

EXAMPLES = 40
"""Most activating images by which SemanticLens and WWW see a unit."""

_WWW_SHARE = 0.95
_INVERT_LEVEL = 0.05
_LINEAR_MOST, _LINEAR_GAIN, _LINEAR_VALIDATION = 10, 0.02, 5


@dataclass(frozen=True, slots=True)
class Shown:
    """What a method may see of a layer."""

    embeddings: Tensor
    """float32 [N, D], of the images."""

    texts: Tensor
    """float32 [C, D], of the concepts."""

    template: Tensor
    """float32 [D], of the text without a concept."""

    truth: Tensor
    """bool [N, F], the findings of the images; for methods that need labelled images alone."""

    exams: Tensor
    """int64 [N], the exam of each image."""

    activations: Tensor
    """float32 [N, U]."""

    @property
    def cosines(self) -> Tensor:
        """Of images and concepts, float32 [N, C]."""
        return self.embeddings @ self.texts.t()


@dataclass(frozen=True, slots=True)
class Names:
    """What a method calls each unit, and what it predicts of the activation by that."""

    concepts: tuple[tuple[int, ...], ...]
    """For each unit the concepts of its name, the first the one that says most; none where it is not named."""

    weights: Tensor
    """float32 [U, C]: the predicted activation is the images' cosines times these, up to a constant and a scale."""

    categories: frozenset[int] = frozenset()
    """Units whose name is a category: their concepts are all that it covers."""


Method = Callable[[Shown], Names]


def clip_dissect(shown: Shown) -> Names:
    """CLIP-Dissect (Oikarinen and Weng, ICLR 2023), section 3.2: soft-WPMI with the published parameters.

    The concept with the highest score names the unit; there is no rule for not naming one.
    """
    return single_concepts(similarity.soft_wpmi(shown.cosines, shown.activations).argmax(dim=1), shown)


def semantic_lens(shown: Shown) -> Names:
    """SemanticLens (Dreyer et al., Nature Machine Intelligence 2025), Methods, "labelling" by text probing.

    The mean embedding of the most activating images against each text, less the same for the template without a
    concept. A unit whose best concept is no nearer than the empty template is not named.
    """
    alignment = _mean_of_examples(shown) @ (shown.texts - shown.template).t()
    best = alignment.max(dim=1)
    return single_concepts(best.indices, shown, named=best.values > 0)


def www(shown: Shown) -> Names:
    """WWW (Ahn, Kim and Kim, CVPR 2024), section 3.1: adaptive cosine similarity and adaptive selection.

    The cosine of each example image and concept less that of the image and the template, averaged over the examples.
    All concepts with 0.95 of the highest or more are the name. There is no rule for not naming a unit.
    """
    similarities = _mean_of_examples(shown, of_length_1=False) @ (shown.texts - shown.template).t()
    highest = similarities.amax(dim=1, keepdim=True)
    selected = similarities >= torch.where(highest > 0, _WWW_SHARE * highest, highest)

    names = []
    for unit in range(len(similarities)):
        concepts = selected[unit].nonzero().flatten()
        names.append(tuple(concepts[similarities[unit, concepts].argsort(descending=True)].tolist()))
    return Names(tuple(names), standardised(selected.float() / selected.sum(dim=1, keepdim=True), shown))


def invert(shown: Shown) -> Names:
    """INVERT (Bykov et al., NeurIPS 2023), section 3, explanations of length 1: the finding with the highest AUROC.

    It needs images that are labelled with what it names, here the findings. Significance by Mann and Whitney's test,
    corrected for the number of findings (section 3.2); a unit without a significant finding is not named.
    """
    ranks = shown.activations.argsort(dim=0).argsort(dim=0).double() + 1
    have = shown.truth.double()
    positives, negatives = have.sum(dim=0), (~shown.truth).double().sum(dim=0)
    u = ranks.t() @ have - positives * (positives + 1) / 2  # [U, F]
    auroc = u / (positives * negatives).clamp_min(1)

    best = auroc.max(dim=1)
    counts = positives[best.indices], negatives[best.indices]
    deviation = ((counts[0] + counts[1] + 1) / (12 * counts[0] * counts[1])).sqrt()
    p = torch.from_numpy(norm.sf(((best.values - 0.5) / deviation).numpy())) * have.shape[1]
    return single_concepts(own_concepts()[best.indices], shown, named=p <= _INVERT_LEVEL)


def linear_explanations(shown: Shown) -> Names:
    """Linear explanations (Oikarinen and Weng, ICML 2024), section 3: a sparse sum of concepts by greedy search.

    Concepts are added one by one, each the one that lowers the squared error most, with all weights fitted anew, as
    long as the correlation on validation exams grows by 0.02 or more; ten at most. The concept with the largest
    weight comes first. A unit that no concept predicts at all is not named.
    """
    validation = shown.exams % _LINEAR_VALIDATION == 0
    cosines = shown.cosines.double()
    centre, spread = cosines[~validation].mean(dim=0), cosines[~validation].std(dim=0).clamp_min(1e-9)
    concepts = (cosines - centre) / spread
    activations = shown.activations.double() - shown.activations[~validation].double().mean(dim=0)

    weights = torch.zeros(activations.shape[1], concepts.shape[1], dtype=torch.float64)
    reached = torch.zeros(activations.shape[1], dtype=torch.float64)
    chosen = torch.empty(activations.shape[1], 0, dtype=torch.int64)
    among = concepts[~validation].t() @ concepts[~validation]
    own = activations[~validation].t() @ concepts[~validation]
    growing = torch.ones(activations.shape[1], dtype=torch.bool)

    for _ in range(_LINEAR_MOST):
        chosen = torch.cat([chosen, _next_concept(among, own, chosen)[:, None]], dim=1)
        fitted = torch.zeros_like(weights).scatter(1, chosen, _least_squares(among, own, chosen))
        correlation = _correlations(concepts[validation] @ fitted.t(), activations[validation])
        growing &= correlation >= reached + _LINEAR_GAIN
        weights[growing], reached[growing] = fitted[growing], correlation[growing]
        if not bool(growing.any()):
            break

    order = weights.argsort(dim=1, descending=True)
    positive = (weights > 0).sum(dim=1)
    names = tuple(tuple(order[unit, : positive[unit]].tolist()) for unit in range(len(weights)))
    return Names(names, (weights / spread).float())


PEERS: dict[str, Method] = {
    "CLIP-Dissect, published": clip_dissect,
    "SemanticLens, text probing": semantic_lens,
    "WWW, adaptive cosine": www,
    "INVERT (labelled images)": invert,
    "linear explanations": linear_explanations,
}


def single_concepts(concepts: Tensor, shown: Shown, named: Tensor | None = None) -> Names:
    """One concept for each unit, int64 [U], of those that are named."""
    named = torch.ones(len(concepts), dtype=torch.bool) if named is None else named
    names = tuple((concept,) if has_name else () for concept, has_name in zip(concepts.tolist(), named, strict=True))
    weights = torch.zeros(len(concepts), len(shown.texts)).scatter(1, concepts[:, None], 1.0) * named[:, None]
    return Names(names, weights)


def standardised(weights: Tensor, shown: Shown) -> Tensor:
    """Weights of cosines at deviation 1, as weights of cosines."""
    return weights / shown.cosines.std(dim=0).clamp_min(1e-9)


def _mean_of_examples(shown: Shown, *, of_length_1: bool = True) -> Tensor:
    mean = shown.embeddings[top_k_images(shown.activations, EXAMPLES)].mean(dim=1)
    return normalize(mean, dim=1) if of_length_1 else mean


def _next_concept(among: Tensor, own: Tensor, chosen: Tensor) -> Tensor:
    """The concept that lowers each unit's squared error most beside those chosen [U, K]: int64 [U]."""
    if chosen.shape[1] == 0:
        return (own.square() / among.diagonal()).argmax(dim=1)

    weights = _least_squares(among, own, chosen)
    left = own - torch.einsum("uk,ukc->uc", weights, among[chosen])
    inner = torch.linalg.inv(_inner(among, chosen))
    explained = torch.einsum("ukc,ukl,ulc->uc", among[chosen], inner, among[chosen])
    gain = left.square() / (among.diagonal() - explained).clamp_min(1e-6 * among.diagonal())
    return gain.scatter(1, chosen, -1).argmax(dim=1)


def _least_squares(among: Tensor, own: Tensor, chosen: Tensor) -> Tensor:
    weights: Tensor = torch.linalg.solve(_inner(among, chosen), own.gather(1, chosen))
    return weights


def _inner(among: Tensor, chosen: Tensor) -> Tensor:
    ridge = 1e-6 * among.diagonal().mean() * torch.eye(chosen.shape[1], dtype=among.dtype)
    return among[chosen[:, :, None], chosen[:, None, :]] + ridge


def _correlations(predicted: Tensor, actual: Tensor) -> Tensor:
    """Of the columns of [N, U] and [N, U]: [U]; 0 for constants."""
    predicted, actual = predicted - predicted.mean(dim=0), actual - actual.mean(dim=0)
    spread = (predicted.square().sum(dim=0) * actual.square().sum(dim=0)).sqrt()
    return (predicted * actual).sum(dim=0) / spread.clamp_min(1e-12)
