"""Where the pages on results are: the only place that knows how layers, neurons and concepts stand in an address."""

from urllib.parse import quote, urlencode
from uuid import UUID

from fastapi import Request


def model(reference: str, **query: object) -> str:
    """A model, in one version or its newest."""
    return f"/ui/models/{quote(reference, safe='@')}{_asking(query)}"


def job(job_id: UUID) -> str:
    """A job."""
    return f"/ui/jobs/{job_id}"


def layers(job_id: UUID) -> str:
    """The layers of a job."""
    return f"/ui/jobs/{job_id}/layers"


def layer(job_id: UUID, name: str, **query: object) -> str:
    """A layer of a job. query: the filters of its page."""
    return f"/ui/jobs/{job_id}/layers/{quote(name, safe='')}{_asking(query)}"


def neuron(job_id: UUID, layer_name: str, unit: int, **query: object) -> str:
    """A neuron. query: `next`, the page that follows its review."""
    return f"/ui/jobs/{job_id}/neurons/{quote(layer_name, safe='')}/{unit}{_asking(query)}"


def review_of_neuron(job_id: UUID, layer_name: str, unit: int) -> str:
    """Where a review of a neuron is sent."""
    return f"{neuron(job_id, layer_name, unit)}/review"


def reviews(job_id: UUID, **query: object) -> str:
    """What readers say of a job's labels. query: which neurons its work list draws."""
    return f"/ui/jobs/{job_id}/reviews{_asking(query)}"


def next_review(job_id: UUID, **query: object) -> str:
    """The next neuron of a work list. query: the list, and the place to go on at."""
    return f"/ui/jobs/{job_id}/reviews/next{_asking(query)}"


def concepts(job_id: UUID | None = None, **query: object) -> str:
    """The concepts that a job's neurons are labelled with."""
    return f"/ui/concepts{_asking({'job': job_id, **query})}"


def concept(text: str, job_id: UUID | None = None, **query: object) -> str:
    """A concept: who knows it."""
    return f"/ui/concepts/concept{_asking({'name': text, 'job': job_id, **query})}"


def category(name: str, job_id: UUID | None = None, **query: object) -> str:
    """A category or broad category of concepts."""
    return f"/ui/concepts/category{_asking({'name': name, 'job': job_id, **query})}"


def coverage(job_id: UUID) -> str:
    """The coverage of a job."""
    return f"/ui/jobs/{job_id}/coverage"


def watch_list(job_id: UUID) -> str:
    """The watch-list of a job."""
    return f"/ui/jobs/{job_id}/watch-list"


def search(**query: object) -> str:
    """The search. query: `q`, or what neurons are to be near to: `neuron=JOB/LAYER/UNIT` or `image=JOB/ROW`."""
    return f"/ui/search{_asking(query)}"


def with_query(request: Request, **changes: object) -> str:
    """This page with some of its query exchanged, from its first page on; None takes a parameter away."""
    kept = [(name, value) for name, value in request.query_params.multi_items() if name not in {"cursor", *changes}]
    asked = [(name, value) for name, value in kept if value != ""]
    asked += [(name, str(value)) for name, value in changes.items() if value is not None]
    path = quote(request.scope["path"])
    return f"{path}?{urlencode(asked)}" if asked else path


def _asking(query: dict[str, object]) -> str:
    given = {name: value for name, value in query.items() if value is not None}
    return f"?{urlencode(given)}" if given else ""
