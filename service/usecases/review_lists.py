"""Draw neurons for readers to look at, and sum up what they say."""

from collections import Counter
from uuid import UUID

from sqlalchemy.orm import Session

from service.analysis.agreement_of_readers import LEAST_NEURONS
from service.analysis.review_summary import (
    Acceptance,
    ReviewSummary,
    agreement_of_pairs,
    measure_acceptance,
    most_drawn,
)
from service.db import review_draws, reviews
from service.domain.review_lists import Draw, WorkList
from service.usecases.evidence import evidence_of
from service.usecases.jobs import choose_job, find_job

_NO_PAIR = "No two readers have judged the same neuron without seeing each other's review."


def draw_work_list(session: Session, job_id: UUID, draw: Draw, *, reader: str, count: int, seed: int) -> WorkList:
    """Neurons for a reader to review: the first of the draw, without those that they have reviewed.

    Raises NotFound, and Conflict for a job without a result.
    """
    choose_job(session, job_id=job_id, model=None)
    return review_draws.draw_neurons(session, job_id, draw, reader=reader, count=count, seed=seed)


def sum_up_reviews(session: Session, job_id: UUID, *, caller: str, seed: int) -> ReviewSummary:
    """What readers say of a job's labels. seed: of the random draw that they went through.

    Raises NotFound, and Conflict for a job without a result.
    """
    choose_job(session, job_id=job_id, model=None)
    visible = reviews.reviewed_neurons(session, job_id, caller=caller)
    pairs = agreement_of_pairs(reviews.blind_judgements(session, job_id))
    standings = Counter(neuron.standing for neuron in visible if neuron.standing is not None)
    return ReviewSummary(
        decisions=reviews.count_decisions(session, job_id, caller=caller),
        standings=dict(standings),
        hidden=reviews.count_hidden(session, job_id, caller=caller),
        agreement=pairs,
        no_agreement=None if pairs else f"{_NO_PAIR} {LEAST_NEURONS} neurons are needed.",
        acceptance=_acceptance(session, job_id, seed),
    )


def _acceptance(session: Session, job_id: UUID, seed: int) -> Acceptance:
    judged = reviews.judged_neurons(session, job_id)
    order = review_draws.random_named(session, job_id, seed=seed, limit=most_drawn(len(judged))) if judged else []
    evidence = evidence_of(find_job(session, job_id))
    return measure_acceptance(order, judged, None if evidence is None else evidence.verdicts, seed=seed)
