"""What a review found could go wrong, each as a test that would fail if it could again."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from ledger.refusals import InvalidUnit, UnknownUnit
from ledger.units import iso
from service import db
from service.exchanges import advance, leaving, payouts, propose
from service.exchanges.commands import Command
from service.exchanges.desk import Desk
from service.exchanges.fees import FeeRule, quote
from service.exchanges.kinds import Kind, Role, shows_code
from service.exchanges.leaving import MemberBusy
from service.exchanges.model import Exchange, State
from service.exchanges.queries import next_actions
from service.exchanges.refusals import DeadlinePassed, InvalidTerms, StepNotAllowed
from service.operations import dead_letters
from service.payments.port import Object, ProviderRefused, Request
from service.payments.providers import Providers
from service.payments.sandbox import Sandbox
from tests.exchanges.world import SECRET, World

PAYER, PAYEE = Role.PAYER, Role.PAYEE


class Stubborn(Sandbox):
    """The sandbox on a bad day: refuses to show, or fails on some payments."""

    refuses_to_show = False
    fails_for: UUID | None = None

    def retrieve(self, platform_id: UUID, ref: str) -> Object:
        if self.refuses_to_show:
            raise ProviderRefused("unknown_object", "No such object.")
        return super().retrieve(platform_id, ref)

    def submit(self, request: Request) -> Object:
        if request.payment_id == self.fails_for:
            raise KeyError("a bug of the adapter")
        return super().submit(request)


def _stubborn(world: World) -> Stubborn:
    provider = Stubborn(world.engine, SECRET, lambda: world.now)
    world.desk = Desk(world.engine, Providers(provider), world.codes)
    return provider


def test_community_units_and_unknown_ones_cannot_be_paid_out(world: World) -> None:
    for unit, refusal in (("HOURS", InvalidUnit), ("ZZZZ", UnknownUnit)):
        with (
            db.transaction(world.engine, world.platform_id) as connection,
            pytest.raises(refusal),
        ):
            payouts.pay_out(
                connection, world.platform_id, world.payer, 900, unit, world.sandbox, world.now
            )
    assert world.of(world.payer, "HOURS") == 0


def test_a_counter_offer_cannot_turn_an_exchange_into_another_kind(world: World) -> None:
    exchange = world.propose(world.draft("sale", [("price", 900, "EUR")]), agreed=False)
    checked = propose.check_terms(world.draft("gift"), {}, world.sandbox, world.now)
    with pytest.raises(InvalidTerms) as refused:
        world.step(exchange, "counter_offer", PAYER, terms=checked)
    assert refused.value.pointer == "/terms/kind"


def test_a_provider_that_refuses_to_show_a_payout_does_not_make_it_failed(world: World) -> None:
    provider = _stubborn(world)
    exchange = world.funded(world.sale(10_408))
    world.both_confirm(exchange)
    provider.refuses_to_show = True
    world.pass_time(minutes=5)
    assert world.of(world.payee) == 0
    assert "payout.failed" not in world.events(exchange)
    provider.refuses_to_show = False
    world.pass_time(hours=1)
    assert world.events(exchange)[-1] == "payout.succeeded"


def test_a_settled_payment_is_never_submitted_again(world: World) -> None:
    exchange = world.sale(1_000)
    command = Command(exchange.id, "fund", world.who(exchange, PAYER), payment_method="pm_none")
    with db.transaction(world.engine, world.platform_id) as connection:
        (done,) = advance.advance(connection, world.platform_id, [command], world.rules)
    assert isinstance(done, advance.Done)
    payment_id = done.payments[0].id
    with db.transaction(world.engine, world.platform_id) as connection:
        connection.execute(
            text(
                "UPDATE service.payment SET state = 'failed', failure = 'refused', "
                "settled_at = :now, look_again_at = NULL WHERE id = :id"
            ),
            {"now": world.now, "id": payment_id},
        )
    world.submit(done.payments[0])
    with db.transaction(world.engine, db.SYSTEM) as connection:
        there = connection.scalar(
            text("SELECT count(*) FROM service.sandbox_object WHERE platform_id = :p"),
            {"p": world.platform_id},
        )
    assert there == 0


def test_one_payment_that_cannot_be_asked_for_keeps_no_other_waiting(world: World) -> None:
    provider = _stubborn(world)
    poisoned, healthy = world.sale(1_000), world.sale(2_000)
    for exchange in (poisoned, healthy):
        command = Command(exchange.id, "fund", world.who(exchange, PAYER))
        with db.transaction(world.engine, world.platform_id) as connection:
            (done,) = advance.advance(connection, world.platform_id, [command], world.rules)
        assert isinstance(done, advance.Done)
        if exchange is poisoned:
            provider.fails_for = done.payments[0].id
    world.pass_time(minutes=1)
    assert world.read(healthy).state is State.ACTIVE
    assert world.read(poisoned).state is State.FUNDING
    provider.fails_for = None
    world.pass_time(hours=1)
    assert world.read(poisoned).state is State.ACTIVE


def test_one_exchange_whose_timer_cannot_fire_keeps_no_other_waiting(world: World) -> None:
    broken, *others = [world.sale(700 + n) for n in range(5)]
    _break(world, broken)
    world.pass_time(days=4)
    assert [world.read(one).state for one in others] == [State.EXPIRED] * 4
    assert _state(world, broken) == "agreed"
    _mend(world, broken)
    _take_up_again(world)
    world.pass_time(days=2)  # the reminder comes late, and leaves its time
    assert world.read(broken).state is State.EXPIRED


def _take_up_again(world: World) -> None:
    with db.transaction(world.engine, world.platform_id) as connection:
        for letter in dead_letters.page(connection, world.platform_id, limit=10, open_=True):
            dead_letters.retry(connection, world.platform_id, letter["id"], world.now)


def _break(world: World, exchange: Exchange) -> None:
    """Put an offer into the row that no code understands: reading the exchange fails."""
    _write_offer(world, exchange, '{"kind": "barter"}')


def _mend(world: World, exchange: Exchange) -> None:
    _write_offer(world, exchange, None)


def _write_offer(world: World, exchange: Exchange, offer: str | None) -> None:
    with db.transaction(world.engine, world.platform_id) as connection:
        connection.execute(
            text("UPDATE service.exchange SET proposal = CAST(:offer AS jsonb) WHERE id = :id"),
            {"id": exchange.id, "offer": offer},
        )


def _state(world: World, exchange: Exchange) -> str:
    with db.transaction(world.engine, world.platform_id) as connection:
        found: str = connection.execute(
            text("SELECT state FROM service.exchange WHERE id = :id"), {"id": exchange.id}
        ).scalar_one()
    return found


def test_what_the_terms_announce_holds_even_when_the_worker_is_late(world: World) -> None:
    exchange = world.funded(world.sale())
    unpaid = world.sale()
    world.now += timedelta(days=200)
    with pytest.raises(DeadlinePassed):
        world.step(exchange, "confirm", PAYER)
    assert next_actions(world.read(exchange), None, world.now) == []
    world.sleep()
    assert world.read(exchange).state is State.REFUNDED
    # What was not paid waits on: nobody has reminded the payer, whose time ends after that alone.
    assert world.read(unpaid).state is State.AGREED
    world.pass_time(days=2)
    assert world.read(unpaid).state is State.EXPIRED
    with pytest.raises(StepNotAllowed):
        world.step(unpaid, "fund", PAYER)


def test_a_shared_fee_is_shared_however_many_prices_there_are() -> None:
    parts = quote(FeeRule(basis_points=100, borne_by="shared"), [100] * 20)
    assert sum(payer for payer, _ in parts) == 10
    assert sum(payee for _, payee in parts) == 10


def test_silence_pays_nobody_not_even_the_platform(world: World) -> None:
    fee = FeeRule(fixed=300, borne_by="payer", on_refund="kept")
    exchange = world.funded(world.sale(6_500, fee=fee))
    world.pass_time(days=90)
    assert world.read(exchange).state is State.REFUNDED
    assert world.balance("platform:fees") == 0
    assert world.outside() == 0


def test_a_member_with_a_payment_under_way_cannot_leave(world: World) -> None:
    exchange = world.funded(world.sale(10_408))
    offered = world.step(exchange, "propose_cancellation", PAYEE)
    assert offered.proposal is not None
    world.step(exchange, "accept_proposal", PAYER, proposal_id=offered.proposal.id)
    with (
        db.transaction(world.engine, world.platform_id) as connection,
        pytest.raises(MemberBusy),
    ):
        leaving.require_settled(connection, world.platform_id, world.payer)
    world.sweep()
    world.pass_time(minutes=5)
    with db.transaction(world.engine, world.platform_id) as connection:
        leaving.require_settled(connection, world.platform_id, world.payer)


def test_a_payment_can_be_given_up_and_another_tried(world: World) -> None:
    exchange = world.propose(world.draft("mixed", [("price", 500, "EUR"), ("price", 9, "HOURS")]))
    world.step(exchange, "fund", PAYER, payment_method="pm_sandbox_requires_action")
    assert world.of(world.payer, "HOURS") == -9
    assert world.step(exchange, "abandon_payment", PAYER).state is State.AGREED
    assert world.of(world.payer, "HOURS") == 0
    assert world.funded(exchange).state is State.ACTIVE
    assert world.outside() == 500


def test_only_the_return_of_a_thing_shows_its_code_to_the_lender() -> None:
    assert shows_code(Kind.RENTAL, "return") is PAYEE
    assert shows_code(Kind.LOAN, "return") is PAYEE
    assert shows_code(Kind.LOAN, "handover") is PAYER
    assert shows_code(Kind.SERVICE, "return") is PAYER


def test_a_split_is_not_offered_where_nothing_is_held(world: World) -> None:
    offered = {
        step.name for step, _ in next_actions(world.propose(world.draft("gift")), None, world.now)
    }
    assert "propose_settlement" not in offered
    assert "propose_cancellation" in offered


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE service.exchange SET payer_id = payee_id, payee_id = payer_id",
        "UPDATE service.exchange SET terms = '{}'",
        "UPDATE service.exchange SET terms_hash = 'x'",
        "UPDATE service.exchange SET kind = 'gift'",
        "UPDATE service.exchange SET funded_at = now()",
        "UPDATE service.leg SET role = 'deposit'",
        "UPDATE service.leg SET checkpoint = 'nowhere'",
        "UPDATE service.leg SET amount = amount + 1",
        "UPDATE service.leg SET state = 'open'",
        "UPDATE service.leg SET state = 'settled', to_payer = 1, to_payee = 1, to_fees = 1",
        "UPDATE service.checkpoint SET met_at = now()",
        "DELETE FROM service.leg",
        "DELETE FROM service.checkpoint",
        "DELETE FROM service.confirmation",
        "DELETE FROM service.event",
        "UPDATE service.event SET type = 'x'",
        "UPDATE service.payment SET amount = amount + 1",
        "UPDATE service.payment SET state = 'pending', settled_at = NULL, look_again_at = now()",
        "UPDATE service.payment SET refund_asked = amount + 1",
        "UPDATE service.payment SET exchange_id = NULL",
        "DELETE FROM service.payment",
        "DELETE FROM service.exchange",
        "UPDATE service.exchange SET state = 'refunded'",
    ],
)
def test_the_database_refuses_to_change_what_was_agreed_or_happened(
    world: World, statement: str
) -> None:
    world.funded(world.sale())
    world.step(world.funded(world.sale()), "confirm", PAYER)
    with (
        pytest.raises(DBAPIError),
        db.transaction(world.engine, world.platform_id) as connection,
    ):
        connection.execute(text(statement))


def test_the_fee_of_a_currency_is_quoted_in_its_own_minor_units() -> None:
    assert iso("JPY").exponent == 0
    assert quote(FeeRule(basis_points=333), [101]) == [(0, 3)]
