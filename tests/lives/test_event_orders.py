"""Orders, duplications, losses and delays of lives' events: one and the same set of books.

`--orders=1000` tries a thousand, as continuous integration does. Eight exchanges live at once, so
that every example tries eight orders, mixed with each other. What an event says is never believed:
whichever comes when, the objects are read again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Final
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from ledger.accounts import balances
from service import db
from service.exchanges.advance import advance
from service.exchanges.commands import Command
from service.exchanges.kinds import Role
from service.exchanges.model import Exchange
from service.payments.payments import LEASE
from tests.lives.stripe_lives import StripeLives
from tests.stripe_server import StripeServer

LIVES: Final = 8
#: What the platform has at Stripe for the fees that refunds do not give back.
OWN: Final = 10_000
_Books = Counter[tuple[str, str, int]]


def _books(world: StripeLives) -> _Books:
    """Every account by its kind with its balance: the ids differ from life to life."""
    with db.transaction(world.engine, world.platform_id) as connection:
        kinds = ["hold", "member", "transit", "platform", "provider", "receivable", "expense"]
        found = balances(connection, world.platform_id, kinds=kinds)
    return Counter(
        (
            line.path
            if line.path.count(":") == 1 and line.path[:4] in {"plat", "prov", "expe"}
            else line.path.partition(":")[0],
            line.unit,
            line.balance,
        )
        for line in found
    )


def _all(world: StripeLives, step: str, role: Role, exchanges: list[Exchange]) -> None:
    commands = [
        Command(
            one.id,
            step,
            world.who(one, role),
            checkpoint="handover",
            payment_method="pm_card_bypassPending",
        )
        for one in exchanges
    ]
    with db.transaction(world.engine, world.platform_id) as connection:
        advance(connection, world.platform_id, commands, world.rules)


def _live(world: StripeLives, orders: list[Random | None], hostile: dict[str, float]) -> _Books:
    """Live eight exchanges: half are released, half split; deliver in the orders given."""
    world.server.top_up(world.account, OWN)  # refunds give back what Stripe's fees took
    draft = world.draft("sale", [("price", 6_500, "EUR")])
    exchanges = [world.propose(draft) for _ in range(LIVES)]
    _all(world, "fund", Role.PAYER, exchanges)
    world.now += 2 * LEASE  # whoever asked has gone: the sweep submits
    world.settle(rng=orders[0], **hostile)
    released, split = exchanges[::2], exchanges[1::2]
    _all(world, "confirm", Role.PAYER, released)
    _all(world, "confirm", Role.PAYEE, released)
    for one in split:
        world.step(one, "propose_settlement", Role.PAYEE, to_payee=(2_500,))
        proposal = world.read(one).proposal
        assert proposal is not None
        world.step(one, "accept_proposal", Role.PAYER, proposal_id=proposal.id)
    world.settle(rng=orders[1], **hostile)
    for _ in range(3):  # what was dropped is not told again: we look by ourselves
        world.pass_time(hours=1)
    world.agree(own=OWN)
    return _books(world)


@pytest.mark.timeout(1800)
def test_all_orders_of_events_reach_one_set_of_books(
    engine: Engine, new_platform: Callable[[], UUID], pytestconfig: pytest.Config
) -> None:
    tries = max(1, int(pytestconfig.getoption("--orders")) // LIVES)

    def live(orders: list[Random | None], hostile: dict[str, float]) -> _Books:
        with StripeServer() as server:
            return _live(StripeLives(engine, new_platform(), server), orders, hostile)

    orderly = live([None, None], {})
    chances = st.floats(0, 0.9)

    @settings(max_examples=tries, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.integers(0, 2**32), chances, chances, chances)
    def orders(seed: int, duplicate: float, drop: float, delay: float) -> None:
        hostile = {"duplicate": duplicate, "drop": drop, "delay": delay}
        assert live([Random(seed), Random(seed + 1)], hostile) == orderly

    orders()
