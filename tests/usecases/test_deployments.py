"""Deployments that could never be audited are refused beforehand."""

from typing import Any

import pytest

from service.db.session import transaction
from service.domain.methods import Method
from service.errors import Conflict, InvalidInput, InvalidPolicy, NotFound
from service.files import ANYWHERE
from service.usecases.deployments import DeploymentSubmission, create_deployment, find_deployment, pin_baseline
from service.usecases.readings import AT_ONCE
from tests.pipelines.small_jobs import submit
from tests.usecases.hospital import Hospital


def test_a_baseline_that_differs_in_method_is_refused_by_name(hospital: Hospital) -> None:
    hospital.policy("policy")
    hospital.deploy()
    job = submit(hospital.sessions, hospital.folder, method=Method.of(top_k=5), shard_size=64)
    hospital.work()
    with transaction(hospital.sessions) as session, pytest.raises(Conflict, match="options") as error:
        pin_baseline(session, "east", job.id)
    assert error.value.field == "options"


def test_a_policy_that_could_never_be_applied_is_refused_beforehand(hospital: Hospital) -> None:
    bad: list[tuple[dict[str, Any], str]] = [
        ({"rule": "required-concepts", "concepts": ["mass", "calcificaton"]}, "policy.rules.0.concepts.1"),
        ({"rule": "required-categories", "categories": ["kinds"]}, "policy.rules.0.categories.0"),
        ({"rule": "category-loss", "at_most": 0.1, "categories": ["beauty"]}, "policy.rules.0.categories.0"),
        ({"rule": "stability", "at_least": 0.1, "by": "devise"}, "policy.rules.0.by"),
        ({"rule": "stability", "at_least": 0.1, "by": "density", "least_exams": 25}, "policy.rules.0.least_exams"),
        ({"rule": "watched-share", "at_most": 0.1}, "policy.rules.0"),
    ]
    for rule, field in bad:
        hospital.policy("policy", rule)
        with pytest.raises(InvalidPolicy) as error:
            hospital.deploy(baseline=hospital.baseline)
        assert error.value.field == field


def test_bad_deployments_are_refused(hospital: Hospital) -> None:
    hospital.policy("policy")
    hospital.deploy(baseline=hospital.baseline)
    with pytest.raises(Conflict, match="already"):
        hospital.deploy(baseline=hospital.baseline)
    with pytest.raises(NotFound, match="policy 'none'"):
        hospital.deploy(baseline=hospital.baseline, policy="none")
    queued = submit(hospital.sessions, hospital.folder, shard_size=64)
    with pytest.raises(Conflict, match="no result"):
        hospital.deploy(baseline=queued.id)
    with transaction(hospital.sessions) as session, pytest.raises(InvalidInput, match="Say how"):
        create_deployment(session, DeploymentSubmission("w", "policy"), ANYWHERE, AT_ONCE)
    with transaction(hospital.sessions) as session, pytest.raises(NotFound, match="Near matches: east"):
        find_deployment(session, "eats")
