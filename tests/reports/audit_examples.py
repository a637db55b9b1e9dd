"""An audit that failed, with everything that a report can say, and the audit before it, which had little to say."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from service.analysis.policy_codec import policy_from
from service.analysis.verdict import judge
from service.domain.audit_facts import AuditFacts, CategoryChange, Drift, NetworkFacts, StratumFacts
from service.domain.audits import Acknowledgement, Audit, AuditStatus, StratumJob
from service.domain.comparisons import Measured
from service.domain.resources import Resource, ResourceKind
from service.reports.audit import AuditParts, BaselineLine

BASELINE = UUID("0199f2c1-0000-7000-8000-00000000000b")
MANIFEST: dict[str, Any] = {
    "target": {"architecture": "mammo-clip/b5", "sha256": "5f" * 32, "preprocessing": "a1" * 32, "shuffled": None},
    "probe_set": {"digest": "c3" * 32, "images": "d4" * 32},
    "layers": ["_blocks.10", "_blocks.15"],
    "images_used": 2048,
    "rows_skipped": [],
    "versions": {"service": "0.1.0", "torch": "2.14.0"},
}
Rules = list[dict[str, Any]]
RULES: Rules = [
    {"rule": "significant-share", "at_least": 0.3},
    {"rule": "required-concepts", "concepts": ["spiculated mass", "milk of calcium"], "name": "what it must see"},
    {"rule": "significant-share", "at_least": 0.2, "by": "density", "least_exams": 20},
    {"rule": "category-loss", "at_most": 0.25},
    {"rule": "watched-share", "at_most": 0.05, "above_baseline": True, "severity": "warn"},
    {"rule": "divergence", "at_most": 0.1},
]

PASSED_NETWORK = NetworkFacts(
    refused=None,
    units=512,
    live=500,
    significant=230,
    stability=0.81,
    concepts={"spiculated mass": 12, "clustered calcification": 31},
    categories={"mass margin": 40, "calcification morphology": 90, "breast density": 60},
    unseen={"milk of calcium": "untestable"},
    responses=(("surgical clip",),) * 10,
    halves=2,
    watched_halves={"surgical clip": ((5, 5), (5, 6))},
)
FAILED_NETWORK = replace(
    PASSED_NETWORK,
    significant=171,
    stability=0.74,
    concepts={"clustered calcification": 44},
    categories={"mass margin": 3, "calcification morphology": 104, "breast density": 41},
    responses=(("surgical clip",),) * 48,
)


def _drift(*gains: float) -> Drift:
    names = (("mass margin", 40), ("calcification morphology", 90), ("breast density", 60))
    changes = tuple(
        CategoryChange(name, before, gain, gain - 5.0, gain + 5.0, 9.0, abs(gain) > 9.0)
        for (name, before), gain in zip(names, gains, strict=True)
    )
    moved = any(gains)
    return Drift(
        UUID(int=7),
        changes,
        Measured(0.14 if moved else 0.0, 0.02, moved),
        Measured(0.43 if moved else 0.0, 0.11, moved),
        unpaired=60 if moved else 0,
        unshared=(),
    )


STRATA = {
    "density": (
        StratumFacts("a", 12, None, "12 exams, and at least 20 are wanted."),
        StratumFacts("b", 210, replace(FAILED_NETWORK, significant=160)),
        StratumFacts("d", 64, replace(FAILED_NETWORK, significant=41)),
    )
}
FAILED_FACTS = AuditFacts(FAILED_NETWORK, baseline=PASSED_NETWORK, drift=_drift(-37.0, 14.0, -19.0), strata=STRATA)
PASSED_FACTS = AuditFacts(
    PASSED_NETWORK,
    same_network=True,
    identical=True,
    baseline=PASSED_NETWORK,
    drift=_drift(0.0, 0.0, 0.0),
    strata={"density": tuple(replace(one, network=one.network and PASSED_NETWORK) for one in STRATA["density"])},
)


def registered(kind: ResourceKind, name: str, version: int, digest: str) -> Resource:
    return Resource(UUID(int=1), kind, name, version, digest * 32, {}, datetime(2026, 2, 20, 8, tzinfo=UTC))


def example_audit(facts: AuditFacts | None = FAILED_FACTS, rules: Rules = RULES, **changes: Any) -> Audit:
    """An audit of `screening-b5@4`, judged by the rules."""
    policy = policy_from({"rules": rules, "description": changes.pop("description", "")})
    audit = Audit(
        id=UUID("0199f2c1-0000-7000-8000-0000000000a2"),
        deployment="screening-east",
        trigger="schedule",
        schedule=UUID("0199f2c1-0000-7000-8000-00000000005c"),
        fire_time=datetime(2026, 3, 9, 2, tzinfo=UTC),
        target=registered(ResourceKind.MODEL, "screening-b5", 4, "5e"),
        candidate=False,
        policy=policy,
        policy_reference="screening@2",
        policy_digest="f6" * 32,
        baseline=BASELINE,
        job=UUID("0199f2c1-0000-7000-8000-00000000000a"),
        strata=(StratumJob("density", "a", 12, None, "12 exams, and at least 20 are wanted."),),
        status=AuditStatus.ERROR if facts is None else AuditStatus.JUDGED,
        facts=facts,
        judgement=None if facts is None else judge(policy, facts),
        problem=None,
        acknowledgement=Acknowledgement(
            "Medical physics", "The version is taken out of use.", datetime(2026, 3, 9, 9, 15, tzinfo=UTC)
        ),
        created_at=datetime(2026, 3, 9, 2, 0, 4, tzinfo=UTC),
        finished_at=datetime(2026, 3, 9, 2, 41, 30, tzinfo=UTC),
    )
    return replace(audit, **changes)


def earlier_audit() -> Audit:
    """The audit before, of the baseline's own network."""
    return example_audit(
        PASSED_FACTS,
        id=UUID("0199f2c1-0000-7000-8000-0000000000a1"),
        target=registered(ResourceKind.MODEL, "screening-b5", 3, "4d"),
        finished_at=datetime(2026, 3, 2, 2, 38, tzinfo=UTC),
    )


def example_parts(**changes: Any) -> AuditParts:
    parts = AuditParts(
        resources=(
            ("target", registered(ResourceKind.MODEL, "screening-b5", 4, "5e")),
            ("dissector", registered(ResourceKind.DISSECTOR, "own-reports", 2, "b2")),
            ("probe set", registered(ResourceKind.PROBE_SET, "archive-2025", 1, "c3")),
            ("concept set", registered(ResourceKind.CONCEPT_SET, "bi-rads", 1, "e5")),
        ),
        policy=registered(ResourceKind.POLICY, "screening", 2, "f6"),
        baseline=BaselineLine(BASELINE, "screening-b5@3", "4d" * 32, datetime(2026, 2, 21, 8, tzinfo=UTC)),
        manifest=MANIFEST,
    )
    return replace(parts, **changes)
