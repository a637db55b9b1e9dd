"""How a neuron's activations are compared with concept scores."""

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

Similarity = Literal["soft_wpmi", "wpmi", "rank_reorder", "cosine", "cosine_cubed", "contrast"]
Pooling = Literal["avg", "max"]

PRIOR_METHODS: tuple[Similarity, ...] = ("soft_wpmi", "wpmi", "contrast")
"""Those that score a unit by its top images alone, with a prior term: they stream, and have a null."""

DEFAULT: Similarity = "contrast"
"""What names neurons where nobody asks for anything else: docs/label-accuracy.md has the evidence."""

_DEFAULTS: dict[str, tuple[int, float, float]] = {"wpmi": (28, 2.0, 0.6)}


@dataclass(frozen=True, slots=True)
class Method:
    """Similarity function, its parameters, and how a feature map becomes one number per unit.

    top_k, temperature and lam belong to soft_wpmi and wpmi, top_k and lam to contrast; `Method.of` fills in each one's
    defaults. A bare Method is the published one.
    """

    similarity: Similarity = "soft_wpmi"
    pooling: Pooling = "avg"
    top_k: int = 100
    temperature: float = 10.0
    lam: float = 1.0

    @classmethod
    def of(
        cls,
        similarity: Similarity = DEFAULT,
        *,
        pooling: Pooling = "avg",
        top_k: int | None = None,
        temperature: float | None = None,
        lam: float | None = None,
    ) -> "Method":
        """A method with the defaults (published, but for contrast) of its similarity where a parameter is not given."""
        k, a, weight = _DEFAULTS.get(similarity, (100, 10.0, 1.0))
        return cls(
            similarity=similarity,
            pooling=pooling,
            top_k=k if top_k is None else top_k,
            temperature=a if temperature is None else temperature,
            lam=weight if lam is None else lam,
        )

    def fitted_to(self, images: int) -> "Method":
        """contrast with an eighth of so many images as top-k, 10 to 100; other methods keep what was published.

        That is where contrast names best (docs/label-accuracy.md).
        """
        if self.similarity != "contrast":
            return self
        return replace(self, top_k=min(100, max(10, images // 8)))

    def as_dict(self) -> dict[str, Any]:
        """JSON form, part of every content key."""
        return asdict(self)
