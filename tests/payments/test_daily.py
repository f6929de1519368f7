"""Which days are reconciled by themselves: every one that is over, once, however late."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from typing import cast
from uuid import UUID

import pytest
from sqlalchemy import Engine, text

from service import db
from service.exchanges.kinds import Role
from service.operations import metrics
from service.payments import daily
from service.payments.port import Movement, Provider, ProviderUnavailable
from service.payments.providers import Providers
from tests.exchanges.world import START, World
from tests.payments.test_reconcile import Books, open_kinds, paid

DAY = timedelta(days=1)


class Shop(Books):
    """A provider whose books cannot always be read."""

    closed = False

    def movements(self, platform_id: UUID, since: datetime, until: datetime) -> Iterable[Movement]:
        if self.closed:
            raise ProviderUnavailable("closed")
        return super().movements(platform_id, since, until)


@pytest.fixture
def world(engine: Engine, platform_id: UUID) -> World:
    return World(engine, platform_id)


@pytest.fixture
def shop(world: World) -> Shop:
    return Shop(world)


def run(shop: Shop, now: datetime) -> int:
    providers = Providers(cast(Provider, shop))
    return daily.run(shop.world.engine, providers, now, only=shop.world.platform_id)


def done(world: World) -> list[date]:
    with db.transaction(world.engine, world.platform_id) as connection:
        return list(
            connection.scalars(
                text(
                    "SELECT day FROM service.reconciliation_run WHERE platform_id = :p "
                    "AND finished_at IS NOT NULL ORDER BY day"
                ),
                {"p": world.platform_id},
            )
        )


def test_a_platform_that_no_provider_holds_money_for_has_no_books_to_compare(
    world: World, shop: Shop
) -> None:
    assert run(shop, START + 3 * DAY) == 0
    assert done(world) == []


def test_each_day_is_compared_once_when_it_is_over(world: World, shop: Shop) -> None:
    _, collect = paid(world)
    shop.add("collect", collect, 6_500)
    assert run(shop, START) == 0
    assert run(shop, START + DAY) == 1
    assert run(shop, START + DAY) == 0
    assert run(shop, START + 2 * DAY) == 1
    assert done(world) == [START.date(), (START + DAY).date()]
    assert open_kinds(world) == []


def test_the_end_of_a_day_is_given_time_to_settle(world: World, shop: Shop) -> None:
    _, collect = paid(world)
    shop.add("collect", collect, 6_500)
    midnight = datetime.combine((START + DAY).date(), time(), UTC)
    assert run(shop, midnight + timedelta(minutes=59)) == 0
    assert run(shop, midnight + timedelta(minutes=60)) == 1


def test_days_on_which_nobody_worked_are_caught_up_with(world: World, shop: Shop) -> None:
    _, collect = paid(world)
    shop.add("collect", collect, 6_500)
    assert run(shop, START + 4 * DAY) == 4
    assert done(world) == [(START + count * DAY).date() for count in range(4)]


def test_a_day_whose_books_could_not_be_read_stays_due(world: World, shop: Shop) -> None:
    _, collect = paid(world)
    shop.add("collect", collect, 6_500)
    shop.closed = True
    assert run(shop, START + DAY) == 0
    assert done(world) == []
    shop.closed = False
    assert run(shop, START + 2 * DAY) == 2
    assert open_kinds(world) == []


def test_no_more_than_a_month_is_caught_up_with(world: World, shop: Shop) -> None:
    _, collect = paid(world)
    shop.add("collect", collect, 6_500)
    assert run(shop, START + 100 * DAY) == daily.CATCH_UP
    assert done(world)[-1] == (START + 99 * DAY).date()


def _reversals() -> float:
    return metrics.registry.get_sample_value("tierce_postings_total", {"kind": "reversal"}) or 0.0


def test_what_has_healed_since_is_found_between_the_days(world: World, shop: Shop) -> None:
    exchange = world.sale()
    from_payer = world.funded(world.sale(100))
    assert from_payer.collect_id is not None
    shop.add("collect", f"payment:{from_payer.collect_id}", 100)
    world.step(exchange, "fund", Role.PAYER)
    collect = world.read(exchange).collect_id
    shop.add("collect", f"payment:{collect}", 6_500)
    assert run(shop, START + DAY) == 1
    assert open_kinds(world) == ["theirs_only"]
    world.sweep()
    reversals = _reversals()
    assert run(shop, START + DAY) == 0
    assert open_kinds(world) == []
    assert _reversals() == reversals + 1
