"""The JSON of reviews."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Self
from uuid import UUID

from pydantic import BaseModel, Field

from api.schemas.base import Body, FromDomain, LayerName
from service.analysis.agreement_of_readers import LEAST_NEURONS
from service.analysis.review_summary import Acceptance, PairAgreement, ReviewSummary
from service.domain.review_lists import Draw, WorkList
from service.domain.reviews import MOST_NAME, MOST_REASON, Decision, Review, ReviewedNeuron, Standing
from service.usecases.reviews import NeuronReviews, ReviewSubmission


class ReviewIn(Body):
    """What a reader says of a neuron's label. The reader is whoever the key belongs to."""

    layer: LayerName
    unit: Annotated[int, Field(ge=0, lt=2**31)]
    decision: Decision
    name: Annotated[str, Field(min_length=1, max_length=MOST_NAME)] | None = Field(
        default=None, description="With `rename`: a concept of the job's set, or words of your own."
    )
    reason: Annotated[str, Field(min_length=1, max_length=MOST_REASON)]
    reader: Annotated[str, Field(min_length=1, max_length=200)] | None = Field(
        default=None, description="If given, the name of the key that calls: nobody reviews under another's name."
    )
    version: Annotated[int, Field(ge=0, lt=2**31)] | None = Field(
        default=None,
        description="Of your review that this one replaces; 0 or null where there is none. `If-Match` says the same.",
    )

    def submission(self, version: int | None) -> ReviewSubmission:
        """The review as the use case takes it."""
        return ReviewSubmission(self.layer, self.unit, self.decision, self.reason, self.name, version)


class ReviewOut(BaseModel):
    """What a reader said of a neuron. `version` counts their reviews of it; the highest is the current one.

    `name_in_set`: whether the name is a concept of the job's set. `blind`: given without seeing another's review.
    """

    id: UUID
    job: UUID
    layer: str
    unit: int
    reader: str
    version: int
    decision: Decision
    name: str | None
    name_in_set: bool | None
    reason: str
    blind: bool
    created_at: datetime

    @classmethod
    def of(cls, review: Review) -> Self:
        """The review on the wire."""
        return cls(
            id=review.id,
            job=review.job,
            layer=review.layer,
            unit=review.unit,
            reader=review.reader,
            version=review.version,
            decision=review.judgement.decision,
            name=review.judgement.name,
            name_in_set=review.name_in_set,
            reason=review.reason,
            blind=review.blind,
            created_at=review.created_at,
        )


class NeuronReviewsOut(BaseModel):
    """The current reviews of a neuron that the caller may see: others' only once the caller has judged it.

    `reviewed_name`: what the readers call it, where all who judge it agree; null where they reject it or differ.
    """

    own: ReviewOut | None
    others: list[ReviewOut]
    reviewers: list[str] = Field(description="Who judges it; a comment judges nothing.")
    reviewed_name: str | None

    @classmethod
    def of(cls, reviews: NeuronReviews, neuron: ReviewedNeuron) -> Self:
        """The reviews on the wire."""
        return cls(
            own=None if reviews.own is None else ReviewOut.of(reviews.own),
            others=[ReviewOut.of(review) for review in reviews.others],
            reviewers=list(neuron.readers),
            reviewed_name=neuron.name,
        )


class DrawnNeuronOut(FromDomain):
    """A neuron of a work list, with its place in the draw from 1; `concept` is its label."""

    place: int
    layer: str
    unit: int
    concept: str | None
    verdict: str | None
    z: float | None


class WorkListOut(BaseModel):
    """Neurons to review. `drawn` of a `population` were drawn; of those the caller has reviewed `reviewed`.

    The draw is the same for the same seed, whatever was reviewed meanwhile; `disputed` alone follows reviews.
    """

    job: UUID
    draw: Draw
    how: str
    seed: int
    count: int
    population: int
    drawn: int
    reviewed: int
    items: list[DrawnNeuronOut]

    @classmethod
    def of(cls, job: UUID, work_list: WorkList) -> Self:
        """The list on the wire."""
        return cls(
            job=job,
            draw=work_list.draw,
            how=work_list.draw.in_words,
            seed=work_list.seed,
            count=work_list.count,
            population=work_list.population,
            drawn=work_list.drawn,
            reviewed=work_list.drawn - len(work_list.left),
            items=[DrawnNeuronOut.model_validate(neuron) for neuron in work_list.left],
        )


class DecisionCountsOut(BaseModel):
    """Current reviews by what they decide."""

    accept: int
    reject: int
    rename: int
    comment: int


class StandingCountsOut(BaseModel):
    """Neurons by what their readers say together."""

    accepted: int
    rejected: int
    renamed: int
    disputed: int


class PairAgreementOut(BaseModel):
    """Cohen's kappa of two readers, on what each decided before they saw the other's review.

    `low` to `high`: 95 % interval, by the variance of Fleiss, Cohen and Everitt (1969). `refused`: why there are no
    figures.
    """

    readers: tuple[str, str]
    neurons: int
    observed: float | None
    expected: float | None
    kappa: float | None
    low: float | None
    high: float | None
    refused: str | None

    @classmethod
    def of(cls, pair: PairAgreement) -> Self:
        """The pair on the wire."""
        found = pair.agreement
        return cls(
            readers=pair.readers,
            neurons=found.neurons,
            observed=found.observed,
            expected=found.expected,
            kappa=found.kappa,
            low=found.low,
            high=found.high,
            refused=found.refused,
        )


class AcceptanceOut(BaseModel):
    """Of named neurons drawn at random, how many all their readers accept; `low` to `high`: Wilson's 95 % interval.

    `error` is what the job itself estimates of the names it gave: 1 - `share` measures the same. `refused`: why there
    are no figures.
    """

    seed: int
    drawn: int
    judged: int
    accepted: int | None
    share: float | None
    low: float | None
    high: float | None
    error: float | None
    error_level: float | None
    refused: str | None

    @classmethod
    def of(cls, acceptance: Acceptance) -> Self:
        """The figures on the wire."""
        share = acceptance.share
        return cls(
            seed=acceptance.seed,
            drawn=acceptance.drawn,
            judged=acceptance.judged,
            accepted=acceptance.accepted,
            share=None if share is None else share.value,
            low=None if share is None else share.low,
            high=None if share is None else share.high,
            error=acceptance.error,
            error_level=acceptance.error_level,
            refused=acceptance.refused,
        )


class ReviewSummaryOut(BaseModel):
    """What readers say of a job's labels.

    `decisions` and `standings` count what the caller may see, `hidden` what they may not see yet. Agreement and
    acceptance are of all readers, and of many neurons or none.
    """

    job: UUID
    decisions: DecisionCountsOut
    standings: StandingCountsOut
    hidden: int
    needed: int = Field(description="Neurons that agreement and acceptance take at least.")
    agreement: Sequence[PairAgreementOut]
    no_agreement: str | None
    acceptance: AcceptanceOut

    @classmethod
    def of(cls, job: UUID, summary: ReviewSummary) -> Self:
        """The summary on the wire."""
        decisions = {decision: summary.decisions.get(decision, 0) for decision in Decision}
        standings = {standing: summary.standings.get(standing, 0) for standing in Standing}
        return cls(
            job=job,
            decisions=DecisionCountsOut.model_validate(decisions),
            standings=StandingCountsOut.model_validate(standings),
            hidden=summary.hidden,
            needed=LEAST_NEURONS,
            agreement=[PairAgreementOut.of(pair) for pair in summary.agreement],
            no_agreement=summary.no_agreement,
            acceptance=AcceptanceOut.of(summary.acceptance),
        )
