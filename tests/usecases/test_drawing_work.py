"""The items of pictures in workers' hands: leases, fences, attempts, and what becomes of the picture."""

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from service.db import work as queries
from service.db.drawings import find_state, read_picture
from service.db.session import Sessions, transaction
from service.domain.pictures import PictureRequest, PictureSize, PictureState
from service.domain.probes import ImagePlace
from service.domain.work import PictureLease
from service.errors import LeaseLost, Overloaded, PictureUnavailable, ProblemFields
from service.usecases import drawing_work, pictures, work
from service.usecases.accidents import TIME_LIMIT
from service.usecases.garbage import forget_results
from service.usecases.pictures import AskedPicture, AwaitedPicture, find_or_draw
from tests.usecases.factories import RecordingQueue, neuron, succeeded_job

LEASE = timedelta(seconds=30)
PROBLEM: ProblemFields = {"code": "x", "title": "X", "detail": "It broke.", "remedy": "Mend it."}
ASKED = AskedPicture(7, PictureSize.MEDIUM)
REQUEST = PictureRequest(ImagePlace(7, None), PictureSize.MEDIUM)


@pytest.fixture
def job(sessions: Sessions) -> UUID:
    """One whose own items nobody takes; the top images of its neuron are row 7 and a patch of row 3."""
    with transaction(sessions) as session:
        job_id = succeeded_job(session, [neuron(0, 1.0)])
        session.execute(text("UPDATE work_items SET status = 'withdrawn'"))
    return job_id


def ask(sessions: Sessions, job: UUID, asked: AskedPicture = ASKED) -> object:
    with transaction(sessions) as session:
        return find_or_draw(session, RecordingQueue(), job, asked)


def claim(sessions: Sessions) -> PictureLease | None:
    with transaction(sessions) as session:
        session.execute(text("UPDATE work_items SET ready_at = clock_timestamp() WHERE status = 'ready'"))
        lease = queries.claim_item(session, "tester", LEASE)
    assert lease is None or isinstance(lease, PictureLease)
    return lease


def claimed(sessions: Sessions) -> PictureLease:
    lease = claim(sessions)
    assert lease is not None
    return lease


def complete(sessions: Sessions, lease: PictureLease, data: bytes = b"picture", sha256: str = "digest") -> None:
    with transaction(sessions) as session:
        drawing_work.complete_drawing(session, lease, data, sha256)


def expire(sessions: Sessions) -> None:
    with transaction(sessions) as session:
        session.execute(text("UPDATE work_items SET lease_expires_at = '2000-01-01' WHERE status = 'leased'"))


def state(sessions: Sessions, job: UUID) -> PictureState:
    with transaction(sessions) as session:
        found = find_state(session, job, REQUEST)
    assert found is not None
    return found


def test_it_is_asked_for_once_drawn_and_kept(sessions: Sessions, job: UUID) -> None:
    queue = RecordingQueue()
    for _ in range(3):
        with transaction(sessions) as session:
            assert find_or_draw(session, queue, job, ASKED) == AwaitedPicture(is_taken=False)
    assert len(queue.published) == 1

    lease = claimed(sessions)
    assert claim(sessions) is None
    assert ask(sessions, job) == AwaitedPicture(is_taken=True)
    complete(sessions, lease)
    with transaction(sessions) as session:
        picture = read_picture(session, job, REQUEST)
    assert picture is not None
    assert (picture.data, picture.sha256, picture.media_type) == (b"picture", "digest", "image/webp")
    assert ask(sessions, job) == picture
    assert claim(sessions) is None


def test_a_holder_that_was_thought_lost_changes_nothing(sessions: Sessions, job: UUID) -> None:
    ask(sessions, job)
    early = claimed(sessions)
    expire(sessions)
    assert work.reap(sessions, max_attempts=5) == [early.picture_id]
    again = claimed(sessions)
    calls: list[Callable[[Session], object]] = [
        lambda session: drawing_work.complete_drawing(session, early, b"", ""),
        lambda session: drawing_work.fail_drawing(session, early, PROBLEM),
        lambda session: drawing_work.try_drawing_again(session, early, PROBLEM, max_attempts=5),
        lambda session: drawing_work.hand_back_drawing(session, RecordingQueue(), early),
    ]
    for late in calls:
        with pytest.raises(LeaseLost), transaction(sessions) as session:
            late(session)
    complete(sessions, again)
    assert state(sessions, job).sha256 == "digest"


