"""The JSON of ablations."""

from datetime import datetime
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import BaseModel, Field, model_validator

from api.schemas.base import Body, FromDomain, LayerName
from service.domain.ablations import (
    MOST_EACH,
    Ablation,
    AblationResult,
    AblationStatus,
    Dependence,
    Effect,
    Replacement,
    UnitChoice,
    UnitEffect,
)
from service.domain.evidence import DrawnUnit
from service.domain.json_values import StoredJson
from service.domain.verdicts import Verdict
from service.usecases.ablations import AblationSubmission

_MOST_UNITS = 100_000
_Units = Annotated[list[Annotated[int, Field(ge=0, lt=2**31)]], Field(min_length=1, max_length=_MOST_UNITS)]
_CHOICES = ("units", "concept", "verdict", "watched")


class AblationIn(Body):
    """Units to hold at one value. Give one of `units`, `concept`, `verdict` and `watched`."""

    layer: LayerName | None = Field(
        default=None, description="Where the units are. `units` and `verdict` need it; else null means all layers."
    )
    units: _Units | None = Field(default=None, description="These units of the layer, counted from 0.")
    concept: Annotated[str, Field(min_length=1, max_length=300)] | None = Field(
        default=None, description="The units with this label."
    )
    verdict: Verdict | None = Field(default=None, description="The units of the layer with this verdict.")
    watched: bool = Field(
        default=False,
        description=f"The units that respond to watched concepts, each by itself as well; the {MOST_EACH} that "
        "respond most.",
    )
    value: Replacement = Field(default="mean", description="Their mean over the probe set, or zero.")
    each: bool = Field(
        default=False,
        description=f"Whether each unit is held by itself as well, at most {MOST_EACH}: each costs a forward pass for "
        "every image.",
    )

    @model_validator(mode="after")
    def _one_choice(self) -> Self:
        values = (self.units, self.concept, self.verdict, self.watched or None)
        count = sum(value is not None for value in values)
        if count != 1:
            raise ValueError(f"Give one of {', '.join(_CHOICES)}; {count} are given")
        return self

    def submission(self) -> AblationSubmission:
        """The ablation as the use case takes it."""
        units = None if self.units is None else tuple(self.units)
        choice = UnitChoice(self.layer, units, self.concept, self.verdict, self.watched)
        return AblationSubmission(choice, self.value, self.each)


class LayerUnitsOut(FromDomain):
    """Units of a layer that are held; `dead` ones do the same for every image, so that nothing changes."""

    layer: str
    units: list[int]
    dead: list[int]


class OutputChangeOut(FromDomain):
    """How an output changes, in its own deviations (`std`) over the probe set: with sign and without.

    `low` to `high`: 95 % intervals by resampling whole exams. Null for an output that is the same for every image, and
    where there are too few exams.
    """

    output: int
    std: float
    change: float | None
    low: float | None
    high: float | None
    absolute: float | None
    absolute_low: float | None
    absolute_high: float | None


class AurocChangeOut(FromDomain):
    """How well an output tells images with the finding, before and after; `low` to `high` of the change, paired."""

    output: int
    finding: str
    before: float
    after: float
    change: float
    low: float | None
    high: float | None


class EffectOut(FromDomain):
    """What becomes of the outputs. `same`: every output of every image stays the same bit by bit."""

    outputs: list[OutputChangeOut]
    aurocs: list[AurocChangeOut]
    same: bool

    @classmethod
    def of(cls, effect: Effect) -> Self:
        """The effect on the wire."""
        return cls.model_validate(effect)


class UnitEffectOut(BaseModel):
    """What holding one unit by itself does."""

    layer: str
    unit: int
    effect: EffectOut

    @classmethod
    def of(cls, unit: UnitEffect) -> Self:
        """The effect on the wire."""
        return cls(layer=unit.layer, unit=unit.unit, effect=EffectOut.of(unit.effect))


class FindingCountOut(FromDomain):
    """A finding whose AUROCs are given, and the images that decide them."""

    finding: str
    positives: int
    negatives: int


class AblationResultOut(BaseModel):
    """What was found: `effect` of all units at once, `units` of each by itself where that was asked for."""

    outputs: int
    output_of: str
    images: int
    drawn_by: DrawnUnit
    drawn: int
    resamples: int
    effect: EffectOut
    findings: list[FindingCountOut]
    units: list[UnitEffectOut]
    device: str
    notes: list[str]

    @classmethod
    def of(cls, result: AblationResult) -> Self:
        """The result on the wire."""
        return cls(
            outputs=result.outputs,
            output_of=result.output_of,
            images=result.images,
            drawn_by=result.drawn_by,
            drawn=result.drawn,
            resamples=result.resamples,
            effect=EffectOut.of(result.effect),
            findings=[FindingCountOut.model_validate(finding) for finding in result.findings],
            units=[UnitEffectOut.of(unit) for unit in result.units],
            device=result.device,
            notes=list(result.notes),
        )


class AblationBriefOut(BaseModel):
    """An ablation without its units and result."""

    id: UUID
    job: UUID
    status: AblationStatus
    held: int
    value: Replacement
    each: bool
    created_at: datetime
    finished_at: datetime | None

    @classmethod
    def of(cls, ablation: Ablation) -> Self:
        """The ablation on the wire."""
        return cls(**_brief(ablation))


class AblationOut(AblationBriefOut):
    """An ablation: which units are `held`, how far it has come (images `done` of `total`), and its result.

    `left_out`: watched units that are not held, because there are too many.
    """

    layers: list[LayerUnitsOut]
    left_out: int
    done: int
    total: int
    result: AblationResultOut | None
    problem: StoredJson | None

    @classmethod
    def of(cls, ablation: Ablation) -> Self:
        """The ablation on the wire."""
        return cls(
            **_brief(ablation),
            layers=[LayerUnitsOut.model_validate(layer) for layer in ablation.request.layers],
            left_out=ablation.request.left_out,
            done=ablation.done,
            total=ablation.total,
            result=None if ablation.result is None else AblationResultOut.of(ablation.result),
            problem=None if ablation.problem is None else dict(ablation.problem),
        )


class DependenceOut(BaseModel):
    """How much the outputs depend on a unit, by an ablation of it alone: the output that changes most.

    `change` is null where no output varies over the probe set.
    """

    ablation: UUID
    value: Replacement
    change: OutputChangeOut | None

    @classmethod
    def of(cls, dependence: Dependence) -> Self:
        """The dependence on the wire."""
        change = None if dependence.change is None else OutputChangeOut.model_validate(dependence.change)
        return cls(ablation=dependence.ablation, value=dependence.value, change=change)


def _brief(ablation: Ablation) -> dict[str, Any]:
    return {
        "id": ablation.id,
        "job": ablation.job,
        "status": ablation.status,
        "held": ablation.request.count,
        "value": ablation.request.value,
        "each": ablation.request.each,
        "created_at": ablation.created_at,
        "finished_at": ablation.finished_at,
    }
