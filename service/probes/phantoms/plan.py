"""What a phantom exam contains: drawn before any pixel, so that both views of a breast show the same findings."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

View = Literal["CC", "MLO"]
Laterality = Literal["L", "R"]
Density = Literal["A", "B", "C", "D"]
Kind = Literal[
    "mass",
    "calcifications",
    "architectural distortion",
    "asymmetry",
    "skin thickening",
    "nipple retraction",
    "lymph node",
    "implant",
    "surgical clip",
]

VIEWS: tuple[tuple[Laterality, View], ...] = (("R", "CC"), ("L", "CC"), ("R", "MLO"), ("L", "MLO"))
"""The four images of an exam, in the order of their indices."""

DENSITY_NAMES: dict[Density, str] = {
    "A": "almost entirely fatty",
    "B": "scattered fibroglandular densities",
    "C": "heterogeneously dense",
    "D": "extremely dense",
}

FINDINGS: tuple[str, ...] = (
    *DENSITY_NAMES.values(),
    "mass",
    "circumscribed mass",
    "irregular mass",
    "spiculated mass",
    "calcifications",
    "clustered calcifications",
    "segmental calcifications",
    "diffuse calcifications",
    "coarse calcifications",
    "amorphous calcifications",
    "fine linear calcifications",
    "architectural distortion",
    "asymmetry",
    "skin thickening",
    "nipple retraction",
    "lymph node",
    "implant",
    "surgical clip",
)
"""Every finding that a phantom's ground truth can name."""

_PREVALENCE: dict[Kind, float] = {
    "mass": 0.40,
    "calcifications": 0.42,
    "architectural distortion": 0.10,
    "asymmetry": 0.12,
    "skin thickening": 0.12,
    "nipple retraction": 0.12,
    "lymph node": 0.35,
    "implant": 0.09,
    "surgical clip": 0.14,
}
"""Share of breasts with the finding (implant: of exams). Far above any screening population, so that few images do."""

_MASSES: tuple[tuple[str, str], ...] = (
    ("round", "circumscribed"),
    ("oval", "circumscribed"),
    ("oval", "indistinct"),
    ("irregular", "indistinct"),
    ("irregular", "microlobulated"),
    ("irregular", "spiculated"),
    ("round", "spiculated"),
)
_MASS_WEIGHTS = (0.22, 0.22, 0.08, 0.12, 0.10, 0.20, 0.06)
_CALCIFICATIONS: dict[str, tuple[tuple[str, float], ...]] = {
    "coarse": (("grouped", 0.6), ("diffuse", 0.4)),
    "round": (("grouped", 0.4), ("diffuse", 0.6)),
    "amorphous": (("grouped", 0.5), ("segmental", 0.3), ("diffuse", 0.2)),
    "fine pleomorphic": (("grouped", 0.6), ("segmental", 0.4)),
    "fine linear": (("linear", 0.5), ("segmental", 0.5)),
}


@dataclass(frozen=True, slots=True)
class Abnormality:
    """One thing to draw."""

    kind: Kind

    attributes: tuple[tuple[str, str], ...]
    """The lexicon's descriptors (shape, margin, density; morphology, distribution)."""

    height: Literal["upper", "lower"]
    """Seen in MLO."""

    side: Literal["outer", "inner"]
    """Seen in CC."""

    depth: Literal["anterior", "middle", "posterior"]

    def attribute(self, name: str) -> str:
        """The descriptor of that name."""
        return dict(self.attributes)[name]

    @property
    def findings(self) -> frozenset[str]:
        """Names out of FINDINGS that it is: its kind, and its kind with some of its descriptors."""
        if self.kind == "mass":
            described = {f"{self.attribute(part)} mass" for part in ("shape", "margin")}
        elif self.kind == "calcifications":
            distribution = self.attribute("distribution").replace("grouped", "clustered")
            described = {f"{word} calcifications" for word in (self.attribute("morphology"), distribution)}
        else:
            described = set()
        return frozenset({self.kind} | (described & set(FINDINGS)))

    @property
    def quadrant(self) -> str:
        """The quadrant as reports name it."""
        return f"{self.height} {self.side} quadrant"


@dataclass(frozen=True, slots=True)
class BreastPlan:
    """One breast of an exam: density category and what is in it."""

    density: Density
    abnormalities: tuple[Abnormality, ...]

    def seen_in(self, view: View) -> "BreastPlan":
        """What one view shows: axillary lymph nodes lie outside a CC view."""
        kept = tuple(
            abnormality for abnormality in self.abnormalities if view == "MLO" or abnormality.kind != "lymph node"
        )
        return BreastPlan(self.density, kept)

    @property
    def findings(self) -> frozenset[str]:
        """Names out of FINDINGS that hold for this breast."""
        findings = {DENSITY_NAMES[self.density]}
        for abnormality in self.abnormalities:
            findings |= abnormality.findings
        return frozenset(findings)


def plan_exam(rng: np.random.Generator) -> dict[Laterality, BreastPlan]:
    """Draw both breasts of an exam; they share density and implants."""
    density: Density = ("A", "B", "C", "D")[int(rng.choice(4, p=(0.2, 0.3, 0.3, 0.2)))]
    has_implants = rng.random() < _PREVALENCE["implant"]
    return {side: _plan_breast(rng, density, has_implants) for side in ("L", "R")}


def _plan_breast(rng: np.random.Generator, density: Density, has_implant: bool) -> BreastPlan:
    drawn: list[Abnormality] = []
    for kind in _PREVALENCE:
        if kind != "implant":
            drawn += _draw(rng, kind)

    if has_implant:  # the tissue that is left lies in front of it
        in_front = [replace(abnormality, depth="anterior") for abnormality in drawn]
        drawn = [_place(rng, "implant", ()), *in_front]
    return BreastPlan(density, tuple(drawn))


def _draw(rng: np.random.Generator, kind: Kind) -> list[Abnormality]:
    present = rng.random() < _PREVALENCE[kind]

    attributes: tuple[tuple[str, str], ...] = ()
    if kind == "mass":
        shape, margin = _MASSES[int(rng.choice(len(_MASSES), p=_MASS_WEIGHTS))]
        density = "high" if margin in {"spiculated", "microlobulated"} else str(rng.choice(["high", "equal", "low"]))
        attributes = (("shape", shape), ("margin", margin), ("density", density))

    if kind == "calcifications":
        morphology = list(_CALCIFICATIONS)[int(rng.integers(len(_CALCIFICATIONS)))]
        distributions, weights = zip(*_CALCIFICATIONS[morphology], strict=True)
        distribution = distributions[int(rng.choice(len(distributions), p=weights))]
        attributes = (("morphology", morphology), ("distribution", distribution))

    abnormality = _place(rng, kind, attributes)
    return [abnormality] if present else []


def _place(rng: np.random.Generator, kind: Kind, attributes: tuple[tuple[str, str], ...]) -> Abnormality:
    return Abnormality(
        kind=kind,
        attributes=attributes,
        height="upper" if rng.random() < 0.6 else "lower",
        side="outer" if rng.random() < 0.6 else "inner",
        depth=("anterior", "middle", "posterior")[int(rng.choice(3, p=(0.25, 0.5, 0.25)))],
    )
