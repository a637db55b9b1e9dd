"""What a schedule waits for holds up no other: files that are never read, or slowly, or by nobody."""

from collections.abc import Iterator
from dataclasses import replace
from threading import Event
from uuid import UUID

import pytest

from service.domain.audits import AuditFiles, FilesRead
from service.domain.schedules import FireOutcome, Overlap, Schedule
from service.usecases import turns
from service.usecases.turns import Turns
from tests.embedded.processes import wait_until
from tests.schedules.field import DAILY, Field, at, days
from tests.schedules.written_audits import audited


@pytest.fixture
def drive(field: Field) -> Iterator[Event]:
    """A drive that answers once it is set."""
    answers = Event()
    yield answers
    answers.set()


def hanging(field: Field, drive: Event, name: str) -> Schedule:
    field.audits.hanging[field.deploy(name)] = drive
    return field.schedule(name=name, deployment=name)


def statuses(field: Field, schedule: Schedule) -> list[str]:
    return [status for _, status in audited(field.sessions, schedule.id)]


def test_a_reading_that_hangs_holds_up_no_other_schedule(field: Field, drive: Event) -> None:
    stuck = [hanging(field, drive, f"stuck-{number}") for number in range(3)]
    sound = field.schedule(name="sound")
    scheduler = Turns(field.sessions, field.audits, limit_s=60)
    scheduler.start_due(at("02:00"))
    wait_until(lambda: field.audited(sound) == days(1))
    assert [field.fires(schedule) for schedule in stuck] == [[]] * 3
    drive.set()
    scheduler.wait()
    assert [field.audited(schedule) for schedule in stuck] == [days(1)] * 3
    assert scheduler.began == 4


def test_one_that_is_not_read_in_time_is_an_audit_that_ended_and_nothing_twice(field: Field, drive: Event) -> None:
    stuck = hanging(field, drive, "stuck")
    scheduler = Turns(field.sessions, field.audits, limit_s=0.05)
    scheduler.start_due(at("02:00"))
    Event().wait(0.1)
    scheduler.start_due(at("02:01"))
    assert statuses(field, stuck) == ["The files of the audit were not read within 0.05 seconds."]
    assert list(field.outcomes(stuck).values()) == [FireOutcome.STARTED]

    field.end_audits()
    scheduler.start_due(at("02:00", 2))
    assert "has not ended" in statuses(field, stuck)[1]
    assert len(field.audits.readings) == 1, "no second one waits where the first does"

    drive.set()
    scheduler.wait()
    assert len(statuses(field, stuck)) == 2
    scheduler.start_due(at("02:00", 3))
    scheduler.wait()
    assert statuses(field, stuck)[2] == "open"


def test_an_audit_that_cannot_begin_cancels_none_that_is_open(field: Field, drive: Event) -> None:
    deployment = field.deploy("stuck")
    schedule = field.schedule(replace(DAILY, overlap=Overlap.CANCEL_OLD), name="stuck", deployment="stuck")
    assert field.look(at("02:00")) == 1
    field.audits.hanging[deployment] = drive
    scheduler = Turns(field.sessions, field.audits, limit_s=0.05)
    scheduler.start_due(at("02:00", 2))
    Event().wait(0.1)
    scheduler.start_due(at("02:00", 2))
    assert statuses(field, schedule)[0] == "open"


def test_more_that_hang_than_there_are_places_leave_places_for_others(
    field: Field, drive: Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "AT_ONCE", 2)
    monkeypatch.setattr(turns, "LONG_S", 0.01)
    for number in range(6):
        hanging(field, drive, f"stuck-{number}")
    sound = field.schedule(replace(DAILY, cron="1 2 * * *"), name="sound")
    scheduler = Turns(field.sessions, field.audits, limit_s=60)

    def look() -> bool:
        scheduler.start_due(at("02:30"))
        return field.audited(sound) != []

    wait_until(look)
    drive.set()
    scheduler.wait()


def test_one_that_had_to_wait_for_a_place_is_not_late(
    field: Field, drive: Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "AT_ONCE", 1)
    hanging(field, drive, "first")
    second = field.schedule(name="second")
    scheduler = Turns(field.sessions, field.audits, limit_s=60)
    scheduler.start_due(at("02:00"))
    scheduler.start_due(at("02:20"))
    assert field.fires(second) == []
    drive.set()
    scheduler.wait()
    assert field.fires(second)[0].decided_at == at("02:00")


def test_where_too_many_readings_hang_further_fires_are_told_of(
    field: Field, drive: Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "MOST", 2)
    stuck = [hanging(field, drive, f"stuck-{number}") for number in range(2)]
    late = field.schedule(replace(DAILY, cron="5 2 * * *"), name="late")
    scheduler = Turns(field.sessions, field.audits, limit_s=0.05)
    scheduler.start_due(at("02:00"))
    Event().wait(0.1)
    scheduler.start_due(at("02:01"))
    scheduler.start_due(at("02:05"))
    assert statuses(field, late) == ["2 schedules are already waiting for their files."]
    drive.set()
    scheduler.wait()
    assert [len(statuses(field, schedule)) for schedule in stuck] == [1, 1]


def test_no_connection_is_held_while_files_are_read(field: Field, monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[int] = []

    def read(files: AuditFiles) -> FilesRead:
        held.append(field.sessions.kw["bind"].pool.checkedout())
        return FilesRead(files)

    monkeypatch.setattr(field.audits, "read", read)
    field.schedule()
    assert field.look(at("02:00")) == 1
    assert held == [0]


def test_files_are_read_only_where_an_audit_may_begin(field: Field) -> None:
    field.schedule(replace(DAILY, cron="0 * * * *", overlap=Overlap.QUEUE))
    for time in ("01:00", "02:00", "03:00", "03:00"):
        field.look(at(time))
    assert len(field.audits.readings) == 1
    field.end_audits()
    assert field.look(at("03:30")) == 1
    assert len(field.audits.readings) == 2


def test_a_deployment_that_was_changed_while_its_files_were_read_is_read_again(
    field: Field, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule, read = field.schedule(), field.audits.read

    def read_others(files: AuditFiles) -> FilesRead:
        return FilesRead(replace(read(files).files, target=replace(files.target, id=UUID(int=1))))

    monkeypatch.setattr(field.audits, "read", read_others)
    assert field.look(at("02:00")) == 0
    assert field.fires(schedule) == []
    monkeypatch.undo()
    assert field.look(at("02:00")) == 1


def test_a_scheduler_that_ends_does_not_wait_for_what_hangs(field: Field, drive: Event) -> None:
    for number in range(3):
        hanging(field, drive, f"stuck-{number}")
    scheduler = Turns(field.sessions, field.audits, limit_s=60)
    scheduler.start_due(at("02:00"))
    wait_until(lambda: len(field.audits.readings) == 3)
    scheduler.stop(0.05)
    field.schedule(name="another")
    scheduler.start_due(at("02:00", 2))
    assert len(field.audits.readings) == 3
