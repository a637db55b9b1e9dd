"""What there must be for every list of the API to have something to list, beside the parts of a job."""

from uuid import UUID

from service.analysis.policy_codec import policy_from
from service.db.deployments import NewDeployment, add_deployment
from service.db.jobs import get_job, parts_of
from service.db.session import Sessions, transaction
from service.domain.resources import ResourceKind
from service.usecases.policies import register_policy
from service.usecases.schedules import create_schedule
from tests.reports.examples import CONCEPTS, EVIDENCE, LAYERS, example_layers
from tests.schedules.field import DAILY
from tests.usecases.factories import dissected_job, resource

_IMAGES = 8
_POLICY = {"rules": [{"rule": "stability", "at_least": 0.5}]}
_LISTS = (
    "/models",
    "/dissectors",
    "/probe-sets",
    "/concept-sets",
    "/jobs",
    "/jobs/{job}/watch-list",
    "/jobs/{job}/ablations",
    "/jobs/{job}/reviews",
    "/neurons?job={job}",
    "/neurons/{layer}?job={job}",
    "/search?q=listed",
    "/comparisons",
    "/policies",
    "/deployments",
    "/deployments/listed/history",
    "/audits",
    "/schedules",
    "/schedules/listed/runs",
    "/alert-endpoints",
    "/alerts",
)


def lists_of(job: UUID) -> tuple[str, ...]:
    """The path of every list, where it needs one of what `register_listed` has registered."""
    return tuple(path.format(job=job, layer=LAYERS[0]) for path in _LISTS)


def register_listed(sessions: Sessions) -> UUID:
    """A dissection with neurons, a deployment with it as its baseline, and a schedule; the dissection's job."""
    layers = example_layers(units=100, images=_IMAGES)
    with transaction(sessions) as session:
        images = resource(session, ResourceKind.PROBE_SET, "listed", images=_IMAGES)
        job_id = dissected_job(
            session, layers, model="listed", evidence=EVIDENCE, probe_set=images, concept_set=CONCEPTS
        )
        policy, _ = register_policy(session, "listed", policy_from(_POLICY))
        job = get_job(session, job_id)
        assert job is not None  # noqa: S101 - it was made a moment ago
        new = NewDeployment(
            name="listed",
            parts=parts_of(session, job_id),
            request=job.request,
            policy=policy,
            baseline=job_id,
            registered_model=None,
            alert_budget=None,
        )
        add_deployment(session, new)
        create_schedule(session, name="listed", deployment="listed", terms=DAILY)
    return job_id
