"""Say what a label is worth, and read what readers say."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from sqlalchemy.orm import Session

from service.db import reviews as queries
from service.domain.layers import canonical_layer
from service.domain.pages import Page, Position
from service.domain.reviews import (
    Decision,
    Judgement,
    Review,
    ReviewedNeuron,
    ReviewFilter,
    Standing,
    check_judgement,
    check_reason,
)
from service.errors import Conflict, InvalidInput, NotFound
from service.usecases.evidence import concept_set_of_job
from service.usecases.jobs import choose_job, find_job_status
from service.usecases.neurons import check_layer, find_neuron
from service.usecases.trail import annotate


@dataclass(frozen=True, slots=True)
class ReviewSubmission:
    """A review as posted."""

    layer: str
    unit: int
    decision: Decision
    reason: str
    name: str | None = None

    version: int | None = None
    """Of the reader's review that this one is to replace; 0 for none. None where the caller does not say."""


@dataclass(frozen=True, slots=True)
class NeuronReviews:
    """The current reviews of a neuron that somebody may see."""

    own: Review | None
    others: tuple[Review, ...]

    def of_neuron(self, layer: str, unit: int, measured: str | None) -> ReviewedNeuron:
        """What the readers say together. measured: what the dissection calls the neuron."""
        reviews = (*self.others, *(() if self.own is None else (self.own,)))
        judging = [review for review in reviews if review.judgement.stance is not None]
        by_reader = sorted(judging, key=lambda review: review.reader)
        return ReviewedNeuron(layer, unit, measured, {review.reader: review.judgement for review in by_reader})


def submit_review(session: Session, reader: str, job_id: UUID, submission: ReviewSubmission) -> tuple[Review, bool]:
    """The reader's review of a neuron, and whether it is new: one that is current already is not given again.

    Raises NotFound for a job, layer or unit that is not there, Conflict for a job without a result and where the
    reader's current review is another one than the submission replaces, and InvalidInput for a dead unit and for what
    `check_judgement` and `check_reason` refuse.
    """
    choose_job(session, job_id=job_id, model=None)
    layer, unit = canonical_layer(submission.layer), submission.unit
    neuron = queries.lock_neuron(session, job_id, layer, unit)
    if neuron is None:
        find_neuron(session, job_id, submission.layer, unit)
        raise AssertionError  # it says what is not there
    if neuron.dead:
        raise InvalidInput(
            f"Unit {unit} of layer '{layer}' is dead: it answers every image alike, and has no label to review.",
            field="unit",
            value=unit,
            remedy=f"Review a live one: GET /jobs/{job_id}/review-list draws some.",
        )

    reason = check_reason(submission.reason)
    judgement, name_in_set = check_judgement(
        submission.decision,
        submission.name,
        measured=neuron.measured,
        concept_set=concept_set_of_job(session, job_id),
    )

    current = queries.current_review(session, job_id, neuron.layer_id, unit, reader)
    if current is not None and _is_repeated(current, judgement, reason, submission.version):
        annotate(session, before=current.digest, after=current.digest)
        return current, False
    _check_version(current, submission)

    review_id = queries.add_review(
        session,
        job_id,
        neuron.layer_id,
        unit,
        reader=reader,
        version=1 if current is None else current.version + 1,
        judgement=judgement,
        name_in_set=name_in_set,
        reason=reason,
        blind=not queries.sees_others(session, neuron.layer_id, unit, reader),
    )
    review = find_review(session, job_id, review_id, caller=reader)
    annotate(session, before=None if current is None else current.digest, after=review.digest)
    return review, True


def find_review(session: Session, job_id: UUID, review_id: UUID, *, caller: str) -> Review:
    """A review that the caller may see. Raises NotFound, also where it is there and may not be seen yet."""
    find_job_status(session, job_id)
    review = queries.find_review(session, job_id, review_id, caller=caller)
    if review is None:
        raise NotFound(
            f"Job {job_id} has no review {review_id} that you may see.",
            field="review",
            value=review_id,
            remedy=f"List them with GET /jobs/{job_id}/reviews; you see others' once you have judged the neuron.",
        )
    return review


def list_reviews(
    session: Session, job_id: UUID, *, caller: str, where: ReviewFilter, limit: int, after: Position | None
) -> Page[Review]:
    """The job's reviews that the caller may see, newest first. Raises NotFound for a job or layer that is not there."""
    find_job_status(session, job_id)
    if where.layer is not None:
        where = replace(where, layer=canonical_layer(where.layer))
    page = queries.list_reviews(session, job_id, caller=caller, where=where, limit=limit, after=after)
    if not page.items and where.layer is not None:
        check_layer(session, job_id, where.layer)
    return page


def reviews_of(session: Session, job_id: UUID, layer: str, unit: int, *, caller: str) -> NeuronReviews:
    """The current reviews of a neuron that the caller may see."""
    reviews = queries.reviews_of_neuron(session, job_id, canonical_layer(layer), unit, caller=caller)
    own = next((review for review in reviews if review.reader == caller), None)
    return NeuronReviews(own, tuple(review for review in reviews if review.reader != caller))


def standings_of(
    session: Session, job_id: UUID, places: Sequence[tuple[str, int]], *, caller: str
) -> dict[tuple[str, int], Standing]:
    """How neurons, each a layer and a unit, stand as far as the caller sees; those that nobody judges are left out."""
    return queries.standings_of(session, job_id, places, caller=caller) if places else {}


def state_of(session: Session, job_id: UUID) -> str:
    """What changes with every review of a neuron of the job."""
    return queries.state_of(session, job_id)


def _is_repeated(current: Review, judgement: Judgement, reason: str, version: int | None) -> bool:
    """Whether the same was sent again, by somebody who did not get the answer, or sent once more for nothing."""
    same = (current.judgement, current.reason) == (judgement, reason)
    return same and version in {None, current.version - 1, current.version}


def _check_version(current: Review | None, submission: ReviewSubmission) -> None:
    """Raises Conflict where the reader did not know of their current review, or where there is none."""
    given, version = submission.version, 0 if current is None else current.version
    if (given or 0) == version:
        return

    neuron = f"unit {submission.unit} of layer '{submission.layer}'"
    if current is None:
        raise Conflict(
            f"You have no review of {neuron} that version {given} could replace.",
            field="version",
            value=given,
            remedy="Leave `version` out, or give 0.",
        )

    said = current.judgement.decision + (f" ('{current.judgement.name}')" if current.judgement.name else "")
    raise Conflict(
        f"Your review of {neuron} is version {version} by now: {said}, {current.reason[:80]!r}.",
        field="version",
        value="none" if given is None else given,
        remedy=f"Look at it, and give `version` {version} to replace it.",
    )
