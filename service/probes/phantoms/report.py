"""Report sentences for phantoms in the wording of BI-RADS reports, varied so that no single phrase marks a finding."""

import re

import numpy as np

from service.probes.phantoms.plan import Abnormality, BreastPlan, Density, Laterality, View

_VOWEL = re.compile(r"\b([Aa]) (?=[aeiou])")
_SIDES = {"L": "left", "R": "right"}
_VIEWS = {"CC": "craniocaudal", "MLO": "mediolateral oblique"}

_DENSITY: dict[Density, tuple[str, ...]] = {
    "A": (
        "The breast is almost entirely fatty.",
        "Almost entirely fatty breast tissue, ACR category A.",
        "Predominantly fatty breast composition.",
        "Fatty breast with little glandular tissue.",
    ),
    "B": (
        "There are scattered areas of fibroglandular density.",
        "Scattered fibroglandular densities, ACR category B.",
        "Scattered fibroglandular tissue is present.",
        "The breast shows scattered fibroglandular densities.",
    ),
    "C": (
        "The breast is heterogeneously dense, which may obscure small masses.",
        "Heterogeneously dense breast tissue, ACR category C.",
        "Heterogeneously dense fibroglandular parenchyma.",
        "The parenchyma is heterogeneously dense.",
    ),
    "D": (
        "The breast is extremely dense, which lowers the sensitivity of mammography.",
        "Extremely dense breast tissue, ACR category D.",
        "Extremely dense fibroglandular parenchyma.",
        "The parenchyma is extremely dense throughout.",
    ),
}

_SENTENCES: dict[str, tuple[str, ...]] = {
    "mass": (
        "There is a {shape} {margin} mass of {density} density in the {where}.",
        "A {density} density {shape} mass with {margin} margins is seen in the {where}.",
        "{Margin} {shape} mass in the {where}.",
        "{Shape} mass with {margin} margins.",
        "{Margin} mass, {density} density, {depth} third.",
    ),
    "calcifications": (
        "{Morphology} calcifications in a {distribution} distribution in the {where}.",
        "{Distribution} {morphology} calcifications are present.",
        "There are {distribution} calcifications of {morphology} morphology.",
        "{Morphology} calcifications, {distribution} distribution.",
        "{Distribution} calcifications in the {where}, {morphology} in shape.",
    ),
    "architectural distortion": (
        "Architectural distortion is seen in the {where}.",
        "There is an area of architectural distortion without a central mass.",
        "Radiating lines with architectural distortion in the {depth} third.",
        "Distortion of the breast architecture in the {where}.",
    ),
    "asymmetry": (
        "Focal asymmetry in the {where}.",
        "There is an asymmetry of fibroglandular tissue in the {where}.",
        "An asymmetry without convex borders is noted in the {depth} third.",
        "Asymmetric density in the {where}.",
    ),
    "skin thickening": (
        "Skin thickening is present.",
        "The skin is thickened.",
        "Diffuse thickening of the skin.",
        "There is associated skin thickening.",
    ),
    "nipple retraction": (
        "The nipple is retracted.",
        "Nipple retraction is noted.",
        "There is retraction of the nipple.",
        "Inverted nipple with retraction.",
    ),
    "lymph node": (
        "An axillary lymph node with a fatty hilum is seen.",
        "Lymph node in the axilla.",
        "Benign-appearing axillary lymph node.",
        "There is a lymph node over the pectoral muscle.",
    ),
    "implant": (
        "A breast implant is in place.",
        "Silicone implant without sign of rupture.",
        "There is a retroglandular breast implant.",
        "Status after augmentation with an implant.",
    ),
    "surgical clip": (
        "A surgical clip marks an earlier biopsy site.",
        "Metallic surgical clip in the {where}.",
        "Biopsy marker clip in place.",
        "There is a surgical clip from prior intervention.",
    ),
}

_DISTRIBUTIONS = {
    "grouped": ("grouped", "clustered", "clustered"),
    "diffuse": ("diffuse", "diffuse", "scattered"),
    "linear": ("linear",),
    "segmental": ("segmental",),
}
_MORPHOLOGIES = {
    "coarse": ("coarse", "coarse", "popcorn-like"),
    "round": ("round", "punctate", "round and punctate"),
    "amorphous": ("amorphous", "amorphous", "indistinct amorphous"),
    "fine pleomorphic": ("fine pleomorphic",),
    "fine linear": ("fine linear", "fine linear", "fine linear branching"),
}
_NORMAL = (
    "No suspicious findings.",
    "There are no suspicious masses, calcifications or areas of distortion.",
    "No evidence of malignancy.",
    "Normal mammogram.",
)


def write_report(rng: np.random.Generator, plan: BreastPlan, view: View, laterality: Laterality) -> str:
    """One to a few sentences on what this view shows: composition, every abnormality, or that there is none."""
    sentences = [_pick(rng, _DENSITY[plan.density])]
    sentences += [_describe(rng, abnormality) for abnormality in plan.abnormalities]
    if not plan.abnormalities:
        sentences.append(_pick(rng, _NORMAL))

    if rng.random() < 0.4:
        sentences.insert(0, f"{_VIEWS[view].capitalize()} view of the {_SIDES[laterality]} breast.")
    return " ".join(sentences)


def _describe(rng: np.random.Generator, abnormality: Abnormality) -> str:
    words = {
        "where": f"{abnormality.quadrant}, {abnormality.depth} depth",
        "depth": abnormality.depth,
        **dict(abnormality.attributes),
    }
    if abnormality.kind == "calcifications":
        words["distribution"] = _pick(rng, _DISTRIBUTIONS[words["distribution"]])
        words["morphology"] = _pick(rng, _MORPHOLOGIES[words["morphology"]])

    capitals = {name.capitalize(): word.capitalize() for name, word in words.items()}
    sentence = _pick(rng, _SENTENCES[abnormality.kind]).format(**words, **capitals)
    return _VOWEL.sub(r"\1n ", sentence)


def _pick(rng: np.random.Generator, choices: tuple[str, ...]) -> str:
    return choices[int(rng.integers(len(choices)))]
