"""Reports on audits, their signatures, and what is written from them."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from api.dependencies import SessionDep, SettingsDep
from api.one_thread import LongReadingRoute
from api.report_answers import (
    HTML,
    JSON,
    REPORTS,
    AcceptHeader,
    FormatQuery,
    choose_format,
    json_answer,
    named,
    page_answer,
)
from api.tags import tag
from service.domain.audits import AuditStatus
from service.domain.json_values import StoredJson
from service.errors import Conflict
from service.reports.audit import audit_html, audit_json
from service.reports.evidence_map import evidence_map_json, evidence_map_markdown, map_evidence, read_mapping
from service.reports.model_card import model_card
from service.signatures import ALGORITHM, SigningKey
from service.usecases.audit_reports import read_audit_report
from service.usecases.audits import find_audit

router = APIRouter(prefix="/audits", tags=["reports"], route_class=LongReadingRoute)

_MARKDOWN = "text/markdown"
_MAPS: dict[int | str, StoredJson] = {200: {"content": {JSON: {}, _MARKDOWN: {}}}}


class SignatureOut(BaseModel):
    """A detached signature of a report's JSON. Keep the file as it is: it is verified byte for byte."""

    algorithm: str = Field(examples=[ALGORITHM])
    key_id: str = Field(description="SHA-256 of the raw public key that verifies it; see GET /signing-key.")
    sha256: str = Field(description="SHA-256 of the report's JSON.")
    signature: str = Field(description="Ed25519 signature of the report's JSON, in base64.")


@router.get("/{audit_id}/report", response_class=Response, responses=REPORTS)
def read_report(
    audit_id: UUID, session: SessionDep, request: Request, form: FormatQuery = None, accept: AcceptHeader = HTML
) -> Response:
    """The report on an audit that has ended: one HTML file that needs nothing else, PDF, or the JSON that is signed.

    The JSON is the same byte for byte until somebody acknowledges the audit or the service is upgraded.
    """
    audit = find_audit(session, audit_id)
    if audit.status is not AuditStatus.RUNNING:
        tag(request, audit_id, audit.status, audit.acknowledgement)
    report = read_audit_report(session, audit_id)
    chosen_form = choose_format(form, accept)
    if chosen_form == "json":
        return json_answer(audit_json(report))
    return page_answer(session, audit_html(report), f"audit-{audit_id}", chosen_form)


@router.get("/{audit_id}/report/signature", response_class=Response, responses={200: {"model": SignatureOut}})
def sign_report(audit_id: UUID, session: SessionDep, request: Request) -> Response:
    """The detached signature of the report's JSON. Check it with `mammodissect verify` or openssl."""
    key: SigningKey | None = request.app.state.signing_key
    document = audit_json(read_audit_report(session, audit_id))
    if key is None:
        raise Conflict(
            "This service has no signing key, so the report is not signed.",
            field="signing_key",
            remedy="Make one with `openssl genpkey -algorithm ed25519 -out FILE`, set SIGNING_KEY to that file and "
            "restart the API.",
        )

    headers = named(f"audit-{audit_id}.signature.json", "inline")
    return Response(key.sign(document).as_bytes(), media_type=JSON, headers=headers)


@router.get("/{audit_id}/model-card", response_class=Response, responses={200: {"content": {_MARKDOWN: {}}}})
def read_model_card(audit_id: UUID, session: SessionDep) -> Response:
    """A model card in Markdown: what the audit measured, with gaps for what only the deployer knows."""
    card = model_card(read_audit_report(session, audit_id))
    return _markdown(card, f"model-card-{audit_id}.md")


@router.get("/{audit_id}/evidence-map", response_class=Response, responses=_MAPS)
def read_evidence_map(
    audit_id: UUID,
    session: SessionDep,
    settings: SettingsDep,
    request: Request,
    form: Annotated[Literal["json", "markdown"], Query(alias="format")] = "json",
) -> Response:
    """Which evidence of the audit relates to which item of regulations and standards. It does not claim compliance."""
    key: SigningKey | None = request.app.state.signing_key
    mapping = read_mapping(settings.evidence_map_path)
    report = read_audit_report(session, audit_id)
    evidence_map = map_evidence(report, mapping, key_id=None if key is None else key.public.key_id)
    if form == "json":
        return json_answer(evidence_map_json(evidence_map))

    return _markdown(evidence_map_markdown(evidence_map), f"evidence-map-{audit_id}.md")


def _markdown(text: str, name: str) -> Response:
    return Response(text, media_type=_MARKDOWN, headers=named(name, "inline"))
