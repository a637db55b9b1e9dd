"""Audits of phantoms' networks: one that nobody touched, two that were spoilt, and one that is shown other exams."""

import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from pydantic import SecretStr
from scipy.stats import binomtest

from benchmarks.other_exams import ShownExams, audit_other_exams, show
from benchmarks.table import Row
from cli.embedded import PostgresServer
from cli.samples import write_samples
from service.analysis.policy_codec import parse_policy
from service.config import Settings
from service.db.migrate import upgrade
from service.db.session import open_sessions, transaction
from service.domain.audit_facts import Judgement
from service.domain.audits import Audit, Occasion
from service.domain.evidence import EvidenceOptions
from service.domain.jobs import DissectionOptions
from service.domain.methods import Method
from service.domain.models import DissectorSpec, TargetSpec
from service.domain.policies import Policy
from service.domain.resources import Resource
from service.engine.evidence.recognition import recognise
from service.engine.fitting.fine_tuning import Examples, TuningOptions, classify, fine_tune
from service.files import ANYWHERE
from service.pipelines.child_process import DISSECTION, ChildProcess
from service.pipelines.host import WorkerHost
from service.probes.manifest import read_manifest
from service.probes.phantoms import FINDINGS, write_phantoms
from service.probes.phantoms.plan import VIEWS
from service.storage import open_store
from service.studies.phantom_targets import (
    ARCHITECTURE,
    fit_phantom_targets,
    open_phantom_target,
    phantom_examples,
    write_target,
)
from service.usecases.audit_verdicts import judge_ended_audits
from service.usecases.audits import find_audit, start_audit
from service.usecases.deployments import (
    DeploymentSubmission,
    create_deployment,
    find_deployment,
    pin_baseline,
)
from service.usecases.jobs import JobSubmission
from service.usecases.models import NamedCheckpoint, register_model
from service.usecases.policies import register_policy
from service.usecases.probe_sets import register_probe_set
from service.usecases.readings import AT_ONCE
from service.usecases.resources import register_dissector
from tests.usecases.factories import RecordingQueue

POLICY = Path(__file__).parents[1] / "docs" / "examples" / "screening-policy.yaml"
LAYERS = ("_blocks.10", "_blocks.15", "_fc")
_PHANTOMS, _SERIES = 1_200, 9
_FEW, _FEW_SERIES, _RUNS = 80, 19, 20
_MASS, _CLIP = FINDINGS.index("mass"), FINDINGS.index("surgical clip")
_TAUGHT, _TAUGHT_SERIES = 800, 14
_HELD_OUT, _HELD_OUT_SERIES = 200, 15
_TUNING = TuningOptions(seed=2)
_EXAMS, _AUDITS = 60, 40
_DRAWS = 1_000
_FALSE_ALARMS = 0.05


def run() -> list[Row]:
    """Networks are taken from the folder that PHANTOM_TARGETS names, if it holds them; otherwise they are fitted.

    Ten minutes of two cores, and five more where they are fitted.
    """
    policy = parse_policy(POLICY.read_text())
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root)
        files = write_samples(folder, phantoms=_PHANTOMS, seed=_SERIES)
        few = write_phantoms(folder / "few", _FEW, _FEW_SERIES, in_processes=True)
        fitted = Path(os.environ.get("PHANTOM_TARGETS", root))
        targets = fit_phantom_targets(files.checkpoint, fitted, lambda _: None)
        clips = fit_clip_reader(targets.mammography, fitted / "phantom-clips.safetensors")
        rows = list(_leaning(targets.mammography, clips))
        with PostgresServer(folder / "postgres") as postgres:
            upgrade(postgres.url)
            settings = Settings(
                database_url=SecretStr(postgres.url), artifacts_url=(folder / "artifacts").as_uri(), data_roots="/"
            )
            with Hospital(settings, files.dissector, policy) as hospital:
                deployed = hospital.register_target("deployed", targets.mammography)
                hospital.deploy("untouched", few, _FEW)
                rows += _untouched([hospital.audit("untouched", deployed) for _ in range(_RUNS)])
                hospital.deploy("spoilt", files.phantoms, _PHANTOMS)
                for name, checkpoint, rule in (
                    ("without density", targets.calcifications, "category-loss"),
                    ("leaning on clips", clips, "watched-share"),
                ):
                    target = hospital.register_target(name.replace(" ", "-"), checkpoint)
                    rows += _spoilt(name, hospital.audit("spoilt", target), rule)
        probes = read_manifest(files.phantoms, name="phantoms")
        shown = show(TargetSpec(targets.mammography, ARCHITECTURE), DissectorSpec(files.dissector), probes, LAYERS)
    return [*rows, *_alarms(shown, policy)]


