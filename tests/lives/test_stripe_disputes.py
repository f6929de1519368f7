"""Cases about payments at a real provider: who paid with the same card decides nothing."""

from __future__ import annotations

from disputes import mediators
from disputes.mediators import instrument
from disputes.recusal import Tie, TieKind
from service import db
from service.exchanges import cases
from service.exchanges.commands import ClaimDraft
from service.exchanges.kinds import Role
from tests.disputes.people import NOW, People
from tests.lives.stripe_lives import StripeLives


def test_a_mediator_who_pays_with_the_same_card_is_kept_off_the_case(world: StripeLives) -> None:
    people = People(world.engine, world.platform_id)
    shares, other = people.join(), people.join()
    card = instrument("stripe:card:card0077")  # what the provider tells of pm_card_bypassPending
    with people.everywhere() as connection:
        mediators.declare(connection, shares, Tie(TieKind.INSTRUMENT, instrument=card), "", NOW)
    exchange = world.funded(world.sale())
    claim = ClaimDraft("unauthorised", answers={"how_noticed": "On the statement."})
    world.step(exchange, "claim", Role.PAYER, claim=claim)
    case_id = world.read(exchange).case_id
    assert case_id is not None
    with db.transaction(world.engine, world.platform_id) as connection:
        case = cases.find(connection, world.platform_id, case_id)
    assert case.mediator_id == other
    (record,) = people.assignments(case)
    assert record["excluded"] == {str(shares): ["payment_instrument"]}
