"""The pure rules: which due fires start, and what overlap does."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.schedules import (
    MOST_CAUGHT_UP,
    MOST_LISTED,
    ON_TIME,
    CatchUp,
    Overlap,
    Schedule,
    Step,
    Terms,
    checked,
    on_overlap,
    owed,
    settle,
)
from service.errors import InvalidInput
from tests.schedules.field import DAILY, MONDAY, at

NOW = at("12:00", 20)

terms = st.builds(
    Terms,
    st.just("0 2 * * *"),
    st.just("UTC"),
    st.just(CatchUp.ALL),
    st.integers(1, MOST_CAUGHT_UP),
    st.none() | st.timedeltas(ON_TIME, timedelta(days=3)),
    st.sampled_from(Overlap),
) | st.builds(
    Terms,
    st.just("0 2 * * *"),
    st.just("UTC"),
    st.sampled_from([CatchUp.NONE, CatchUp.LATEST]),
    st.none(),
    st.none() | st.timedeltas(ON_TIME, timedelta(days=3)),
    st.sampled_from(Overlap),
)
due_fires = st.lists(st.integers(0, 5 * 24 * 60), unique=True, max_size=30).map(
    lambda minutes: [NOW - timedelta(minutes=late, seconds=20) for late in sorted(minutes, reverse=True)]
)


@given(due_fires, terms)
def test_what_starts_follows_from_catch_up_and_grace(due: list[datetime], terms: Terms) -> None:
    reasons = settle(due, NOW, terms)
    assert list(reasons) == due
    started = [fire for fire, reason in reasons.items() if reason is None]
    on_time = [fire for fire in due if NOW - fire < ON_TIME]
    late = [fire for fire in started if fire not in on_time]
    assert set(on_time) <= set(started)
    assert all(terms.grace is None or NOW - fire <= terms.grace for fire in late)
    in_grace = [f for f in due if f not in on_time and (terms.grace is None or NOW - f <= terms.grace)]
    match terms.catch_up:
        case CatchUp.NONE:
            assert late == []
        case CatchUp.LATEST:
            assert late == ([] if on_time else in_grace[-1:])
        case CatchUp.ALL:
            assert late == in_grace[-(terms.catch_up_max or 0) :]
    assert all(reason for fire, reason in reasons.items() if fire not in started)


def test_a_reason_says_how_late_and_which_rule() -> None:
    due = [NOW - timedelta(days=2, hours=3), NOW - timedelta(minutes=5)]
    none = settle(due, NOW, replace(DAILY, catch_up=CatchUp.NONE))
    assert list(none.values()) == [
        "Found 2 d 3 h late; the schedule does not catch up.",
        "Found 5 min late; the schedule does not catch up.",
    ]
    graceful = settle(due, NOW, replace(DAILY, catch_up=CatchUp.ALL, catch_up_max=5, grace=timedelta(hours=1)))
    assert list(graceful.values()) == ["Found 2 d 3 h late; its grace period has ended.", None]


@pytest.mark.parametrize(
    ("overlap", "audits_open", "waiting", "step"),
    [
        (Overlap.SKIP, False, False, Step.START),
        (Overlap.SKIP, True, False, Step.SKIP),
        (Overlap.SKIP, True, True, Step.SKIP),
        (Overlap.QUEUE, False, False, Step.START),
        (Overlap.QUEUE, True, False, Step.WAIT),
        (Overlap.QUEUE, True, True, Step.SKIP),
        (Overlap.CANCEL_OLD, False, False, Step.START),
        (Overlap.CANCEL_OLD, True, False, Step.CANCEL_AND_START),
        (Overlap.CANCEL_OLD, True, True, Step.CANCEL_AND_START),
    ],
)
def test_overlap(overlap: Overlap, audits_open: bool, waiting: bool, step: Step) -> None:
    assert on_overlap(overlap, audits_open=audits_open, waiting=waiting) is step


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        (replace(DAILY, cron="0 25 * * *"), "cron"),
        (replace(DAILY, zone="Europe/Atlantis"), "zone"),
        (replace(DAILY, catch_up_max=3), "catch_up_max"),
        (replace(DAILY, catch_up=CatchUp.ALL, catch_up_max=0), "catch_up_max"),
        (replace(DAILY, catch_up=CatchUp.ALL, catch_up_max=MOST_CAUGHT_UP + 1), "catch_up_max"),
        (replace(DAILY, grace=timedelta(seconds=5)), "grace_s"),
    ],
)
def test_terms_that_cannot_be_kept_are_refused(wrong: Terms, field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        checked(wrong)
    assert caught.value.field == field
    assert caught.value.remedy


def test_of_very_many_fires_the_newest_are_listed_and_the_rest_counted() -> None:
    terms = replace(DAILY, cron="* * * * *")
    now = MONDAY + timedelta(minutes=MOST_LISTED + 500)
    schedule = Schedule(
        id=None,  # type: ignore[arg-type]
        name="often",
        deployment_id=None,  # type: ignore[arg-type]
        deployment="screening",
        terms=terms,
        paused=False,
        looked_at=MONDAY,
        look_at=MONDAY,
        created_at=MONDAY,
    )
    newest, earlier = owed(schedule, now)
    assert (len(newest), newest[-1], earlier) == (MOST_LISTED, now, 500)
