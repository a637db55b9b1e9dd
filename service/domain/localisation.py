"""Where a unit looks: its activation map against the places of a finding.

The field names of the stored types are columns of the database and the wire format at once:
`tests/domain/test_stored_names.py` says what a rename costs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Literal, Self, TypedDict

QUANTILES = (0.99, 0.98, 0.95, 0.9, 0.8)
"""A map is cut where it exceeds one of these quantiles of the unit's maps."""

EXCHANGES = 999
"""So many times the places of a finding are exchanged between exams."""

MOST_UNITS = 200
"""So many units of a job are measured, the strongest labels first; one counts once for each of its findings."""

MOST_IMAGES = 200
"""So many images of a finding are looked at, whole exams of them."""

MOST_CELLS = 1_536
"""A larger map is averaged down to so many cells; the last stage of the largest published network has 1,392."""

MOST_GIVEN = 5
"""So many findings may be given."""

PROBLEMS_NAMED = 100
"""So many images are named whose places cannot be used; all are counted."""

WhyNot = Literal["no-places", "no-map", "one-exam", "left-out"]
"""Why a unit has no figures for a finding (stored).

`no-places`: no image that was shown says where the finding is, or none of those that do can be used. `no-map`: the
layer's output is no map over space. `one-exam`: all images are of one exam, so nothing can be exchanged. `left-out`:
more than MOST_UNITS units were to be measured.
"""

WHY_NOT: Mapping[WhyNot, str] = {
    "no-places": "no image of the probe set says, in a way that can be used, where the finding is",
    "no-map": "the layer's output is no map over space",
    "one-exam": "all images with the finding are of one exam, so no places can be exchanged",
    "left-out": f"the {MOST_UNITS} units with the strongest labels alone were measured",
}


class LocalisationFields(TypedDict):
    """The fields of `LocalisationOptions` in JSON."""

    findings: list[str]


@dataclass(frozen=True, slots=True)
class LocalisationOptions:
    """That maps are to be held against the places of findings; part of a job's request (stored)."""

    findings: tuple[str, ...] = ()
    """Findings for units whose label names none that has places, as the manifest writes them."""

    def as_dict(self) -> LocalisationFields:
        """JSON form."""
        return {"findings": list(self.findings)}

    @classmethod
    def from_dict(cls, fields: LocalisationFields) -> Self:
        """From its JSON form."""
        return cls(tuple(fields["findings"]))


@dataclass(frozen=True, slots=True)
class AgainstExchanged:
    """A figure of a unit's own places, beside that of places exchanged between exams (stored)."""

    value: float

    exchanged: float
    """The mean over all pairs of an image and the places in an image of another exam."""

    p: float
    """Share of the exchanges in which the figure is as large, the true places counted as one of them."""


@dataclass(frozen=True, slots=True)
class Localisation:
    """Where a unit is active, against where a finding is (stored)."""

    finding: str
    """One finding of the probe set, or several that mean the label's concept, joined."""

    from_label: bool
    """Whether the unit's label means it; otherwise it was given."""

    images: int = 0
    exams: int = 0
    """Of these images; what counts as independent, as in all evidence."""

    cells: tuple[int, int] | None = None
    """Height and width of the map that was measured."""

    pointing: AgainstExchanged | None = None
    """Share of the images in which the greatest cell of the map touches a place of the finding."""

    iou: AgainstExchanged | None = None
    """Intersection over union of the places with what exceeds the quantile that was best in the other half of exams."""

    quantiles: tuple[float, ...] = ()
    """The quantile that was best in each half; it cuts the other half's maps."""

    auroc: AgainstExchanged | None = None
    """Chance that a point inside the places has a greater value than a point outside, in the mean of the images."""

    why_not: WhyNot | None = None
    """Why there are no figures."""

    @property
    def above_exchanged(self) -> bool | None:
        """Does the unit point at the finding more often than at places of other exams? None without figures."""
        return None if self.pointing is None else self.pointing.value > self.pointing.exchanged


LocalisationsOfLayers = Mapping[str, Mapping[str, Sequence[Mapping[str, object]]]]
"""Layer -> unit (as text, for JSON) -> the fields of each of its `Localisation`s."""


class PlaceProblem(TypedDict):
    """An image whose places of a finding cannot be used."""

    row: int
    why: str


class PlacesOfFinding(TypedDict):
    """The images of a finding."""

    images: int
    """With places of it, as the manifest says."""

    used: int
    exams: int


class LocalisationEntry(TypedDict):
    """How maps were held against places, in a job's manifest."""

    findings_given: list[str]
    quantiles: list[float]
    exchanges: int
    most_units: int
    most_images: int
    most_cells: int

    units: dict[str, int]
    """Labelled units: `measured`, and those without figures by `WhyNot`; `no-finding`: the label means no finding of
    the probe set, and none was given. A unit counts once: as measured where it has any figures."""

    findings: dict[str, PlacesOfFinding]

    images_with_problems: int
    problems: list[PlaceProblem]
    """The first hundred."""


@dataclass(frozen=True, slots=True)
class JobLocalisations:
    """What a job found of where its units look."""

    of_layers: dict[str, dict[str, list[Localisation]]]
    """Layer -> unit (as text) -> its localisations."""

    entry: LocalisationEntry

    def as_json(self) -> LocalisationsOfLayers:
        """JSON values for `with_localisations`."""
        return {
            layer: {unit: [asdict(localisation) for localisation in listed] for unit, listed in units.items()}
            for layer, units in self.of_layers.items()
        }


@dataclass(slots=True)
class PlaceProblems:
    """Collects images whose places cannot be used."""

    count: int = 0
    named: list[PlaceProblem] = field(default_factory=list)

    def add(self, row: int, why: str) -> None:
        """Count an image, and name it if it is among the first."""
        self.count += 1
        if len(self.named) < PROBLEMS_NAMED:
            self.named.append({"row": row, "why": why})
