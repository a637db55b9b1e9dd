"""What becomes of due fires: audits begin once each, outages, overlap, errors, clocks."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from service.db import schedules as queries
from service.db.session import on_commit, transaction
from service.domain.audits import Snooze
from service.domain.schedules import MOST_LISTED, CatchUp, Fire, FireOutcome, Overlap, Terms
from service.errors import Conflict, NotMeasured, Unavailable
from service.usecases import fires as firing
from service.usecases import schedules
from service.usecases.deployments import snooze_deployment
from service.usecases.fires import look_again
from tests.schedules.field import DAILY, Field, at, days, fire_due

STARTED, SKIPPED, QUEUED, MISSED = FireOutcome.STARTED, FireOutcome.SKIPPED, FireOutcome.QUEUED, FireOutcome.MISSED
HOURLY = replace(DAILY, cron="0 * * * *")


def test_a_due_fire_begins_one_audit(field: Field) -> None:
    schedule = field.schedule()
    assert field.look(at("01:59")) == 0
    assert field.look(at("02:00")) == 1
    assert field.look(at("02:00")) == 0
    assert field.look(at("02:01")) == 0
    assert field.audited(schedule) == days(1)
    (fire,) = field.fires(schedule)
    assert (fire.fire_time, fire.outcome, fire.reason, fire.decided_at) == (at("02:00"), STARTED, None, at("02:00"))
    assert fire.audit_id is not None


def test_schedulers_that_look_at_once_begin_one_audit_of_each_fire(field: Field) -> None:
    made = [field.schedule(name=f"nightly-{number}") for number in range(6)]
    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(lambda _: field.look(at("02:00")), range(8))) == len(made)
    assert [field.audited(schedule) for schedule in made] == [days(1)] * len(made)


def test_the_database_itself_refuses_a_fire_twice(field: Field) -> None:
    schedule = field.schedule()
    field.look(at("02:00"))
    again = Fire(at("02:00"), MISSED, at("02:00"), reason="again")
    with pytest.raises(IntegrityError), transaction(field.sessions) as session:
        queries.add_fires(session, schedule.id, [again])
    waiting = [Fire(at(time), QUEUED, at("05:00"), reason="waits") for time in ("03:00", "04:00")]
    with pytest.raises(IntegrityError), transaction(field.sessions) as session:
        queries.add_fires(session, schedule.id, waiting)


ALL = {"catch_up": CatchUp.ALL}
DAY_AND_A_HALF = timedelta(hours=36)


OUTAGE: list[tuple[dict[str, Any], list[datetime]]] = [
    ({"catch_up": CatchUp.NONE}, []),
    ({"catch_up": CatchUp.NONE, "grace": DAY_AND_A_HALF}, []),
    ({"catch_up": CatchUp.LATEST}, days(4)),
    ({"catch_up": CatchUp.LATEST, "grace": DAY_AND_A_HALF}, days(4)),
    ({"catch_up": CatchUp.LATEST, "grace": timedelta(hours=4)}, []),
    (ALL | {"catch_up_max": 10}, days(2, 3, 4)),
    (ALL | {"catch_up_max": 2}, days(3, 4)),
    (ALL | {"catch_up_max": 10, "grace": DAY_AND_A_HALF}, days(3, 4)),
    (ALL | {"catch_up_max": 1, "grace": DAY_AND_A_HALF}, days(4)),
]


@pytest.mark.parametrize("overlap", list(Overlap))
def test_after_three_days_without_a_scheduler(field: Field, overlap: Overlap) -> None:
    made = [
        (field.schedule(replace(DAILY, overlap=overlap, **terms), name=f"nightly-{number}"), started)
        for number, (terms, started) in enumerate(OUTAGE)
    ]
    field.look(at("02:00", 1))
    field.end_audits()
    field.look(at("08:00", 4))
    for schedule, started in made:
        assert field.audited(schedule) == [*days(1), *started], schedule.terms
        missed = [fire for fire in field.fires(schedule) if fire.outcome is MISSED]
        assert [fire.fire_time for fire in missed] == [fire for fire in days(2, 3, 4) if fire not in started]
        assert all(fire.reason and "late" in fire.reason for fire in missed)
    field.end_audits()
    assert field.look(at("02:00", 5)) == len(made)


def test_a_fire_on_time_is_the_latest(field: Field) -> None:
    latest = field.schedule(name="latest")
    both = field.schedule(replace(DAILY, catch_up=CatchUp.ALL, catch_up_max=2), name="both")
    none = field.schedule(replace(DAILY, catch_up=CatchUp.NONE), name="none")
    field.look(at("02:00:59", 4))
    assert (field.audited(latest), field.audited(both), field.audited(none)) == (days(4), days(2, 3, 4), days(4))


def test_a_very_long_outage_is_counted(field: Field) -> None:
    schedule = field.schedule(replace(DAILY, cron="* * * * *"))
    field.look(at("00:00:30", 3))
    fires = field.fires(schedule)
    assert len(fires) == MOST_LISTED
    assert f"{2 * 24 * 60 - MOST_LISTED} fires before it" in str(fires[0].reason)
    assert field.audited(schedule) == [at("00:00", 3)]


def test_overlap_skip(field: Field) -> None:
    schedule = field.schedule(HOURLY)
    for time in ("01:00", "02:00"):
        field.look(at(time))
    field.end_audits()
    field.look(at("03:00"))
    assert list(field.outcomes(schedule).values()) == [STARTED, SKIPPED, STARTED]
    first, skipped, _ = field.fires(schedule)
    assert skipped.reason == f"Audit {first.audit_id} has not ended."


def test_fires_that_come_to_nothing_are_told_of_once_per_decision(field: Field) -> None:
    schedule = field.schedule(HOURLY)
    field.look(at("01:00"))
    assert field.alerts() == []
    field.look(at("02:00"))
    field.look(at("04:00"))
    first, second = field.alerts()
    assert (first.kind, first.subject) == ("schedule.missed", "nightly: MISSED")
    assert first.data == {
        "schedule": "nightly",
        "missed": 1,
        "fire_time": at("02:00").isoformat(),
        "reason": f"Audit {field.fires(schedule)[0].audit_id} has not ended.",
    }
    assert (second.data["missed"], second.data["fire_time"]) == (2, at("04:00").isoformat())
    assert field.outcomes(schedule)[at("03:00")] is MISSED


def test_a_fire_that_waited_in_vain_is_told_of(field: Field) -> None:
    schedule = field.schedule(replace(HOURLY, overlap=Overlap.QUEUE))
    for time in ("01:00", "02:00"):
        field.look(at(time))
    field.audits.broken.add(schedule.deployment_id)
    field.end_audits()
    field.look(at("02:20"))
    (alert,) = field.alerts()
    assert alert.data["fire_time"] == at("02:00").isoformat()
    assert "no probe set" in str(alert.data["reason"])


def test_a_snoozed_deployments_fires_come_to_nothing_in_silence(field: Field) -> None:
    schedule = field.schedule(HOURLY)
    with transaction(field.sessions) as session:
        snooze_deployment(session, "screening", Snooze(at("03:00"), "me", "service"), at("01:00"))
    for time in ("01:00", "02:00", "03:00"):
        field.look(at(time))
    assert list(field.outcomes(schedule).values()) == [STARTED, SKIPPED, SKIPPED]
    assert [alert.data["fire_time"] for alert in field.alerts()] == [at("03:00").isoformat()]


def test_overlap_queue_lets_one_wait(field: Field) -> None:
    schedule = field.schedule(replace(HOURLY, overlap=Overlap.QUEUE))
    for time in ("01:00", "02:00", "03:00"):
        field.look(at(time))
    assert list(field.outcomes(schedule).values()) == [STARTED, QUEUED, SKIPPED]
    assert field.look(at("03:20")) == 0
    field.end_audits()
    assert field.look(at("03:30")) == 1
    assert field.audited(schedule) == [at("01:00"), at("02:00")]
    waited = field.fires(schedule)[1]
    assert (waited.outcome, waited.decided_at, waited.reason) == (STARTED, at("03:30"), None)
    field.look(at("04:00"))
    assert field.outcomes(schedule)[at("04:00")] is QUEUED


def test_overlap_cancel_old(field: Field) -> None:
    schedule = field.schedule(replace(HOURLY, overlap=Overlap.CANCEL_OLD))
    for time in ("01:00", "02:00"):
        field.look(at(time))
    with transaction(field.sessions) as session:
        statuses = list(session.scalars(text("SELECT status FROM written_audits ORDER BY fire_time")))
    assert statuses == ["cancelled", "open"]
    assert list(field.outcomes(schedule).values()) == [STARTED, STARTED]


def test_an_old_audit_that_ends_by_itself_is_no_obstacle(field: Field, monkeypatch: pytest.MonkeyPatch) -> None:
    schedule = field.schedule(replace(HOURLY, overlap=Overlap.CANCEL_OLD))
    field.look(at("01:00"))
    found = field.fires(schedule)[0].audit_id
    field.end_audits()
    monkeypatch.setattr(field.audits, "open_of", lambda *_: [found])  # it was open a moment ago
    assert field.look(at("02:00")) == 1


def test_an_audit_that_cannot_be_started_is_missed_with_its_reason(field: Field) -> None:
    field.audits.broken.add(field.deploy("broken"))
    broken = field.schedule(name="broken", deployment="broken")
    sound = field.schedule(name="sound")
    assert field.look(at("02:00")) == 1
    (fire,) = field.fires(broken)
    assert fire.outcome is MISSED
    assert fire.reason == "The audit cannot be started. The deployment has no probe set. Give it one."
    assert (field.audited(broken), field.audited(sound)) == ([], days(1))
    assert field.look(at("02:01")) == 0


def test_one_that_cannot_be_started_cancels_nothing(field: Field) -> None:
    schedule = field.schedule(replace(HOURLY, overlap=Overlap.CANCEL_OLD))
    field.look(at("01:00"))
    field.audits.broken.add(schedule.deployment_id)
    field.look(at("02:00"))
    with transaction(field.sessions) as session:
        assert len(field.audits.open_of(session, schedule.id)) == 1
    assert list(field.outcomes(schedule).values()) == [STARTED, MISSED]


def test_what_nobody_foresaw_holds_up_one_schedule_only(field: Field) -> None:
    crashing = field.deploy("crashing")
    field.audits.crashing.add(crashing)
    unlucky = field.schedule(name="unlucky", deployment="crashing")
    lucky = field.schedule(name="lucky")
    assert field.look(at("02:00")) == 1
    assert (field.fires(unlucky), field.audited(unlucky), field.audited(lucky)) == ([], [], days(1))
    field.audits.crashing.clear()
    assert field.look(at("02:10")) == 1
    assert field.audited(unlucky) == days(1)


def test_what_is_out_of_reach_for_one_schedule_is_tried_again_and_the_others_have_their_turn(
    field: Field, monkeypatch: pytest.MonkeyPatch
) -> None:
    away, start = field.deploy("away"), field.audits.start

    def reach(session: Session, deployment_id: UUID, *what: Any, **when: Any) -> UUID:
        if deployment_id == away:
            raise Unavailable("Its files cannot be read in time.")
        return start(session, deployment_id, *what, **when)

    monkeypatch.setattr(field.audits, "start", reach)
    unlucky = field.schedule(name="unlucky", deployment="away")
    lucky = field.schedule(name="lucky")
    assert field.look(at("02:00")) == 1
    assert (field.fires(unlucky), field.audited(lucky)) == ([], days(1))
    monkeypatch.undo()
    assert field.look(at("02:00")) == 1


def test_a_schedule_waits_for_a_probe_set_that_is_still_to_be_measured(
    field: Field, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule = field.schedule()
    with monkeypatch.context() as still:

        def refuse(*_: Any, **__: Any) -> UUID:
            raise NotMeasured("A worker is still to read the sizes of the images.")

        still.setattr(field.audits, "start", refuse)
        assert field.look(at("02:00")) == 0
        assert field.fires(schedule) == []
    assert field.look(at("02:00")) == 1


def test_schedules_before_it_make_no_fire_late(field: Field, monkeypatch: pytest.MonkeyPatch) -> None:
    made = [field.schedule(replace(DAILY, catch_up=CatchUp.NONE), name=name) for name in ("slow", "next")]
    clock = iter([at("02:00"), at("02:05"), at("02:10")])
    monkeypatch.setattr(firing, "database_clock", lambda _: next(clock))
    assert fire_due(field.sessions, field.audits) == 2
    assert [list(field.outcomes(schedule).values()) for schedule in made] == [[STARTED], [STARTED]]


def test_a_clock_that_is_set_back_fires_nothing_twice(field: Field) -> None:
    schedule = field.schedule(HOURLY)
    times = [at("01:00"), at("02:00"), at("00:30"), at("01:00"), at("01:30"), at("02:00"), at("03:00")]
    for now in times:
        field.look(now)
        field.end_audits()
    assert field.audited(schedule) == [at("01:00"), at("02:00"), at("03:00")]


def test_a_schedule_that_a_clock_ahead_has_spoilt_says_so_and_can_be_resumed(field: Field) -> None:
    schedule = field.schedule()
    field.look(at("12:00", 20))
    field.end_audits()
    assert field.audited(schedule) == days(20)
    assert field.look(at("02:00", 2)) == 0
    with transaction(field.sessions) as session:
        schedules.pause_schedule(session, schedule.name, at("02:30", 2))
        schedules.resume_schedule(session, schedule.name, at("02:30", 2))
    for day in (3, 4, 20):
        field.look(at("02:00", day))
        field.end_audits()
    assert field.audited(schedule) == days(3, 4, 20)


def test_a_scheduler_that_starts_works_out_anew_when_to_look(field: Field) -> None:
    schedule = field.schedule()
    with transaction(field.sessions) as session:
        session.execute(text("UPDATE schedules SET next_fire_at = '2026-07-01'"))
    assert field.look(at("02:00")) == 0
    look_again(field.sessions)
    assert field.look(at("02:00")) == 1
    assert field.read(schedule).look_at == at("02:00", 2)


def test_an_action_waits_for_the_end_of_the_transaction_and_goes_with_its_savepoint(field: Field) -> None:
    done: list[str] = []
    with transaction(field.sessions) as session:
        with session.begin_nested():
            session.execute(text("SELECT 1"))
            on_commit(session, lambda: done.append("kept"))
        savepoint = session.begin_nested()
        session.execute(text("SELECT 1"))
        on_commit(session, lambda: done.append("rolled back"))
        savepoint.rollback()
        assert done == []
    assert done == ["kept"]


def test_an_action_goes_with_a_transaction_that_begins_again(field: Field) -> None:
    done: list[str] = []
    with transaction(field.sessions) as session:
        for attempt in ("first", "second"):
            session.rollback()
            session.execute(text("SELECT 1"))
            on_commit(session, partial(done.append, attempt))
    assert done == ["second"]


def paused(field: Field, name: str, now: datetime) -> None:
    with transaction(field.sessions) as session:
        schedules.pause_schedule(session, name, now)


def test_a_paused_schedule_owes_nothing_of_its_pause(field: Field) -> None:
    schedule = field.schedule(replace(DAILY, catch_up=CatchUp.ALL, catch_up_max=10))
    paused(field, schedule.name, at("12:00", 1))
    field.look(at("02:00", 2))
    assert field.read(schedule).paused
    with transaction(field.sessions) as session:
        schedules.resume_schedule(session, schedule.name, at("12:00", 3))
    for day in (3, 4):
        field.look(at("12:30", day))
    assert field.outcomes(schedule) == {at("02:00", 1): MISSED, at("02:00", 4): STARTED}


def test_pausing_gives_up_the_fire_that_waits(field: Field) -> None:
    schedule = field.schedule(replace(HOURLY, overlap=Overlap.QUEUE))
    for time in ("01:00", "02:00"):
        field.look(at(time))
    paused(field, schedule.name, at("02:10"))
    field.end_audits()
    assert field.look(at("02:20")) == 0
    assert field.fires(schedule)[1].reason == "The schedule was paused meanwhile."


def test_another_expression_owes_nothing_of_the_time_before(field: Field) -> None:
    schedule = field.schedule()
    with transaction(field.sessions) as session:
        changed = schedules.change_schedule(session, schedule.name, {"cron": "0 * * * *"}, at("04:30"))
    assert changed.look_at == at("05:00")
    field.look(at("05:00"))
    assert field.outcomes(schedule) == {at("02:00"): MISSED, at("05:00"): STARTED}
    assert field.fires(schedule)[0].reason == "The schedule was changed before this fire was processed."


def test_another_catch_up_counts_for_what_is_owed(field: Field) -> None:
    schedule = field.schedule(replace(DAILY, catch_up=CatchUp.NONE))
    with transaction(field.sessions) as session:
        changes: schedules.Changes = {"catch_up": CatchUp.ALL, "catch_up_max": 2}
        schedules.change_schedule(session, schedule.name, changes, at("04:30", 3))
    field.look(at("05:00", 3))
    assert field.audited(schedule) == days(2, 3)
    with transaction(field.sessions) as session:
        back = schedules.change_schedule(session, schedule.name, {"catch_up": CatchUp.LATEST})
    assert back.terms == DAILY


def run(field: Field, terms: Terms, *times: str) -> list[Fire]:
    schedule = field.schedule(terms)
    for time in times:
        with transaction(field.sessions) as session:
            schedules.run_schedule(session, field.audits, schedule.name, at(time))
    return field.fires(schedule)


def test_run_now_begins_an_audit_and_leaves_the_times_alone(field: Field) -> None:
    (fire,) = run(field, DAILY, "01:30")
    assert (fire.fire_time, fire.outcome, fire.manual) == (at("01:30"), STARTED, True)
    field.end_audits()
    assert field.look(at("02:00")) == 1


def test_run_now_keeps_to_overlap(field: Field) -> None:
    with pytest.raises(Conflict, match="has not ended"):
        run(field, DAILY, "01:30", "01:31")
    with transaction(field.sessions) as session:
        schedules.delete_schedule(session, "nightly")
    queueing = replace(DAILY, overlap=Overlap.QUEUE)
    assert [fire.outcome for fire in run(field, queueing, "01:30", "01:31")] == [STARTED, QUEUED]
    with pytest.raises(Conflict, match="Another fire is already waiting"), transaction(field.sessions) as session:
        schedules.run_schedule(session, field.audits, "nightly", at("01:32"))
    field.end_audits()
    field.look(at("01:40"))
    with transaction(field.sessions) as session:
        schedule = schedules.find_schedule(session, "nightly")
        second = queries.list_fires(session, schedule.id, limit=1, after=None).items[0]
    assert (second.outcome, second.manual) == (STARTED, True)


def test_run_now_of_what_cannot_be_started_leaves_nothing(field: Field) -> None:
    field.audits.broken.add(field.deploy())
    with pytest.raises(Conflict, match="no probe set"):
        run(field, DAILY, "01:30")
    with transaction(field.sessions) as session:
        assert session.execute(text("SELECT count(*) FROM written_audits")).scalar_one() == 0
        assert session.execute(text("SELECT count(*) FROM fires")).scalar_one() == 0
