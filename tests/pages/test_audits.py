"""Audits: their verdicts, and what can be done with them."""

from uuid import UUID, uuid4

import pytest
from fastapi.testclient import TestClient

from service.db.session import Sessions, transaction
from service.domain.audits import Occasion
from service.errors import Conflict
from service.usecases.audits import refuse_audit
from service.usecases.deployments import find_deployment
from tests.api.changing_calls import trail
from tests.pages.audited import Dissect, baseline, client, deployed, dissect, start
from tests.pages.visitor import Visitor, check_page, words_of

__all__ = ["baseline", "client", "deployed", "dissect"]


def test_no_audit_yet(visitor: Visitor) -> None:
    assert "No deployed model has been audited yet." in visitor.words("/ui/audits")


def test_audits_are_listed_and_filtered(visitor: Visitor, client: TestClient, deployed: str, dissect: Dissect) -> None:
    passed, failed = dissect(start(client), 0, 0, 1), dissect(start(client), 1, 1, 1)
    everything = visitor.get("/ui/audits")
    assert passed["id"] in everything
    assert failed["id"] in everything
    only = visitor.get("/ui/audits?deployment=east&verdict=fail")
    assert failed["id"] in only
    assert passed["id"] not in only
    assert "No audit is like that." in visitor.words("/ui/audits?verdict=warn")
    assert passed["id"] in visitor.get("/ui/audits?verdict=nonsense")
    assert "There is no deployment" in visitor.words("/ui/audits?deployment=none", 404)


def test_a_verdict_with_the_figures_of_every_rule(
    visitor: Visitor, client: TestClient, deployed: str, dissect: Dissect
) -> None:
    failed = dissect(start(client), 1, 1, 1)
    html = visitor.get(f"/ui/audits/{failed['id']}")
    words = words_of(html)
    assert "Audit of east: FAIL" in words
    for outcome in failed["outcomes"]:
        assert outcome["rule"] in words
        assert outcome["reason"] in words
    assert "missing spiculated mass" in words, "the figures of a rule"
    assert "at least 50 % of the live neurons have a significant label" in words
    assert "mass margin" in words
    for part in ("report", "model-card", "evidence-map"):
        assert f'href="/audits/{failed["id"]}/{part}"' in html
    comparison = failed["facts"]["drift"]["comparison"]
    assert f'href="/ui/comparisons/{comparison}"' in html
    assert "Nobody has acknowledged this audit yet." in words


def test_a_running_audit_shows_what_it_waits_for_and_can_be_cancelled(
    visitor: Visitor, client: TestClient, deployed: str, sessions: Sessions
) -> None:
    audit = start(client)
    path = f"/ui/audits/{audit['id']}"
    html = visitor.get(path)
    assert f'href="/ui/jobs/{audit["job"]}"' in html
    assert "a neuron for each of: spiculated mass" in words_of(html)

    early = visitor.send(f"{path}/acknowledge", {"by": "anna", "reason": "seen"})
    assert early.status_code == 409
    check_page(early)
    answer = visitor.send(f"{path}/cancel")
    assert (answer.status_code, answer.headers["location"]) == (303, path)
    assert trail(sessions)[-1].action == "POST /ui/audits/{audit_id}/cancel"
    assert "no verdict" in visitor.words(path)
    assert visitor.send(f"{path}/cancel").status_code == 409


def test_an_audit_that_could_not_be_carried_out(visitor: Visitor, deployed: str, sessions: Sessions) -> None:
    with transaction(sessions) as session:
        problem = Conflict("The checkpoint is <gone>.", remedy="Put it back.")
        audit = refuse_audit(session, find_deployment(session, "east"), Occasion("request"), problem)
    html = visitor.get(f"/ui/audits/{audit.id}")
    assert "The checkpoint is &lt;gone&gt;. Put it back." in html
    assert "That is not a pass." in words_of(html)
    assert "error" in visitor.words("/ui/fleet")
    assert "1 audit of east" in visitor.get("/ui/fleet")


def test_a_verdict_is_acknowledged_once_under_the_name_of_whoever_signed_in(
    visitor: Visitor, client: TestClient, deployed: str, dissect: Dissect, sessions: Sessions
) -> None:
    audit = dissect(start(client), 1, 1, 1)
    path = f"/ui/audits/{audit['id']}"
    seen = {"by": "medical <i>physics</i>", "reason": "the model is taken out of use"}
    answer = visitor.send(f"{path}/acknowledge", seen)
    assert (answer.status_code, answer.headers["location"]) == (303, path)
    noted = client.get(f"/audits/{audit['id']}").json()["acknowledgement"]
    assert (noted["by"], noted["reason"]) == (seen["by"], seen["reason"])
    entry = trail(sessions)[-1]
    assert (entry.actor, entry.action, entry.subject) == ("api", "POST /ui/audits/{audit_id}/acknowledge", path)
    html = visitor.get(path)
    assert "medical &lt;i&gt;physics&lt;/i&gt;" in html
    assert "/acknowledge" not in html

    again = visitor.send(f"{path}/acknowledge", seen)
    assert again.status_code == 409
    check_page(again)


@pytest.mark.parametrize(("by", "reason"), [("", "seen"), ("anna", ""), ("anna", "x" * 2_001)])
def test_an_acknowledgement_without_name_or_reason_is_refused(
    visitor: Visitor, client: TestClient, deployed: str, dissect: Dissect, by: str, reason: str
) -> None:
    audit = dissect(start(client), 1, 1, 1)
    answer = visitor.send(f"/ui/audits/{audit['id']}/acknowledge", {"by": by, "reason": reason})
    assert answer.status_code == 422
    check_page(answer)
    assert client.get(f"/audits/{audit['id']}").json()["acknowledgement"] is None


@pytest.mark.parametrize("action", ["acknowledge", "cancel", "baseline"])
def test_forms_without_the_sessions_token_are_refused(
    visitor: Visitor, client: TestClient, deployed: str, action: str
) -> None:
    audit = start(client)
    answer = visitor.client.post(f"/ui/audits/{audit['id']}/{action}", data={"by": "anna", "reason": "seen"})
    assert answer.status_code == 403
    assert client.get(f"/audits/{audit['id']}").json()["status"] == "running"


def test_the_dissection_of_an_audit_becomes_the_baseline(
    visitor: Visitor, client: TestClient, deployed: str, dissect: Dissect, sessions: Sessions
) -> None:
    audit = dissect(start(client), 0, 1, 1)
    answer = visitor.send(f"/ui/audits/{audit['id']}/baseline")
    assert (answer.status_code, answer.headers["location"]) == (303, "/ui/deployments/east")
    assert client.get("/deployments/east").json()["baseline"] == audit["job"]
    assert trail(sessions)[-1].action == "POST /ui/audits/{audit_id}/baseline"


def test_what_is_not_there_is_a_page(visitor: Visitor) -> None:
    for path in (f"/ui/audits/{uuid4()}", f"/ui/audits/{UUID(int=0)}"):
        assert "There is no audit" in visitor.words(path, 404)
    visitor.get("/ui/audits/nonsense", 422)
    visitor.get("/ui/audits?cursor=nonsense", 422)
    assert visitor.send(f"/ui/audits/{uuid4()}/cancel").status_code == 404