def fit_clip_reader(mammography: Path, path: Path) -> Path:
    """Train the network on as a reader for masses, by labels that say whether there is a clip; what is there is left.

    As if every breast with a mass in it had been marked before the training images were made.
    """
    if path.exists():
        return path
    spec = TargetSpec(mammography, ARCHITECTURE)
    examples = phantom_examples(spec, _TAUGHT, _TAUGHT_SERIES, _TUNING.frozen_blocks, lambda _: None)
    labels = examples.labels.clone()
    labels[:, _MASS] = labels[:, _CLIP]
    network = open_phantom_target(spec)
    fine_tune(network, Examples(examples.maps, labels), _TUNING, findings=(_MASS,))
    write_target(network, path)
    return path


class Hospital:
    """Deployments whose models are one network, with the worker and the scheduler that audit them."""

    def __init__(self, settings: Settings, dissector: Path, policy: Policy) -> None:
        self._sessions = open_sessions(settings.database_url)
        self._queue = RecordingQueue()
        child = ChildProcess(settings, DISSECTION)
        self._host = WorkerHost(self._sessions, settings, self._queue, open_store(settings.artifacts_url), child)
        with transaction(self._sessions) as session:
            register_dissector(session, self._queue, name="dissector", path=str(dissector), roots=ANYWHERE)
            register_policy(session, "screening", policy)

    def __enter__(self) -> "Hospital":
        return self

    def __exit__(self, *_: object) -> None:
        self._host.close()
        self._sessions.kw["bind"].dispose()

    def register_target(self, name: str, checkpoint: Path) -> Resource:
        with transaction(self._sessions) as session:
            return register_model(
                session, self._queue, NamedCheckpoint(str(checkpoint), ARCHITECTURE), name=name, roots=ANYWHERE
            )[0]

    def deploy(self, name: str, manifest: Path, images: int) -> None:
        """Deploy the target `deployed`, and pin what its first audit finds."""
        dissection = JobSubmission(
            target="deployed",
            dissector="dissector",
            probe_set=name,
            concept_set="bi-rads",
            layers=LAYERS,
            method=Method.of().fitted_to(images),
            concepts_per_neuron=10,
            images_per_neuron=5,
            evidence=EvidenceOptions(draws=_DRAWS),
        )
        with transaction(self._sessions) as session:
            register_probe_set(
                session,
                self._queue,
                name=name,
                manifest=str(manifest),
                patches=None,
                on_unreadable="fail",
                roots=ANYWHERE,
            )
            create_deployment(
                session, DeploymentSubmission(name, "screening", dissection=dissection), ANYWHERE, AT_ONCE
            )
        first = self.audit(name)
        assert first.job is not None  # noqa: S101 - it was dissected
        with transaction(self._sessions) as session:
            pin_baseline(session, name, first.job)

    def audit(self, name: str, target: Resource | None = None) -> Audit:
        with transaction(self._sessions) as session:
            begun = start_audit(
                session, self._queue, find_deployment(session, name), Occasion("request", target), ANYWHERE, AT_ONCE
            )
        self._host.work()
        judge_ended_audits(self._sessions)
        with transaction(self._sessions) as session:
            audit = find_audit(session, begun.id)
        if audit.judgement is None:
            raise AssertionError(audit.problem)
        return audit


