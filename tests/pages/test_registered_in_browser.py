"""The pages of what is registered and audited, in a real browser."""

from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from service.db.session import Sessions, transaction
from service.domain.evidence import JobEvidence
from service.usecases.alerts import publish_alert
from tests.api.test_comparisons import jobs, layer
from tests.pages.audited import Dissect, baseline, client, deployed, dissect, start
from tests.pages.browser import WIDTHS, Look
from tests.pages.test_concept_sets import FIRST, SECOND
from tests.pages.test_deployments import SCHEDULE
from tests.pages.test_dissectors import SEEN, UNSEEN, WATCHED
from tests.pages.test_probe_sets import Work, manifest, work
from tests.usecases.factories import dissected_job

__all__ = ["baseline", "client", "deployed", "dissect", "jobs", "manifest", "work"]


@pytest.fixture
def addresses(
    client: TestClient,
    sessions: Sessions,
    jobs: list[str],
    deployed: str,
    dissect: Dissect,
) -> list[str]:
    """Every page, with something on it."""
    passed, failed = dissect(start(client), 0, 0, 1), dissect(start(client), 1, 1, 1)
    running = start(client)
    client.post("/schedules", json=SCHEDULE)
    client.post(
        "/alert-endpoints", json={"kind": "webhook", "name": "on-call", "url": "https://alerts.example.org/hook"}
    )
    for concepts in (FIRST, SECOND):
        client.post("/concept-sets", json={"name": "mine", "concepts": concepts})
    comparison = client.post("/comparisons", json={"jobs": jobs}).json()["id"]
    with transaction(sessions) as session:
        alert = publish_alert(session, "audit.failed", {"deployment": "east", "audit": failed["id"]}, subject="FAIL")
        evidence = JobEvidence("exam", 50, None, ("mass",), None, (SEEN, UNSEEN), watched=(WATCHED,))
        dissected_job(session, [layer("blocks.0", 0)], evidence=evidence)

    return [
        "/ui/deployments",
        "/ui/deployments/east",
        "/ui/fleet",
        "/ui/audits",
        *(f"/ui/audits/{audit['id']}" for audit in (passed, failed, running)),
        "/ui/alerts",
        f"/ui/alerts/msg_{alert.hex}",
        "/ui/comparisons",
        f"/ui/comparisons/{comparison}",
        f"/ui/comparisons/{comparison}?category=mass+margin",
        f"/ui/compare?job={jobs[0]}&job={jobs[1]}",
        "/ui/dissectors",
        "/ui/dissectors/reader",
        "/ui/concept-sets",
        "/ui/concept-sets/bi-rads",
        "/ui/concept-sets/mine@1?to=mine@2",
        "/ui/probe-sets",
        "/ui/probe-sets/probes",
    ]


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_every_page_fits_and_complains_of_nothing(look: Look, addresses: list[str], width: int) -> None:
    looker = look(width=width).sign_in()
    for address in addresses:
        looker.go(address)


def test_every_page_can_be_printed_and_has_no_serious_finding_of_axe(look: Look, addresses: list[str]) -> None:
    looker = look().sign_in()
    for address in addresses:
        looker.go(address)
        looker.check_access()
        looker.check_print()


def test_the_page_of_a_checked_probe_set(look: Look, client: TestClient, manifest: Path, work: Work) -> None:
    client.post("/probe-sets", json={"name": "checked", "manifest": str(manifest)})
    work()
    looker = look(width=360).sign_in()
    looker.go("/ui/probe-sets/checked")
    looker.check_access()
    looker.check_print()


def test_a_fail_is_acknowledged_and_its_alerts_are_silenced(look: Look, addresses: list[str]) -> None:
    looker = look(width=360).sign_in()
    page = looker.go("/ui/fleet")
    page.get_by_label("Last audit of east: fail").click()
    page.get_by_label("What is done about it").fill("The model is taken out of use")
    page.get_by_role("button", name="Acknowledge").click()
    page.get_by_text("The model is taken out of use").wait_for()
    looker.check()

    page.get_by_role("link", name="east", exact=True).click()
    page.get_by_label("For", exact=True).select_option("1 week")
    page.get_by_label("Why", exact=True).fill("The scanner is being serviced")
    page.get_by_role("button", name="Silence its alerts").click()
    page.get_by_text("The scanner is being serviced").wait_for()
    page.get_by_role("button", name="Let alerts sound again").click()
    page.get_by_role("button", name="Silence its alerts").wait_for()
    looker.check()


def test_dissections_are_compared_from_the_choice_to_the_neurons(look: Look, jobs: list[str]) -> None:
    looker = look(width=360).sign_in()
    page = looker.go("/ui/compare")
    for box in page.get_by_role("checkbox").all()[:2]:
        box.check()
    page.get_by_role("button", name="Choose those that are ticked").click()
    page.get_by_role("button", name="Compare these 2").click()
    page.wait_for_url("**/ui/comparisons/*")
    looker.check()

    page.get_by_label("neurons of mass margin in").first.click()
    neurons = page.locator("#behind a").first
    assert "/layers/blocks.0?category=mass+margin&significant=yes" in str(neurons.get_attribute("href"))
    looker.check()
