"""Reports on audits, from what is stored of them."""

from uuid import UUID

from sqlalchemy.orm import Session

from service.db.audits import last_judged
from service.db.deployments import parts_of_deployment
from service.db.jobs import parts_of
from service.domain.audits import Audit, AuditStatus
from service.domain.json_values import JsonObject
from service.domain.resources import ResourceKind
from service.errors import Conflict
from service.reports.audit import AuditParts, AuditReport, BaselineLine, report_audit
from service.reports.audit_figures import in_utc
from service.usecases.audits import find_audit
from service.usecases.deployments import find_deployment
from service.usecases.jobs import find_job
from service.usecases.resources import find_resource


def read_audit_report(session: Session, audit_id: UUID) -> AuditReport:
    """The report on an audit that has ended. Raises NotFound, and Conflict while the audit is running.

    It is compared with the last audit that had been judged when this one began, so that no audit that ends later
    changes what the report says.
    """
    audit = find_audit(session, audit_id)
    if audit.status is AuditStatus.RUNNING:
        raise Conflict(
            f"Audit {audit_id} is running, so it has no report yet.",
            field="audit",
            value=audit_id,
            remedy=f"Wait until GET /audits/{audit_id} says that it is judged.",
        )

    parts = _parts(session, audit)
    earlier_audit = last_judged(session, audit.deployment, audit.created_at)
    return report_audit(audit, parts, earlier_audit)


def _parts(session: Session, audit: Audit) -> AuditParts:
    if audit.job is not None:
        parts = parts_of(session, audit.job)
    else:  # it could not begin, and a deployment's other parts never change
        parts = parts_of_deployment(session, find_deployment(session, audit.deployment).id)

    return AuditParts(
        resources=(
            ("target", audit.target),
            ("dissector", parts.dissector),
            ("probe set", parts.probe_set),
            ("concept set", parts.concept_set),
        ),
        policy=find_resource(session, ResourceKind.POLICY, audit.policy_reference, field="policy"),
        baseline=None if audit.baseline is None else _baseline(session, audit.baseline),
        manifest=_manifest(session, audit),
    )


def _baseline(session: Session, job_id: UUID) -> BaselineLine:
    target = parts_of(session, job_id).target
    finished_at = in_utc(find_job(session, job_id).finished_at)
    return BaselineLine(job_id, target.reference, target.digest, finished_at)


def _manifest(session: Session, audit: Audit) -> JsonObject | None:
    """Only of an audit that was judged: a failed dissection may be tried again after the audit has ended."""
    if audit.job is None or audit.status is not AuditStatus.JUDGED:
        return None
    manifest = find_job(session, audit.job).manifest or {}
    return {name: value for name, value in manifest.items() if name != "evidence"}
