"""How a neuron's activations are compared with concept scores."""

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, NotRequired, TypedDict, cast

from service.domain.prompts import PromptFields, Prompts

Similarity = Literal[
    "soft_wpmi", "wpmi", "rank_reorder", "cosine", "cosine_cubed", "correlation", "contrast", "contrast_scan"
]
Pooling = Literal["avg", "max"]

PRIOR_METHODS: tuple[Similarity, ...] = ("soft_wpmi", "wpmi", "contrast", "contrast_scan")
"""Those that score a unit by its top images alone, with a prior term: they stream."""

TESTED_METHODS: tuple[Similarity, ...] = (*PRIOR_METHODS, "correlation")
"""Those whose labels have a null, and so can be significant."""

CONTRASTS: tuple[Similarity, ...] = ("contrast", "contrast_scan")
"""Those that hold each concept against its own spread; ours. See service/engine/similarity/contrast_scorer.py."""

DEFAULT: Similarity = "contrast"
"""What names neurons where nobody asks for anything else: docs/label-accuracy.md has the evidence."""

_DEFAULTS: dict[str, tuple[int, float, float]] = {"wpmi": (28, 2.0, 0.6), "contrast_scan": (400, 10.0, 1.0)}
_SHARES: dict[str, tuple[int, int]] = {"contrast": (8, 100), "contrast_scan": (4, 400)}


class MethodFields(TypedDict):
    """The fields of a `Method` in JSON."""

    similarity: Similarity
    pooling: Pooling
    top_k: int
    temperature: float
    lam: float

    prompts: NotRequired[PromptFields]
    """Only where there are any."""


@dataclass(frozen=True, slots=True)
class Method:
    """Similarity function, its parameters, and how a feature map becomes one number per unit.

    top_k, temperature and lam belong to soft_wpmi and wpmi, top_k and lam to contrast and contrast_scan (the greatest
    depth); `Method.of` fills in each one's defaults. A bare Method is the published one.
    """

    similarity: Similarity = "soft_wpmi"
    pooling: Pooling = "avg"
    top_k: int = 100
    temperature: float = 10.0
    lam: float = 1.0

    prompts: Prompts | None = None
    """How concepts become texts; None where each concept's text is embedded as it stands."""

    @classmethod
    def of(
        cls,
        similarity: Similarity = DEFAULT,
        *,
        pooling: Pooling = "avg",
        top_k: int | None = None,
        temperature: float | None = None,
        lam: float | None = None,
        prompts: Prompts | None = None,
    ) -> "Method":
        """A method with the defaults (published, but for ours) of its similarity where a parameter is not given."""
        default_top_k, default_temperature, default_lam = _DEFAULTS.get(similarity, (100, 10.0, 1.0))
        return cls(
            similarity=similarity,
            pooling=pooling,
            top_k=default_top_k if top_k is None else top_k,
            temperature=default_temperature if temperature is None else temperature,
            lam=default_lam if lam is None else lam,
            prompts=prompts,
        )

    @classmethod
    def from_dict(cls, stored: MethodFields) -> "Method":
        """What `as_dict` gave, also in an earlier release."""
        prompts = stored.get("prompts")
        fields = {**stored, "prompts": None if prompts is None else Prompts.from_dict(prompts)}
        return cls(**cast("dict[str, Any]", fields))

    def fitted_to(self, images: int) -> "Method":
        """contrast with an eighth of so many images as top-k, 10 to 100; contrast_scan with a quarter, 10 to 400.

        That is where they name best (docs/label-accuracy.md). Other methods keep what was published.
        """
        if self.similarity not in _SHARES:
            return self
        divisor, most = _SHARES[self.similarity]
        return replace(self, top_k=min(most, max(10, images // divisor)))

    def as_dict(self) -> MethodFields:
        """JSON form, part of every content key. Without prompts it is what it was before there were any."""
        fields = asdict(replace(self, prompts=None))
        del fields["prompts"]
        if self.prompts is not None:
            fields["prompts"] = self.prompts.as_dict()
        return cast("MethodFields", fields)
