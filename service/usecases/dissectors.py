"""What a dissector sees, as far as its dissections tell."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from service.db.jobs import newest_results_of_dissector
from service.domain.evidence import Qualification
from service.domain.jobs import Job
from service.domain.resources import Resource
from service.usecases.evidence import evidence_of

_LOOKED_AT = 10
_MOST_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Sight:
    """Which concepts a dissector could tell in one dissection."""

    job: Job
    qualifications: tuple[Qualification, ...]
    watched: tuple[Qualification, ...]


def what_it_sees(session: Session, dissector: Resource) -> list[Sight]:
    """By its newest dissections, one for each pair of probe set and concept set, up to three."""
    sights: dict[tuple[str, str], Sight] = {}
    for job in newest_results_of_dissector(session, dissector.id, limit=_LOOKED_AT):
        evidence = evidence_of(job)
        shown_with = (job.request.probe_set, job.request.concept_set)
        if evidence is None or shown_with in sights:
            continue

        sights[shown_with] = Sight(job, evidence.qualifications, evidence.watched or ())
        if len(sights) == _MOST_SHOWN:
            break
    return list(sights.values())
