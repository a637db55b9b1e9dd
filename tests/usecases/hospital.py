"""A deployed network, and the worker and scheduler that audit it."""

from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import timm
import torch
from pydantic import SecretStr
from safetensors.torch import save_file

from service.analysis.policy_codec import policy_from
from service.config import Settings
from service.db.session import Sessions, transaction
from service.domain.audits import Audit, Deployment, Occasion
from service.domain.evidence import EvidenceOptions
from service.domain.methods import Method
from service.domain.resources import Resource
from service.files import ANYWHERE
from service.pipelines.items import DissectionRunner
from service.usecases.audit_verdicts import judge_ended_audits
from service.usecases.audits import find_audit, start_audit
from service.usecases.deployments import DeploymentSubmission, create_deployment, find_deployment
from service.usecases.models import NamedCheckpoint, register_model
from service.usecases.policies import register_policy
from service.usecases.readings import AT_ONCE
from tests.engine.small_networks import ARCHITECTURE
from tests.pipelines.inline_child import inline_host
from tests.pipelines.small_jobs import SUBMISSION, submit, write_folder
from tests.usecases.factories import RecordingQueue

IMAGES = 44
DENSITY = ["a"] * 24 + ["b"] * 20
RULES = [
    {"rule": "significant-share", "at_least": 0.0},
    {"rule": "divergence", "at_most": 0.1},
    {"rule": "stability", "at_least": 0.0, "severity": "warn"},
]
SMALL = replace(
    SUBMISSION, method=Method.of(top_k=4), evidence=EvidenceOptions(draws=200, resamples=20, halves=4), shard_size=64
)


class Hospital:
    """A deployed network, and the worker and scheduler that audit it."""

    def __init__(self, sessions: Sessions, settings: Settings, folder: Path) -> None:
        self.sessions = sessions
        self.folder = folder
        self.queue = RecordingQueue()
        self._host = inline_host(sessions, settings, DissectionRunner(settings, sessions))
        self.baseline = submit(sessions, folder, evidence=SMALL.evidence, method=SMALL.method, shard_size=64).id
        self.work()

    def policy(self, name: str, *rules: dict[str, Any]) -> Resource:
        with transaction(self.sessions) as session:
            return register_policy(session, name, policy_from({"rules": list(rules or RULES)}))[0]

    def deploy(self, *, baseline: UUID | None = None, policy: str = "policy") -> Deployment:
        with transaction(self.sessions) as session:
            dissection = SMALL if baseline is None else None
            submission = DeploymentSubmission("east", policy, dissection=dissection, baseline=baseline)
            return create_deployment(session, submission, ANYWHERE, AT_ONCE)

    def register(self, name: str) -> Resource:
        with transaction(self.sessions) as session:
            checkpoint = str(self.folder / f"{name}.safetensors")
            return register_model(
                session, self.queue, NamedCheckpoint(checkpoint, ARCHITECTURE), name=name, roots=ANYWHERE
            )[0]

    def begin(self, target: Resource | None = None) -> Audit:
        with transaction(self.sessions) as session:
            return start_audit(
                session, self.queue, find_deployment(session, "east"), Occasion("request", target), ANYWHERE, AT_ONCE
            )

    def work(self) -> None:
        self._host.work()

    def finish(self, audit: Audit) -> Audit:
        self.work()
        judge_ended_audits(self.sessions)
        with transaction(self.sessions) as session:
            return find_audit(session, audit.id)

    def audit(self, target: Resource | None = None) -> Audit:
        return self.finish(self.begin(target))


@pytest.fixture
def hospital(sessions: Sessions, database_url: str, tmp_path: Path) -> Hospital:
    folder = write_folder(tmp_path, images=IMAGES, columns={"density": DENSITY})
    artifacts = (tmp_path / "artifacts").as_uri()
    return Hospital(
        sessions,
        Settings(database_url=SecretStr(database_url), device="cpu", artifacts_url=artifacts, data_roots="/"),
        folder,
    )


def other_network(folder: Path, name: str) -> None:
    torch.manual_seed(9)
    save_file(timm.create_model("test_resnet").state_dict(), folder / f"{name}.safetensors")
