"""The pages in a real browser: nothing from elsewhere, nothing against the policy, usable at every width and by all."""

from pathlib import Path

import pytest
from playwright.sync_api import Dialog

from service.db.jobs import move_job
from service.db.resources import save_inspection
from service.db.session import Sessions, transaction
from service.domain.jobs import JobStatus
from service.domain.resources import ResourceKind
from tests.pages.browser import WIDTHS, Look, Looker
from tests.pages.test_home import samples as samples  # noqa: PLC0414 - a fixture
from tests.pages.test_jobs import job_with
from tests.pages.test_new_job import LAYERS
from tests.usecases.factories import resource


@pytest.fixture
def addresses(sessions: Sessions) -> list[str]:
    """Every page, with something on it."""
    jobs = [job_with(sessions, status, f"net-{status}") for status in JobStatus]
    with transaction(sessions) as session:
        model = resource(session, ResourceKind.MODEL, "net", "7", checkpoint="/x", architecture="a", sha256="7")
        save_inspection(session, model.id, layers=LAYERS)
    parts = "model=net&dissector=reader&probe_set=probes&concept_set=words"
    return [
        "/ui",
        "/ui/words",
        "/ui/jobs",
        "/ui/jobs?status=failed",
        "/ui/jobs/new",
        f"/ui/jobs/new?{parts}&which=stages&top_k=10&review=1",
        *(f"/ui/jobs/{job}" for job in jobs),
    ]


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_every_page_fits_and_complains_of_nothing(look: Look, addresses: list[str], width: int) -> None:
    looker = look(width=width).sign_in()
    for address in addresses:
        looker.go(address)


def test_every_page_can_be_printed_and_has_no_serious_finding_of_axe(look: Look, addresses: list[str]) -> None:
    looker = look()
    looker.go("/ui/sign-in")
    looker.check_access()
    looker.sign_in()
    for address in addresses:
        looker.go(address)
        looker.check_access()
        looker.check_print()
    looker.go("/ui/nothing", status=404)
    looker.check_access()


def test_three_clicks_from_an_empty_service_to_a_dissection(look: Look, samples: Path) -> None:
    page = look().sign_in().page
    page.get_by_role("button", name="Dissect the samples").click()
    page.get_by_role("button", name="Continue").click()
    page.get_by_role("button", name="Start the dissection").click()
    page.wait_for_url("**/ui/jobs/*-*")
    assert page.get_by_role("heading", level=1).inner_text().startswith("general@1")


def test_a_job_is_followed_while_it_runs(look: Look, sessions: Sessions) -> None:
    job = job_with(sessions, JobStatus.RUNNING)
    looker = look().sign_in()
    page = looker.go(f"/ui/jobs/{job}")
    page.get_by_text("This page follows the job.").wait_for()
    with transaction(sessions) as session:
        assert move_job(session, job, JobStatus.SUCCEEDED, manifest={"device": "cpu"})
    page.locator("h1 .state-succeeded").wait_for()
    looker.check()


def test_what_ends_a_job_asks_first(look: Look, sessions: Sessions) -> None:
    job = job_with(sessions, JobStatus.QUEUED)
    page = look().sign_in().go(f"/ui/jobs/{job}")
    questions: list[str] = []

    def decline(dialog: Dialog) -> None:
        questions.append(dialog.message)
        dialog.dismiss()

    page.once("dialog", decline)
    page.get_by_role("button", name="Cancel").click()
    assert questions == ["Cancel this job? What has been done of it is lost."]
    assert page.locator("h1 .state-queued").is_visible()
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Cancel").click()
    page.locator("h1 .state-cancelled").wait_for()


def test_without_scripts_everything_works(look: Look, sessions: Sessions) -> None:
    job = job_with(sessions, JobStatus.QUEUED)
    page = look(scripts=False).sign_in().page
    page.goto(page.url + f"/jobs/{job}")
    page.get_by_role("link", name="Look again").click()
    page.get_by_role("button", name="Cancel").click()
    page.locator("h1 .state-cancelled").wait_for()
    page.get_by_role("link", name="Jobs", exact=True).first.click()
    page.get_by_label("Status").select_option("cancelled")
    page.get_by_role("button", name="Show").click()
    page.wait_for_url("**status=cancelled**")
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/ui/sign-in")


def test_the_keyboard_leads_everywhere(look: Look, sessions: Sessions) -> None:
    job_with(sessions, JobStatus.QUEUED)
    page = look().sign_in().go("/ui/jobs")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"
    page.keyboard.press("n")
    page.wait_for_url("**/ui/jobs/new")


def test_times_are_in_the_readers_zone(look: Look, sessions: Sessions) -> None:
    job_with(sessions, JobStatus.QUEUED)
    page = look().sign_in().go("/ui/jobs")
    moment = page.locator("time").first
    assert "UTC" in str(moment.get_attribute("title"))
    assert "UTC" not in moment.inner_text()


def refused(looker: Looker, key: str) -> str:
    page = looker.page
    page.goto(f"{looker.address}/ui/jobs?status=failed")
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Sign in").click()
    return page.get_by_role("alert").inner_text()


def test_after_a_wrong_key_the_right_one_leads_on(look: Look) -> None:
    looker = look()
    assert refused(looker, "wrong") == "That is no API key of this service."
    assert all("401" in complaint for complaint in looker.complaints)
    looker.page.get_by_label("API key").fill("open sesame")
    looker.page.get_by_role("button", name="Sign in").click()
    looker.page.wait_for_url("**/ui/jobs?status=failed")
