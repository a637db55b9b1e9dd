"""The JSON of what a check has found of a probe set's images."""

from collections.abc import Mapping
from datetime import datetime
from typing import Self

from pydantic import BaseModel, Field

from service.domain.checks import SetCheck
from service.domain.json_values import StoredJson
from service.domain.resources import ResourceState
from service.usecases.checks import CheckStanding

_ROWS_IN_BRIEF = 5
_VALUES_IN_BRIEF = 10


class NamedRowOut(BaseModel):
    """An image that is named for a reason, by its row of the manifest."""

    row: int
    why: str
    remedy: str | None = None


class ReasonOut(BaseModel):
    """Why images are named, how many there are, and the first of them."""

    reason: str = Field(
        description="`unreadable`, `contradictory`, `same-bytes`, `for-processing`, `wide-padding`, `constant`, "
        "`tiny`, `several-frames`, `unusual-bits`, `colour` or `region-outside`."
    )
    count: int
    rows: list[NamedRowOut]


class ValueCountOut(BaseModel):
    """A value, and how many images have it."""

    value: str
    images: int


class CountedValuesOut(BaseModel):
    """What images have of one thing; the most frequent values are counted one by one."""

    distinct: int
    without: int = Field(description="Images of which nothing is known.")
    values: list[ValueCountOut] = Field(description="Empty where the values may be identifiers.")


class IndependentUnitsOut(BaseModel):
    """What counts as independent: patients, exams or images, copies of a file together."""

    unit: str
    count: int
    largest: int = Field(description="Images of the largest of them.")


class CheckedFindingsOut(BaseModel):
    """What the manifest says of findings."""

    named: CountedValuesOut = Field(description="By name. `without`: images of which it says that they have none.")
    unknown: int = Field(description="Images of whose findings it says nothing.")


class SetCheckOut(BaseModel):
    """What a probe set's images are."""

    images: int
    readable: int
    unreadable: int
    merged_rows: int
    reasons: list[ReasonOut] = Field(description="Only those that any image is named for.")
    rows_named: int = Field(description="How many rows GET /probe-sets/{name}/check names for each reason, at most.")
    exams: int | None = Field(description="Null where the manifest names none.")
    patients: int | None = Field(description="Null where the manifest names none.")
    independent: IndependentUnitsOut
    findings: CheckedFindingsOut
    manifest: dict[str, CountedValuesOut] = Field(description="By column: view, laterality, and every stratum.")
    files: dict[str, CountedValuesOut] = Field(
        description="What the files themselves say: sizes, forms, bits, photometrics, intents."
    )
    thresholds: StoredJson = Field(description="From where on something is remarked.")

    @classmethod
    def of(cls, result: SetCheck, *, brief: bool) -> Self:
        """What was found on the wire. brief: the first few rows and values."""
        whole = cls.model_validate(result)
        return whole.in_brief() if brief else whole

    def in_brief(self) -> Self:
        """The same with the first few rows and values."""
        reasons = [reason.model_copy(update={"rows": reason.rows[:_ROWS_IN_BRIEF]}) for reason in self.reasons]
        findings = self.findings.model_copy(update={"named": _in_brief(self.findings.named)})
        return self.model_copy(
            update={
                "reasons": reasons,
                "findings": findings,
                "manifest": {name: _in_brief(values) for name, values in self.manifest.items()},
                "files": {name: _in_brief(values) for name, values in self.files.items()},
            }
        )


class CheckOut(BaseModel):
    """The check of a probe set: how far it has come, and what the last one that ended has found."""

    state: ResourceState
    done: int = Field(description="Images.")
    total: int = Field(description="Images.")
    checked_at: datetime | None = Field(description="Null where no check has ended yet.")
    result: SetCheckOut | None = Field(description="Null where no check has ended yet.")
    problem: dict[str, str] | None = Field(
        description="Why the set is refused: images cannot be read and are not skipped, or the check was given up."
    )

    @classmethod
    def of(cls, standing: CheckStanding, *, brief: bool) -> Self:
        """The check on the wire. brief: the first few rows and values."""
        problem = standing.problem
        return cls(
            state=standing.state,
            done=standing.done,
            total=standing.total,
            checked_at=standing.checked_at,
            result=None if standing.result is None else SetCheckOut.of(standing.result, brief=brief),
            problem=None if problem is None else in_words(problem),
        )


def in_words(problem: Mapping[str, object]) -> dict[str, str]:
    """A problem as an answer tells it."""
    return {name: str(value) for name, value in problem.items()}


def _in_brief(values: CountedValuesOut) -> CountedValuesOut:
    return values.model_copy(update={"values": values.values[:_VALUES_IN_BRIEF]})