def test_lost_workers_end_it_after_the_last_attempt(sessions: Sessions, job: UUID) -> None:
    ask(sessions, job)
    claimed(sessions)
    expire(sessions)
    assert work.reap(sessions, max_attempts=1) == []
    problem = state(sessions, job).problem
    assert problem is not None
    assert problem["detail"].startswith("It was tried once. The last time: The worker that held the item")
    with pytest.raises(PictureUnavailable, match="manifest row 7 could not be drawn"):
        ask(sessions, job)


@pytest.mark.parametrize(("code", "attempts"), [("x", 3), (TIME_LIMIT, 2)])
def test_an_accident_is_tried_again_and_then_given_up(sessions: Sessions, job: UUID, code: str, attempts: int) -> None:
    ask(sessions, job)
    for attempt in range(1, attempts + 1):
        assert state(sessions, job).problem is None
        lease = claimed(sessions)
        assert lease.attempt == attempt
        with transaction(sessions) as session:
            drawing_work.try_drawing_again(session, lease, {**PROBLEM, "code": code}, max_attempts=3)
    problem = state(sessions, job).problem
    assert problem is not None
    assert problem["detail"] == f"It was tried {attempts} times. The last time: It broke."
    assert claim(sessions) is None


def test_an_item_handed_back_was_no_attempt(sessions: Sessions, job: UUID) -> None:
    ask(sessions, job)
    lease = claimed(sessions)
    with transaction(sessions) as session:
        drawing_work.hand_back_drawing(session, RecordingQueue(), lease)
    assert claimed(sessions).attempt == 1


def test_what_could_not_be_drawn_is_drawn_again_a_minute_later(sessions: Sessions, job: UUID) -> None:
    ask(sessions, job)
    with transaction(sessions) as session:
        drawing_work.fail_drawing(session, claimed(sessions), PROBLEM)
    with pytest.raises(PictureUnavailable) as refused:
        ask(sessions, job)
    assert refused.value.remedy == "Mend it. Ask again a minute later, and it is drawn again."

    with transaction(sessions) as session:
        session.execute(text("UPDATE pictures SET ended_at = ended_at - interval '61 seconds'"))
    assert ask(sessions, job) == AwaitedPicture(is_taken=False)
    complete(sessions, claimed(sessions))
    assert state(sessions, job).sha256 == "digest"


def test_pictures_go_with_their_job_even_while_they_are_drawn(sessions: Sessions, job: UUID) -> None:
    ask(sessions, job)
    complete(sessions, claimed(sessions))
    ask(sessions, job, AskedPicture(7, PictureSize.LARGE))
    lease = claimed(sessions)
    assert forget_results(sessions, older_than=timedelta(0)) == 1
    with pytest.raises(LeaseLost):
        complete(sessions, lease)
    with transaction(sessions) as session:
        assert session.scalar(text("SELECT count(*) FROM pictures")) == 0
        assert not queries.extend_lease(session, lease, LEASE, done=0)
    expire(sessions)
    assert work.reap(sessions, max_attempts=1) == []


def test_not_too_many_of_a_job_wait(sessions: Sessions, job: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "MOST_WAITING", 2)
    sizes = list(PictureSize)
    ask(sessions, job, AskedPicture(7, sizes[0]))
    ask(sessions, job, AskedPicture(7, sizes[1]))
    with pytest.raises(Overloaded, match="2 pictures of job"):
        ask(sessions, job, AskedPicture(7, sizes[2]))
    assert ask(sessions, job, AskedPicture(7, sizes[0])) == AwaitedPicture(is_taken=False), "it waits already"
    complete(sessions, claimed(sessions))
    assert ask(sessions, job, AskedPicture(7, sizes[2])) == AwaitedPicture(is_taken=False)


def test_the_oldest_make_room(sessions: Sessions, job: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing_work, "MOST_BYTES", 10)
    for size in PictureSize:
        ask(sessions, job, AskedPicture(7, size))
        complete(sessions, claimed(sessions), b"five!", size)
    with transaction(sessions) as session:
        kept = list(session.scalars(text("SELECT sha256 FROM pictures ORDER BY id")))
    assert kept == ["medium", "large"]

    monkeypatch.setattr(drawing_work, "MOST_BYTES", 1)
    ask(sessions, job, AskedPicture(7, PictureSize.THUMBNAIL))
    complete(sessions, claimed(sessions), b"five!", "thumbnail")
    with transaction(sessions) as session:
        assert list(session.scalars(text("SELECT sha256 FROM pictures"))) == ["thumbnail"], "the newest always stays"


def test_pictures_come_before_all_but_the_most_urgent_jobs(sessions: Sessions, job: UUID) -> None:
    with transaction(sessions) as session:
        succeeded_job(session, [neuron(0, 1.0)], model="another")
    ask(sessions, job)
    assert isinstance(claim(sessions), PictureLease)
