"""The pages on results in a real browser, and the way of somebody who has never seen them."""

from uuid import UUID

import pytest

from service.db.session import Sessions, transaction
from tests.pages.browser import WIDTHS, Look
from tests.pages.results import EARLY, LATE, bare_dissection, jpeg, stored_dissection


@pytest.fixture
def job(sessions: Sessions) -> UUID:
    with transaction(sessions) as session:
        bare_dissection(session)
        return stored_dissection(session)


@pytest.fixture(autouse=True)
def _no_worker_is_awaited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.pages.pictures._WAIT_S", 0)


@pytest.fixture
def addresses(job: UUID) -> list[str]:
    """Every page on results, with something on it."""
    return [
        "/ui/models",
        "/ui/models/screening@1",
        "/ui/models/bare",
        f"/ui/jobs/{job}/layers",
        f"/ui/jobs/{job}/layers/{LATE}",
        f"/ui/jobs/{job}/layers/{LATE}?view=table&min_score=x",
        f"/ui/jobs/{job}/layers/{LATE}?min_score=99",
        f"/ui/jobs/{job}/neurons/{LATE}/1",
        f"/ui/jobs/{job}/neurons/{EARLY}/1",
        "/ui/concepts",
        "/ui/concepts?q=calcifications",
        f"/ui/concepts/concept?name=clustered+calcification&job={job}",
        f"/ui/concepts/category?name=findings&job={job}",
        f"/ui/jobs/{job}/coverage",
        f"/ui/jobs/{job}/watch-list",
        f"/ui/search?neuron={job}/{LATE}/0",
        f"/ui/search?q={job}/{LATE}/0&verdict=named",
        f"/ui/search?q={job}",
        f"/ui/jobs/{job}/reviews",
        f"/ui/jobs/{job}/neurons/{LATE}/0?next=/ui/jobs/{job}/reviews",
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


def test_which_neurons_react_to_calcifications_and_what_do_they_look_at(look: Look, job: UUID) -> None:
    """Four steps after the sign-in: docs/pages.md says so."""
    looker = look().sign_in()
    page = looker.page
    page.get_by_role("navigation", name="Main").get_by_role("link", name="Models").click()
    page.get_by_role("link", name="screening@1").click()
    page.get_by_label("Which neurons react to").fill("calcifications")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Neurons that react to").wait_for()
    cards = page.locator(".card.neuron")
    assert cards.count() == 3
    assert "clustered calcification" in cards.first.inner_text()
    cards.first.get_by_role("link").first.click()
    page.wait_for_url(f"**/ui/jobs/{job}/neurons/{LATE}/0")
    picture = page.locator(".pictures.large img").first
    picture.scroll_into_view_if_needed()
    assert picture.evaluate("(image) => image.decode().then(() => image.naturalWidth)") == 100
    assert page.locator("svg[aria-label*='drives the activation']").first.is_visible()
    looker.check()


def test_the_box_finds_a_neuron_and_its_like(look: Look, job: UUID) -> None:
    looker = look().sign_in()
    page = looker.page
    page.keyboard.press("/")
    page.keyboard.type(f"{job}/{LATE}/0")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Neurons nearest to unit 0").wait_for()
    assert page.get_by_role("region", name="Nearest neurons").locator("tbody tr").count() == 4
    page.get_by_label("Verdict", exact=True).select_option("unnamed")
    page.get_by_role("button", name="Filter").click()
    page.wait_for_url("**verdict=unnamed**")
    page.get_by_role("link", name=f"{LATE}, unit 3").click()
    page.wait_for_url(f"**/ui/jobs/{job}/neurons/{LATE}/3")
    looker.check()


def test_filters_work_without_scripts(look: Look, job: UUID) -> None:
    page = look(scripts=False).sign_in().go(f"/ui/jobs/{job}/layers/{LATE}?view=table")
    page.get_by_label("Verdict", exact=True).select_option("named")
    page.get_by_role("button", name="Filter").click()
    page.wait_for_url("**verdict=named**")
    assert page.locator("tbody tr").count() == 2
    page.get_by_role("columnheader", name="unit").get_by_role("link").click()
    page.wait_for_url("**sort=unit**")
    assert page.locator("tbody tr").count() == 2


def test_keys_lead_from_neuron_to_neuron(look: Look, job: UUID) -> None:
    page = look().sign_in().go(f"/ui/jobs/{job}/neurons/{LATE}/1")
    page.keyboard.press("n")
    page.wait_for_url(f"**/{LATE}/2")
    page.keyboard.press("p")
    page.wait_for_url(f"**/{LATE}/1")


def test_a_larger_picture_takes_the_place_of_the_small_one(look: Look, job: UUID) -> None:
    looker = look().sign_in()
    page = looker.page
    page.route("**/images/**", lambda route: route.fulfill(content_type="image/jpeg", body=jpeg()))
    looker.go(f"/ui/jobs/{job}/neurons/{LATE}/0")
    page.locator(".pictures.large img[src*='/images/3']").wait_for()
    page.unroute("**/images/**")
    looker.go(f"/ui/jobs/{job}/neurons/{LATE}/3")
    page.get_by_text("no picture yet").wait_for()
    looker.check()
