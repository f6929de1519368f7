"""Banks that contest a payment while a dispute about it goes on: value finds its place once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final
from uuid import UUID

import pytest
from sqlalchemy import Engine

from disputes.model import Stage
from disputes.outcomes import Outcome
from ledger.refusals import Refusal
from service.exchanges import case_clocks
from service.exchanges.model import Exchange, State
from tests.disputes.people import People
from tests.exchanges.contested_world import ContestedWorld
from tests.exchanges.court import Court, at_once

ATTEMPTS: Final = range(4)


@pytest.fixture
def world(engine: Engine, platform_id: UUID) -> Iterator[ContestedWorld]:
    """A platform whose payers' banks may contest; its books must be clean at the end."""
    made = ContestedWorld(engine, platform_id)
    yield made
    made.check()


@pytest.fixture
def court(world: ContestedWorld) -> Court:
    """Two who may decide."""
    made = Court(world, People(world.engine, world.platform_id))
    for _ in range(2):
        made.people.join()
    return made


def heard(world: ContestedWorld, exchange: Exchange) -> Callable[[], None]:
    """The bank contests the payment; what is returned hears of it."""
    ref = world.bank.contest(world.platform_id, world.collect_ref(exchange), "dispute")
    return partial(world.follow, ref)


@pytest.mark.parametrize("attempt", ATTEMPTS)
@pytest.mark.parametrize("bank", ["won", "lost"])
def test_a_chargeback_that_is_heard_of_while_the_two_agree(
    court: Court, world: ContestedWorld, bank: Any, attempt: int
) -> None:
    exchange, case = court.claimed()
    leg = case.lines[0].id
    case = court.take(
        case, "make_offer", member_id=case.payee_id, outcome=Outcome.SPLIT, split={leg: 3_000}
    )
    assert case.offer is not None
    accept = partial(court.take, case, "accept_offer", member_id=case.payer_id, about=case.offer.id)
    answers = at_once(attempt, accept, heard(world, exchange))
    assert not any(isinstance(one, Refusal) for one in answers)
    assert court.case(exchange).settlement == {leg: 3_000}
    row = world.chargebacks(exchange)[-1]
    asked = court.world.read(exchange)
    if asked.award is not None:  # the bank was first: nothing moves before it has decided
        assert court.paid(exchange) == {"refund": [], "payout": []}
    world.decide(row, bank)
    world.sweep()
    sent = court.paid(exchange)
    assert len(sent["refund"]) <= 1
    assert len(sent["payout"]) <= 1
    if asked.award is not None and bank == "won":
        assert sent == {"refund": [3_500], "payout": [3_000]}
    if asked.award is not None and bank == "lost":
        assert sent == {"refund": [], "payout": []}
    taken = sum(row["withdrawn"] for row in world.chargebacks(exchange))
    assert sum(sent["refund"]) + taken <= 6_500, "the payer never gets more than was paid"


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_a_chargeback_that_is_heard_of_while_the_decision_becomes_final(
    court: Court, world: ContestedWorld, attempt: int
) -> None:
    exchange, case = court.decided(Outcome.TO_PAYEE)
    clock = partial(case_clocks.run, world.engine, world.codes, case.due_at, only=world.platform_id)
    hear = heard(world, exchange)
    at_once(attempt, clock, hear)
    clock()  # a round passes over what another holds
    assert court.case(exchange).stage is Stage.CLOSED
    world.now = case.due_at
    world.check()
    world.decide(world.chargebacks(exchange)[-1], "lost")
    taken = sum(row["withdrawn"] for row in world.chargebacks(exchange))
    assert taken == 6_500
    assert court.paid(exchange)["refund"] == [], "the payer has it from the bank already"


def test_a_bank_that_contests_a_decision_and_takes_all_is_no_mistake_of_the_books(
    court: Court, world: ContestedWorld
) -> None:
    exchange, case = court.decided(Outcome.TO_PAYEE)
    row = world.contest(exchange)
    court.until(case.due_at)
    assert world.read(exchange).award == {case.lines[0].id: 6_500}
    world.decide(row, "lost")
    after = world.read(exchange)
    assert (after.state, after.award) == (State.REFUNDED, None)
    assert court.paid(exchange) == {"refund": [], "payout": []}
    world.check()
