"""Time that is fair to members: by day, on no holiday, after a reminder, not while they cannot."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Engine, text

from service import db
from service.exchanges import pauses, timers
from service.exchanges.deadlines import deadlines, silence
from service.exchanges.kinds import Role
from service.exchanges.model import Exchange, State
from service.exchanges.refusals import DeadlinePassed
from service.ids import uuid7
from service.policies.pauses import UNREACHED_GRACE
from tests.exchanges.contested_world import ContestedWorld
from tests.exchanges.world import World

PAYER, PAYEE = Role.PAYER, Role.PAYEE


def _paris(*at: int) -> datetime:
    return datetime(*at, tzinfo=ZoneInfo("Europe/Paris"))  # type: ignore[arg-type,misc]


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
    # An outage is everybody's: this one is in years in which no other test lives, and ends with it.
    world.now = datetime(2041, 3, 5, 9, 0, tzinfo=UTC)
    try:
        _live_through_an_outage(world)
    finally:
        with world.engine.begin() as connection:
            connection.execute(text("DELETE FROM service.outage WHERE reason = 'a test'"))


def _live_through_an_outage(world: World) -> None:
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


def _told(
    world: World, exchange: Exchange, member: UUID, state: str, reason: str | None = None
) -> None:
    """Let this become of the last reminder to a member."""
    with db.transaction(world.engine, world.platform_id) as connection:
        connection.execute(
            text(
                "INSERT INTO service.message (platform_id, id, member_id, exchange_id, event_id, "
                "template, category, urgent, facts, channel, state, reason, made_at, due_at) "
                "SELECT :platform_id, :id, :member, :exchange, id, 'reminder', 'steps', false, "
                "'{}', 'email', :state, :reason, :now, "
                "CASE WHEN :state IN ('waiting', 'held', 'sending') "
                "THEN CAST(:now AS timestamptz) END FROM service.event "
                "WHERE exchange_id = :exchange AND type = 'exchange.reminder' "
                "ORDER BY sequence DESC LIMIT 1"
            ),
            {
                "platform_id": world.platform_id,
                "id": uuid7(),
                "member": member,
                "exchange": exchange.id,
                "state": state,
                "reason": reason,
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
    _told(world, exchange, world.payer, "bounced", "550 no such user")
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


def test_a_mail_without_any_server_reaches_nobody_and_without_an_address_the_platform_does(
    world: World,
) -> None:
    exchange = world.funded(world.sale())
    before = _due(exchange)
    world.pass_time(days=6, hours=1)
    _told(world, exchange, world.payer, "suppressed", "no_address")
    assert _due(world.read(exchange)) == before
    _told(world, exchange, world.payee, "suppressed", "no_channel")
    assert _due(world.read(exchange)) == before + UNREACHED_GRACE


@pytest.mark.parametrize("state", ["waiting", "held"])
def test_nobody_s_time_ends_while_their_reminder_is_on_its_way_but_not_for_ever(
    world: World, state: str
) -> None:
    exchange = world.funded(world.sale())
    before = _due(exchange)
    world.pass_time(days=6, hours=1)
    _told(world, exchange, world.payer, state)
    assert _due(world.read(exchange)) == before, "nobody is told of time that may not be theirs"
    world.pass_time(days=2)
    assert world.read(exchange).state is State.ACTIVE
    world.pass_time(days=2)
    (review,) = _events(world, exchange, "exchange.in_review")
    assert review["unreached"] == ["payer"]


def test_whoever_is_reached_after_all_has_the_time_that_was_announced(world: World) -> None:
    exchange = world.funded(world.sale())
    world.pass_time(days=6, hours=1)
    _told(world, exchange, world.payer, "bounced", "550 no such user")
    world.pass_time(days=1)
    assert world.read(exchange).state is State.ACTIVE
    with db.transaction(world.engine, world.platform_id) as connection:
        connection.execute(
            text("UPDATE service.message SET state = 'sent', reason = NULL, sent_at = :now"),
            {"now": world.now},
        )
    world.pass_time(hours=2)
    assert world.read(exchange).state is State.IN_REVIEW


def test_a_payer_who_tries_again_and_again_has_no_more_time_for_it(world: World) -> None:
    exchange = world.sale()
    for _ in range(40):
        world.pass_time(hours=17)
        if world.read(exchange).state.value in {"expired"}:
            break
        world.step(exchange, "fund", PAYER, payment_method="pm_sandbox_requires_action")
        world.pass_time(minutes=1)
        world.step(exchange, "abandon_payment", PAYER)
    assert world.read(exchange).state is State.EXPIRED
    assert world.now - exchange.proposed_at < timedelta(days=12)
    assert len(_events(world, exchange, "exchange.reminder")) <= 3


def test_a_pause_that_ends_sooner_is_no_reason_to_look_later(world: World) -> None:
    exchange = world.funded(world.sale())
    world.pass_time(days=2)
    with db.transaction(world.engine, world.platform_id) as connection:
        pause = pauses.record(
            connection,
            world.platform_id,
            world.payer,
            world.now,
            world.now + timedelta(days=29),
            world.now,
        )
    world.pass_time(days=6)
    with db.transaction(world.engine, world.platform_id) as connection:
        pauses.end(connection, world.platform_id, world.payer, pause.id, world.now)
    due = _due(world.read(exchange))
    world.pass_time(seconds=(due - world.now).total_seconds())
    assert world.read(exchange).state is State.IN_REVIEW
    assert len(_events(world, exchange, "exchange.reminder")) == 2


def test_while_the_bank_contests_the_payment_nobody_is_reminded_and_the_wait_begins_anew(
    engine: Engine, platform_id: UUID
) -> None:
    world = ContestedWorld(engine, platform_id)
    exchange = world.sold()
    row = world.contest(exchange)
    world.pass_time(days=20)
    assert world.read(exchange).state is State.ACTIVE
    assert _events(world, exchange, "exchange.reminder") == []
    world.decide(row, "won")
    unfrozen = world.read(exchange)
    assert unfrozen.frozen_at is None
    assert _due(unfrozen) >= world.now + timedelta(days=7)
    world.pass_time(days=9)
    (review,) = _events(world, exchange, "exchange.in_review")
    assert review["reason"] == "silence"
    assert len(_events(world, exchange, "exchange.reminder")) == 2
