"""How a neuron's activations are compared with concept scores."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

Similarity = Literal["soft_wpmi", "wpmi", "rank_reorder", "cosine", "cosine_cubed"]
Pooling = Literal["avg", "max"]

PRIOR_METHODS: tuple[Similarity, ...] = ("soft_wpmi", "wpmi")
"""Those that score a unit by its top images alone, under a prior term of the layer: they stream, and have a null."""

_DEFAULTS: dict[str, tuple[int, float, float]] = {"wpmi": (28, 2.0, 0.6)}


@dataclass(frozen=True, slots=True)
class Method:
    """Similarity function, its parameters, and how a feature map becomes one number per unit.

    top_k, temperature and lam belong to soft_wpmi and wpmi; `Method.of` fills in each one's published defaults.
    """

    similarity: Similarity = "soft_wpmi"
    pooling: Pooling = "avg"
    top_k: int = 100
    temperature: float = 10.0
    lam: float = 1.0

    @classmethod
    def of(
        cls,
        similarity: Similarity = "soft_wpmi",
        *,
        pooling: Pooling = "avg",
        top_k: int | None = None,
        temperature: float | None = None,
        lam: float | None = None,
    ) -> "Method":
        """A method with the published defaults of its similarity where a parameter is not given."""
        k, a, weight = _DEFAULTS.get(similarity, (100, 10.0, 1.0))
        return cls(
            similarity=similarity,
            pooling=pooling,
            top_k=k if top_k is None else top_k,
            temperature=a if temperature is None else temperature,
            lam=weight if lam is None else lam,
        )

    def as_dict(self) -> dict[str, Any]:
        """JSON form, part of every content key."""
        return asdict(self)