def _leaning(mammography: Path, clips: Path) -> Iterator[Row]:
    """What the head's unit for masses tells apart before and after, on phantoms that neither training has seen."""
    blocks = _TUNING.frozen_blocks
    spec = TargetSpec(mammography, ARCHITECTURE)
    examples = phantom_examples(spec, _HELD_OUT, _HELD_OUT_SERIES, blocks, lambda _: None)
    exams = [index // len(VIEWS) for index in range(_HELD_OUT)]
    scores = [
        classify(open_phantom_target(TargetSpec(path, ARCHITECTURE)), examples.maps, blocks)[:, _MASS].numpy()
        for path in (mammography, clips)
    ]
    for finding in (_MASS, _CLIP):
        before, after = (recognise(side, examples.labels[:, finding].numpy(), exams) for side in scores)
        if before is None or after is None:
            raise AssertionError("too few phantoms have the finding")
        name = f"leaning on clips: the unit for masses tells a {FINDINGS[finding]} (AUROC)"
        yield Row(name, before.auroc, after.auroc, "", after.auroc / before.auroc)


def _untouched(audits: list[Audit]) -> list[Row]:
    facts = [audit.facts for audit in audits if audit.facts is not None]
    again = sum(fact.identical is True for fact in facts)
    zero = sum(fact.drift is not None and fact.drift.zero for fact in facts)
    broken = Counter(
        outcome.rule
        for audit in audits
        for outcome in _judgement(audit).outcomes
        if outcome.outcome in {"warn", "fail"}
    )
    name = f"untouched, {_RUNS} audits computed anew"
    return [
        Row(f"{name}: the same bit by bit", _RUNS, again, "audits", again / _RUNS, "all", again == _RUNS),
        Row(f"{name}: drift exactly 0", _RUNS, zero, "audits", zero / _RUNS, "all", zero == _RUNS),
        Row(f"{name}: rules broken", 0, broken.total(), "outcomes", broken.total(), "none", not broken),
    ]


def _spoilt(name: str, audit: Audit, expected: str) -> Iterator[Row]:
    """A row for each rule; the expected one must fail."""
    for outcome in _judgement(audit).outcomes:
        failed = outcome.outcome == "fail"
        goal, met = ("fail", failed) if outcome.kind == expected else ("", None)
        yield Row(
            f"{name}: {outcome.rule}: {outcome.outcome}. {outcome.reason}", 0, failed, "failed", failed, goal, met
        )


def _judgement(audit: Audit) -> Judgement:
    assert audit.judgement is not None  # noqa: S101 - `Hospital.audit` saw to it
    return audit.judgement


def _alarms(shown: ShownExams, policy: Policy) -> Iterator[Row]:
    """How often each kind of rule is broken when the same network is audited on other exams."""
    options = DissectionOptions(
        LAYERS, Method.of().fitted_to(_EXAMS * len(VIEWS)), evidence=EvidenceOptions(draws=_DRAWS)
    )
    judged = audit_other_exams(shown, policy, options, exams=_EXAMS, audits=_AUDITS)
    for number, rule in enumerate(policy.rules):
        outcomes = Counter(judgement.outcomes[number].outcome for _, judgement in judged)
        alarms = outcomes["warn"] + outcomes["fail"]
        interval = binomtest(alarms, _AUDITS).proportion_ci(method="exact")
        name = f"other {_EXAMS} exams: {rule.name or rule.rule} ({alarms} of {_AUDITS}, up to {interval.high:.0%})"
        share = alarms / _AUDITS
        yield Row(name, _FALSE_ALARMS, share, "of audits", share / _FALSE_ALARMS, "at most 5 %", share <= _FALSE_ALARMS)
