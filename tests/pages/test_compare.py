"""Dissections are chosen and compared, and every number leads to its neurons."""

import re
from uuid import UUID, uuid4

import pytest
from fastapi.testclient import TestClient

from service.db.session import Sessions, transaction
from tests.api.changing_calls import trail
from tests.api.test_comparisons import EVIDENCE, jobs, layer
from tests.pages.audited import client
from tests.pages.visitor import Visitor, check_page, words_of
from tests.usecases.factories import dissected_job, queued_job

__all__ = ["client", "jobs"]


def choose(*job_ids: str) -> str:
    return "/ui/compare?" + "&".join(f"job={job_id}" for job_id in job_ids)


def compare(visitor: Visitor, job_ids: list[str]) -> str:
    answer = visitor.send("/ui/compare", {"job": job_ids})
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


def test_nothing_to_compare_yet(visitor: Visitor) -> None:
    assert "No dissection has succeeded yet" in visitor.words("/ui/compare")
    assert "Nothing has been compared yet." in visitor.words("/ui/comparisons")


def test_dissections_are_chosen_one_after_the_other(visitor: Visitor, jobs: list[str]) -> None:
    start = visitor.get("/ui/compare")
    assert start.count('type="checkbox" name="job"') == 3
    one = visitor.get(choose(jobs[0]))
    assert "Choose one more at least." in words_of(one)
    assert one.count('type="checkbox" name="job"') == 2
    assert one.count(f'type="hidden" name="job" value="{jobs[0]}"') == 1

    two = visitor.get(choose(jobs[0], jobs[2]))
    assert "Compare these 2" in words_of(two)
    assert f'href="{choose(jobs[2], jobs[0]).replace("&", "&amp;")}" aria-label="Make tuned@1 the reference"' in two
    assert f'href="{choose(jobs[2])}" aria-label="Leave out screening@1' in two


def test_what_cannot_be_compared_is_said_before_it_is_sent(
    visitor: Visitor, jobs: list[str], sessions: Sessions
) -> None:
    with transaction(sessions) as session:
        running = queued_job(session, model="other").id
        probes = {"probe_set": {"digest": "1", "images": "1"}}
        other = dissected_job(session, [layer("blocks.0", 0)], model="elsewhere", evidence=EVIDENCE, manifest=probes)
    html = visitor.get(choose(jobs[0], str(other)))
    assert "differ" in words_of(html)
    assert "Compare these" not in html
    assert "is queued" in visitor.words(choose(jobs[0], str(running)))
    refused = visitor.send("/ui/compare", {"job": [jobs[0], str(other)]})
    assert refused.status_code == 409
    check_page(refused)


def test_more_than_eight_are_too_many(visitor: Visitor, sessions: Sessions) -> None:
    with transaction(sessions) as session:
        many = [str(dissected_job(session, [layer("blocks.0", 0)], evidence=EVIDENCE)) for _ in range(9)]
    words = visitor.words(choose(*many))
    assert "These are 9. Leave out 1: at most 8 can be compared." in words
    assert visitor.send("/ui/compare", {"job": many}).status_code == 422


@pytest.mark.parametrize("job_ids", [[], ["nonsense"], [str(UUID(int=1))]])
def test_a_choice_that_is_none_is_refused(visitor: Visitor, job_ids: list[str]) -> None:
    answer = visitor.send("/ui/compare", {"job": job_ids})
    assert answer.status_code == 422
    check_page(answer)


def test_a_comparison_leaves_the_entry_that_its_call_leaves(
    visitor: Visitor, client: TestClient, jobs: list[str], sessions: Sessions
) -> None:
    path = compare(visitor, jobs[:2])
    (listed,) = client.get("/comparisons").json()["items"]
    assert path == f"/ui/comparisons/{listed['id']}"
    entry = trail(sessions)[-1]
    assert (entry.action, entry.subject) == ("POST /ui/compare", f"/comparisons/{listed['id']}")
    assert entry.after is not None
    assert compare(visitor, jobs[:2]) == path, "the same dissections again are the same comparison"
    assert visitor.client.post("/ui/compare", data={"job": jobs}).status_code == 403


def test_gains_and_losses_with_their_intervals(visitor: Visitor, jobs: list[str]) -> None:
    path = compare(visitor, jobs)
    html = visitor.get(path)
    words = words_of(html)
    assert "What 2 networks gained and lost against screening@1" in words
    assert "calcification distribution 1 2 +1" in words
    assert "\N{MINUS SIGN}1 to +3" in words
    assert "Layers of tuned@1 that not all networks have, and that are not compared: blocks.1." in words
    assert html.count("<circle") == 6, "a dot for every gain"
    assert f'href="/comparisons/{path.rpartition("/")[2]}/report"' in html
    listed = visitor.words("/ui/comparisons")
    assert "screening@1 copy@1, tuned@1 3" in listed


def test_every_number_leads_to_its_neurons(visitor: Visitor, jobs: list[str]) -> None:
    path = compare(visitor, jobs)
    leads_to = re.search(r'href="(\?category=mass\+margin#behind)"', visitor.get(path))
    assert leads_to is not None
    behind = visitor.get(path + leads_to[1].partition("#")[0])
    assert "Neurons of mass margin, layer by layer" in words_of(behind)
    query = "?category=mass+margin&amp;significant=yes"
    for job_id in jobs:
        assert f'href="/ui/jobs/{job_id}/layers/blocks.0{query}"' in behind
    broad = visitor.get(f"{path}?category=findings&broad=true")
    assert f'href="/ui/jobs/{jobs[0]}/layers/blocks.0?broad_category=findings&amp;significant=yes"' in broad
    assert "No network has a neuron of this category" in visitor.words(f"{path}?category=%3Cb%3E")
    assert "<b>, layer" not in visitor.get(f"{path}?category=%3Cb%3E")


def test_what_is_not_there_is_a_page(visitor: Visitor) -> None:
    visitor.get(f"/ui/comparisons/{uuid4()}", 404)
    visitor.get(choose(str(uuid4())), 404)
    visitor.get("/ui/compare?job=nonsense", 422)
