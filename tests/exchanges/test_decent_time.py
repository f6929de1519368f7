"""Hours and days that suit people, clocks that stand still, and when somebody is reminded."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import pytest
from holidays import country_holidays
from hypothesis import given
from hypothesis import strategies as st

from service.policies.decent import last_decent, last_decent_for, next_decent, next_decent_for
from service.policies.pauses import MOST_PAUSE, extend
from service.policies.reminders import notice, schedule

PLACES: Final = (
    ("Europe/Paris", "FR"),
    ("Pacific/Auckland", "NZ"),
    ("America/Guadeloupe", "FR"),
    ("Asia/Kolkata", "IN"),
    ("America/St_Johns", "CA"),
    ("Antarctica/Troll", "AQ"),  # no holidays are known, and a clock that jumps two hours
)
INSTANTS: Final = st.integers(0, 6 * 366 * 24 * 60).map(
    lambda minutes: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
)


def _paris(*at: int) -> datetime:
    return datetime(*at, tzinfo=ZoneInfo("Europe/Paris"))  # type: ignore[arg-type,misc]


@given(INSTANTS, st.sampled_from(PLACES))
def test_a_moved_instant_is_by_day_on_no_holiday_and_as_near_as_can_be(
    instant: datetime, place: tuple[str, str]
) -> None:
    zone = ZoneInfo(place[0])
    later, sooner = next_decent(instant, *place), last_decent(instant, *place)
    assert sooner <= instant <= later
    for found in (sooner, later):
        local = found.astimezone(zone)
        assert time(9) <= local.time() < time(20)
        if place[1] != "AQ":
            assert local.date() not in country_holidays(place[1], years=local.year)
        assert next_decent(found, *place) == last_decent(found, *place) == found
    assert (sooner == instant) == (later == instant)


@pytest.mark.parametrize(
    ("at", "moved"),
    [
        (_paris(2027, 3, 10, 15, 0), _paris(2027, 3, 10, 15, 0)),
        (_paris(2027, 3, 10, 8, 59), _paris(2027, 3, 10, 9, 0)),
        (_paris(2027, 3, 10, 20, 0), _paris(2027, 3, 11, 9, 0)),
        (_paris(2026, 12, 24, 21, 0), _paris(2026, 12, 26, 9, 0)),  # Christmas Day
        (_paris(2027, 3, 29, 12, 0), _paris(2027, 3, 30, 9, 0)),  # Easter Monday
        (_paris(2027, 3, 28, 2, 30), _paris(2027, 3, 28, 9, 0)),  # an hour that does not exist
    ],
)
def test_nights_and_holidays_end_at_nine_in_the_morning(at: datetime, moved: datetime) -> None:
    assert next_decent(at, "Europe/Paris", "FR") == moved


def test_a_deadline_of_both_suits_both_and_of_people_who_share_no_hour_one_of_them() -> None:
    noon = datetime(2027, 3, 17, 12, 0, tzinfo=UTC)
    kolkata_and_paris = next_decent_for(noon, [("Europe/Paris", "FR"), ("Asia/Kolkata", "IN")])
    assert kolkata_and_paris == noon
    evening = datetime(2027, 3, 17, 18, 0, tzinfo=UTC)
    both = next_decent_for(evening, [("Europe/Paris", "FR"), ("Asia/Kolkata", "IN")])
    assert both == datetime(2027, 3, 18, 8, 0, tzinfo=UTC)
    apart = [("Europe/Paris", "FR"), ("Pacific/Auckland", "NZ")]
    found = next_decent_for(noon, apart)
    assert found == min(next_decent(noon, *place) for place in apart)
    assert last_decent_for(noon, apart) == max(last_decent(noon, *place) for place in apart)


@given(
    st.integers(1, 400),
    st.lists(st.tuples(st.integers(0, 900), st.integers(0, 300)), max_size=6),
)
def test_a_clock_runs_exactly_its_length_outside_of_the_pauses(
    hours: int, spans: list[tuple[int, int]]
) -> None:
    hour = timedelta(hours=1)
    start = datetime(2027, 1, 1, tzinfo=UTC)
    still = [(start + hour * (at - 50), start + hour * (at - 50 + for_)) for at, for_ in spans]
    due = extend(start, hour * hours, still)
    stopped = {
        n
        for n in range(4_000)
        if any(a <= start + hour * n and start + hour * n < b for a, b in still)
    }
    running = [n for n in range(4_000) if n not in stopped]
    expected = start + hour * (running[hours - 1] + 1)
    assert due == min(expected, start + hour * hours + MOST_PAUSE)


@given(st.integers(1, 40 * 24))
def test_reminders_come_before_their_deadline_and_the_last_leaves_time(hours: int) -> None:
    start = datetime(2027, 1, 1, tzinfo=UTC)
    due = start + timedelta(hours=hours)
    planned = schedule(start, due)
    assert planned == sorted(planned)
    assert planned
    assert all(start < at < due for at in planned)
    assert timedelta() < notice(planned, due) < due - planned[-1]
