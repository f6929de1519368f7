"""Reminders of cases: who is reminded of what, once, in time, and never of what is done."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from disputes import journal
from disputes.model import Case, Stage
from disputes.outcomes import Outcome
from service import db
from service.exchanges import case_reminders
from service.exchanges.model import Exchange
from service.sandbox import due
from tests.disputes.people import People
from tests.exchanges.court import DAY, Court
from tests.exchanges.world import World


@pytest.fixture
def court(world: World) -> Court:
    """A platform with one person who can decide its cases."""
    people = People(world.engine, world.platform_id)
    people.join()
    return Court(world, people)


def remind(court: Court, engine: Engine | None = None) -> int:
    """Do one round of reminders on this platform."""
    world = court.world
    return case_reminders.run(
        engine or world.engine, world.codes, world.now, only=world.platform_id
    )


def reminded(court: Court, case: Case) -> list[tuple[str, str]]:
    """Return whom the journal says were reminded, and of what, in order."""
    with court.people.inside() as connection:
        lines = journal.read(connection, case.platform_id, case.id)
    assert journal.first_broken(lines) is None
    return [
        (line.data["side"], line.data["about"])
        for line in lines
        if line.type == case_reminders.LINE
    ]


def split(court: Court, exchange: Exchange, step: str, **more: Any) -> Case:
    """Let somebody put a half to the other, or to both."""
    case = court.case(exchange)
    (line,) = case.lines
    half = {line.id: line.amount // 2}
    return court.take(case, step, outcome=Outcome.SPLIT, split=half, text="Half?", **more)


def test_who_has_not_answered_a_claim_is_reminded_once_a_day_before_its_end(court: Court) -> None:
    exchange, case = court.claimed()
    court.world.now = case.due_at - DAY - timedelta(seconds=1)
    assert remind(court) == 0
    court.world.now = case.due_at - DAY
    assert remind(court) == 1
    assert reminded(court, case) == [("payee", "answer")]
    assert court.world.events(exchange)[-1] == "case.reminded"
    court.world.now += DAY / 2
    assert remind(court) == 0


def test_whoever_has_spoken_is_reminded_of_nothing_and_the_other_of_the_offer(
    court: Court,
) -> None:
    exchange, _ = court.claimed()
    case = split(court, exchange, "make_offer", member_id=court.world.payee)
    assert case.offer is not None
    court.world.now = case.offer.expires_at - timedelta(hours=1)
    assert remind(court) == 1
    assert reminded(court, case) == [("payer", "offer")]
    court.take(case, "reject_offer", member_id=court.world.payer, about=case.offer.id)
    court.world.now = case.due_at - timedelta(hours=1)
    assert remind(court) == 0


def test_each_new_offer_is_reminded_of_anew(court: Court) -> None:
    exchange, _ = court.claimed()
    for _ in range(2):
        case = split(court, exchange, "make_offer", member_id=court.world.payee)
        assert case.offer is not None
        court.world.now = case.offer.expires_at - timedelta(hours=1)
        assert remind(court) == 1
        court.take(case, "withdraw_offer", member_id=court.world.payee, about=case.offer.id)
        court.world.now += timedelta(minutes=1)
    assert reminded(court, case) == [("payer", "offer")] * 2


def test_a_proposal_reminds_the_side_that_has_not_accepted_it(court: Court) -> None:
    exchange, case = court.mediated()
    case = split(court, exchange, "propose", mediator_id=case.mediator_id)
    assert case.proposal is not None
    accepted = {"member_id": court.world.payee, "about": case.proposal.id}
    case = court.take(case, "accept_proposal", **accepted)
    assert case.proposal is not None
    court.world.now = case.proposal.expires_at - timedelta(hours=1)
    assert remind(court) == 1
    assert reminded(court, case) == [("payer", "proposal")]


def test_a_return_reminds_first_who_sends_and_then_who_gets_it(court: Court) -> None:
    exchange, case = court.claimed()
    back = {"outcome": Outcome.RETURN_THEN_REFUND, "text": "Send it back."}
    case = court.take(case, "make_offer", member_id=court.world.payee, **back)
    assert case.offer is not None
    court.take(case, "accept_offer", member_id=court.world.payer, about=case.offer.id)
    case = court.case(exchange)
    assert case.stage is Stage.RETURNING
    court.world.now = case.due_at - DAY
    assert remind(court) == 1
    court.take(case, "mark_returned", member_id=court.world.payer)
    court.world.now = case.due_at - timedelta(hours=1)
    assert remind(court) == 1
    assert reminded(court, case) == [("payer", "send_back"), ("payee", "came_back")]


def test_nobody_is_reminded_of_what_is_over(court: Court) -> None:
    _, case = court.claimed()
    court.world.now = case.due_at
    assert remind(court) == 0
    court.take(case, "withdraw_claim", member_id=court.world.payer)
    court.world.now = case.due_at - timedelta(hours=1)
    assert remind(court) == 0


def test_workers_at_once_remind_once(court: Court, database_url: str) -> None:
    made = [db.create_engine(database_url, 5) for _ in range(3)]
    _, case = court.claimed()
    court.world.now = case.due_at - DAY
    try:
        with ThreadPoolExecutor(len(made)) as pool:
            assert sum(pool.map(lambda engine: remind(court, engine), made)) == 1
    finally:
        for one in made:
            one.dispose()
    assert reminded(court, case) == [("payee", "answer")]


def test_a_sandbox_that_is_moved_stops_where_somebody_is_to_be_reminded(court: Court) -> None:
    _, case = court.claimed()
    with court.people.inside() as connection:
        at = due.next_after(connection, court.world.platform_id, case.due_at - 2 * DAY)
    assert at == case.due_at - DAY
    court.world.now = at
    assert remind(court) == 1
    with court.people.inside() as connection:
        assert due.next_after(connection, court.world.platform_id, at) != at
