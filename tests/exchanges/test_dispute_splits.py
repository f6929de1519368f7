"""A cent, a yen and an hour in dispute find their way to the ledger, whoever decides about them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest
from sqlalchemy import text

from disputes.model import Case, Stage
from disputes.outcomes import Outcome
from service.exchanges.commands import ClaimDraft
from service.exchanges.kinds import Role
from service.exchanges.model import Exchange
from tests.disputes.people import People
from tests.exchanges.court import REASONS, Court
from tests.exchanges.world import World

DIFFERS: Final = {"what_differs": "A page is missing.", "when_noticed": "At home."}


@pytest.fixture
def court(world: World) -> Court:
    """Five who may decide."""
    made = Court(world, People(world.engine, world.platform_id))
    for _ in range(5):
        made.people.join()
    return made


def claimed(court: Court, unit: str, amount: int, of: int = 0) -> tuple[Exchange, Case]:
    """A claim about ``amount`` of a price of ``of``, or of just as much."""
    world = court.world
    kind = "help" if unit == "HOURS" else "sale"
    exchange = world.funded(world.propose(world.draft(kind, [("price", of or amount, unit)])))
    (leg,) = exchange.legs
    draft = ClaimDraft("not_as_described", (leg.id,), {leg.id: amount}, DIFFERS)
    world.step(exchange, "claim", Role.PAYER, claim=draft)
    return exchange, court.case(exchange)


def by_offer(court: Court, case: Case, split: int) -> None:
    parts = {case.lines[0].id: split}
    case = court.take(
        case, "make_offer", member_id=case.payer_id, outcome=Outcome.SPLIT, split=parts
    )
    assert case.offer is not None
    court.take(case, "accept_offer", member_id=case.payee_id, about=case.offer.id)


def by_proposal(court: Court, case: Case, split: int) -> None:
    court.until(case.due_at)
    case = court.case(court.world.exchange(case.subject_id))
    parts = {case.lines[0].id: split}
    case = court.take(
        case, "propose", mediator_id=case.mediator_id, outcome=Outcome.SPLIT, split=parts
    )
    assert case.proposal is not None
    for member in (case.payer_id, case.payee_id):
        court.take(case, "accept_proposal", member_id=member, about=case.proposal.id)


def by_decision(court: Court, case: Case, split: int) -> Case:
    court.until(case.due_at)
    case = court.case(court.world.exchange(case.subject_id))
    done = court.take(
        case,
        "decide",
        mediator_id=case.mediator_id,
        outcome=Outcome.SPLIT,
        split={case.lines[0].id: split},
        text=REASONS,
        reason_code="evidence",
    )
    assert done.stage is Stage.APPEALABLE
    return done


def by_a_final_decision(court: Court, case: Case, split: int) -> None:
    court.until(by_decision(court, case, split).due_at)


def by_an_appeal(court: Court, case: Case, split: int) -> None:
    """The first decision gives the payee everything; those who hear the appeal split it."""
    case = by_decision(court, case, case.lines[0].amount)
    case = court.take(
        case, "appeal", member_id=case.payer_id, text="A letter.", reason_code="new_evidence"
    )
    assert case.appeal is not None
    parts = {case.lines[0].id: split}
    for one in case.appeal.panel:
        court.vote(case, one, Outcome.SPLIT, split=parts)


WAYS: Final[list[Callable[[Court, Case, int], None]]] = [
    by_offer,
    by_proposal,
    by_a_final_decision,
    by_an_appeal,
]
#: Unit, what is in dispute in its minor units, and what the payee gets of it.
SMALL: Final = [
    ("EUR", 1, 0),
    ("EUR", 1, 1),
    ("EUR", 2, 1),
    ("JPY", 1, 0),
    ("JPY", 1, 1),
    ("JPY", 3, 1),
    ("HOURS", 1, 1),
    ("HOURS", 100, 99),
    ("HOURS", 100, 0),
]


@pytest.mark.parametrize(("unit", "amount", "split"), SMALL)
@pytest.mark.parametrize("way", WAYS)
def test_what_is_split_is_what_each_gets(
    court: Court,
    way: Callable[[Court, Case, int], None],
    unit: str,
    amount: int,
    split: int,
) -> None:
    world = court.world
    exchange, case = claimed(court, unit, amount)
    way(court, case, split)
    world.sweep()
    assert court.case(exchange).settlement == {case.lines[0].id: split}
    (leg,) = world.read(exchange).legs
    assert leg.share is not None
    assert (leg.share.to_payer, leg.share.to_payee) == (amount - split, split)
    assert world.balance(f"hold:{leg.id}", unit) == 0
    if unit == "HOURS":
        assert (world.of(world.payer, unit), world.of(world.payee, unit)) == (-split, split)
    else:
        assert (world.of(world.payer, unit), world.of(world.payee, unit)) == (0, 0)
        assert world.outside(unit) == 0, "all of it was paid on"
    world.check()


@pytest.mark.parametrize(
    ("unit", "amount", "half"), [("EUR", 1, 0), ("JPY", 3, 1), ("HOURS", 5, 2)]
)
def test_what_cannot_be_halved_stays_with_who_paid_when_nobody_can_tell(
    court: Court, unit: str, amount: int, half: int
) -> None:
    exchange, case = claimed(court, unit, amount)
    with court.people.everywhere() as connection:
        query = text("DELETE FROM disputes.pool_member WHERE pool_id = :id")
        connection.execute(query, {"id": court.people.pool_id})
    court.until(case.decide_by)
    assert court.case(exchange).outcome is Outcome.CANNOT_DECIDE
    (leg,) = court.world.read(exchange).legs
    assert leg.share is not None
    assert (leg.share.to_payer, leg.share.to_payee) == (amount - half, half)


@pytest.mark.parametrize(
    ("unit", "amount", "of"), [("EUR", 1, 2), ("JPY", 1, 1_000), ("HOURS", 1, 2)]
)
@pytest.mark.parametrize("split", [0, 1])
def test_the_smallest_part_that_there_is_can_be_disputed_by_itself(
    court: Court, unit: str, amount: int, of: int, split: int
) -> None:
    world = court.world
    exchange, case = claimed(court, unit, amount, of)
    assert [leg.amount for leg in world.read(exchange).legs] == [of - amount, amount]
    by_offer(court, case, split)
    world.both_confirm(exchange)
    world.sweep()
    shares = [leg.share for leg in world.read(exchange).legs]
    assert sum(one.to_payee for one in shares if one is not None) == of - amount + split
    assert sum(one.to_payer for one in shares if one is not None) == amount - split
    if unit != "HOURS":
        assert world.outside(unit) == 0
    world.check()
