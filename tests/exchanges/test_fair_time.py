"""Time that is fair to members: by day, on no holiday, after a reminder, not while they cannot."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from holidays import country_holidays
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from service import db
from service.exchanges import pauses, timers
from service.exchanges.deadlines import deadlines, silence
from service.exchanges.kinds import Role
from service.exchanges.model import Exchange, State
from service.exchanges.refusals import DeadlinePassed
from service.ids import uuid7
from service.policies.decent import last_decent, next_decent, next_decent_for
from service.policies.pauses import MOST_PAUSE, UNREACHED_GRACE, extend
from service.policies.reminders import notice, schedule
from tests.exchanges.world import World

PAYER, PAYEE = Role.PAYER, Role.PAYEE
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
    assert any(next_decent(found, *place) == found for place in apart)
    assert found - noon < timedelta(days=20)


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


def _events(world: World, exchange: Exchange, wanted: str) -> list[dict[str, Any]]:
    with db.transaction(world.engine, world.platform_id) as connection:
        return [
            row.data
            for row in connection.execute(
                text(
                    "SELECT data FROM service.event WHERE exchange_id = :id AND type = :type "
                    "ORDER BY sequence"
                ),
                {"id": exchange.id, "type": wanted},
            )
        ]


def _due(exchange: Exchange, name: str = "confirm_by") -> datetime:
    (found,) = [line.due_at for line in deadlines(exchange) if line.name == name]
    return found


def test_whoever_is_silent_is_reminded_twice_and_then_a_neutral_looks(world: World) -> None:
    exchange = world.funded(world.sale())
    world.step(exchange, "confirm", PAYEE)
    world.pass_time(days=8)
    told = _events(world, exchange, "exchange.reminder")
    assert [one["to"] for one in told] == [["payer"], ["payer"]]
    assert [(one["number"], one["last"]) for one in told] == [(1, False), (2, True)]
    assert {one["about"] for one in told} == {"confirm_by"}
    (review,) = _events(world, exchange, "exchange.in_review")
    assert review["reason"] == "silence"
    assert review["unconfirmed"] == ["payer"]
    assert review["unreached"] == []
    assert world.outside() == 6_500
    assert world.of(world.payee) == 0


def test_an_answer_ends_the_reminders(world: World) -> None:
    exchange = world.funded(world.sale())
    world.step(exchange, "confirm", PAYEE)
    world.step(exchange, "confirm", PAYER)
    world.pass_time(days=8)
    assert _events(world, exchange, "exchange.reminder") == []


def test_a_reminder_leaves_the_version_that_members_have_read(world: World) -> None:
    exchange = world.funded(world.sale())
    world.pass_time(days=5)
    after = world.read(exchange)
    assert after.reminders == 1
    assert after.version == exchange.version
    world.step(exchange, "confirm", PAYER, expected_version=exchange.version)


def test_each_wait_has_its_own_reminders(world: World) -> None:
    exchange = world.propose(world.draft("sale", [("price", 100, "EUR")]), agreed=False)
    world.pass_time(days=4, hours=1)
    assert world.read(exchange).reminders == 1
    agreed = world.step(exchange, "agree", PAYER, terms_hash=exchange.terms_hash)
    assert agreed.reminders == 0
    world.pass_time(days=2, hours=1)
    assert [one["about"] for one in _events(world, exchange, "exchange.reminder")] == [
        "agree_by",
        "fund_by",
    ]


def test_a_reminder_that_was_late_leaves_the_time_it_announced(world: World) -> None:
    exchange = world.sale()
    planned = _due(exchange, "fund_by")
    world.now = planned + timedelta(hours=5)
    world.fire()
    (told,) = _events(world, exchange, "exchange.reminder")
    due = _due(world.read(exchange), "fund_by")
    assert datetime.fromisoformat(told["due_at"]) == due
    assert due - world.now >= timedelta(hours=18)
    assert world.read(exchange).state is State.AGREED
    world.step(exchange, "fund", PAYER)


def test_nobody_s_time_ends_before_they_were_reminded_though_the_worker_is_away(
    world: World,
) -> None:
    exchange = world.sale()
    world.now = _due(exchange, "fund_by") + timedelta(days=1)
    assert world.step(exchange, "fund", PAYER).state is State.FUNDING


def test_after_the_reminders_what_was_announced_holds_to_the_second(world: World) -> None:
    exchange = world.sale()
    world.pass_time(days=2, hours=12)
    world.now = _due(world.read(exchange), "fund_by")
    with pytest.raises(DeadlinePassed):
        world.step(exchange, "fund", PAYER)


def _pause(world: World, member: UUID, **length: float) -> None:
    with db.transaction(world.engine, world.platform_id) as connection:
        until = world.now + timedelta(**length)
        pauses.record(connection, world.platform_id, member, world.now, until, world.now)


def test_the_deadlines_of_a_member_who_cannot_act_stand_still_and_the_other_s_do_not(
    world: World,
) -> None:
    exchange = world.funded(world.sale())
    before = _due(exchange)
    world.pass_time(days=2)
    _pause(world, world.payer, days=10)
    assert _due(world.read(exchange)) >= before + timedelta(days=10)
    world.step(exchange, "confirm", PAYER)
    assert _due(world.read(exchange)) == before, "now the payee alone is waited for"
    world.step(exchange, "withdraw_confirmation", PAYER)
    world.pass_time(days=8)
    assert world.read(exchange).state is State.ACTIVE
    world.pass_time(days=9)
    assert world.read(exchange).state is State.IN_REVIEW


def test_no_pause_reaches_beyond_the_limit_of_how_long_money_is_held(world: World) -> None:
    exchange = world.funded(world.sale())
    for _ in range(4):
        _pause(world, world.payer, days=30)
        _pause(world, world.payee, days=30)
        world.pass_time(days=30)
    assert world.read(exchange).state is State.REFUNDED
    (review,) = _events(world, exchange, "exchange.in_review")
    assert review["reason"] in {"silence", "still_open"}


def test_an_outage_of_ours_counts_for_nobody(world: World) -> None:
    # An outage is everybody's: this one is in years in which no other test lives.
    world.now = datetime(2041, 3, 5, 9, 0, tzinfo=UTC)
    exchange = world.funded(world.sale())
    before = _due(exchange)
    with db.transaction(world.engine, db.SYSTEM) as connection:
        connection.execute(
            text(
                "INSERT INTO service.outage VALUES "
                "(:id, 'api', :began, :ended, 'a test', :ended), "
                "(:other, 'worker', :began, :ended, 'a test', :ended)"
            ),
            {
                "id": uuid7(),
                "other": uuid7(),
                "began": world.now + timedelta(days=1),
                "ended": world.now + timedelta(days=3),
            },
        )
    assert _due(world.read(exchange)) == before + timedelta(days=2)
    world.pass_time(days=7, hours=1)
    assert world.read(exchange).state is State.ACTIVE, "its timer was due, and was put right"
    world.pass_time(days=2)
    assert world.read(exchange).state is State.IN_REVIEW


def _bounce(world: World, exchange: Exchange, member: UUID) -> None:
    """Let the last reminder to a member come back."""
    with db.transaction(world.engine, world.platform_id) as connection:
        connection.execute(
            text(
                "INSERT INTO service.message (platform_id, id, member_id, exchange_id, event_id, "
                "template, category, urgent, facts, channel, state, reason, made_at) "
                "SELECT :platform_id, :id, :member, :exchange, id, 'reminder', 'steps', false, "
                "'{}', 'email', 'bounced', '550 no such user', :now FROM service.event "
                "WHERE exchange_id = :exchange AND type = 'exchange.reminder' "
                "ORDER BY sequence DESC LIMIT 1"
            ),
            {
                "platform_id": world.platform_id,
                "id": uuid7(),
                "member": member,
                "exchange": exchange.id,
                "now": world.now,
            },
        )


def test_somebody_whose_reminder_came_back_has_more_time_and_is_named_in_the_review(
    world: World,
) -> None:
    exchange = world.funded(world.sale())
    before = _due(exchange)
    world.step(exchange, "confirm", PAYEE)
    world.pass_time(days=6, hours=1)
    _bounce(world, exchange, world.payer)
    assert _due(world.read(exchange)) == before + UNREACHED_GRACE
    world.pass_time(days=1)
    assert world.read(exchange).state is State.ACTIVE
    world.pass_time(days=3)
    (review,) = _events(world, exchange, "exchange.in_review")
    assert review["unreached"] == ["payer"]


def test_a_member_who_moves_has_the_hours_and_holidays_of_the_new_place(world: World) -> None:
    exchange = world.sale()
    assert _due(exchange, "fund_by") == world.now + timedelta(days=3)
    with db.transaction(world.engine, world.platform_id) as connection:
        connection.execute(
            text(
                "UPDATE service.member SET time_zone = 'Pacific/Auckland', country = 'NZ' "
                "WHERE id = :id"
            ),
            {"id": world.payer},
        )
    due = _due(world.read(exchange), "fund_by").astimezone(ZoneInfo("Pacific/Auckland"))
    assert due.time() == time(9)
    assert due.date() == date(2027, 3, 5)
    # The row of the timer still says the old instant; firing puts it right and takes nothing.
    world.pass_time(days=3, minutes=1)
    assert world.read(exchange).state is State.AGREED
    world.pass_time(days=1)
    assert world.read(exchange).state is State.EXPIRED


def test_an_offer_lapses_at_a_decent_hour_of_who_is_to_answer_it(world: World) -> None:
    exchange = world.funded(world.sale())
    world.now = _paris(2027, 3, 5, 23, 0).astimezone(UTC)
    offered = world.step(exchange, "propose_cancellation", PAYEE)
    assert offered.proposal is not None
    assert offered.proposal.expires_at == _paris(2027, 3, 13, 9, 0)


def test_two_workers_fire_each_timer_once(world: World) -> None:
    exchange = world.funded(world.sale())
    world.now = _due(exchange) - timedelta(hours=30)
    fired = [timers.run(world.engine, world.codes, world.now, only=world.platform_id) for _ in "ab"]
    assert fired == [1, 0]
    assert silence(world.read(exchange)) is not None
    assert len(_events(world, exchange, "exchange.reminder")) == 1
