"""A platform with cases, and the people at its desk, each in a browser."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from uuid import UUID

import pytest
from sqlalchemy import Engine

from disputes import mediators
from disputes.model import Cause
from service.ids import decode, encode
from tests.disputes.people import People
from tests.http.claimed import PRESSURED, Claimed, claim
from tests.http.client import Api, Server
from tests.http.deal import Deal, make_deal
from tests.http.desk import Desk, Person, invite, take_up
from tests.web.desk.browser import Browser


@dataclass
class Sitting:
    """Somebody who has joined the pool, with a browser that is signed in."""

    person: Person
    browser: Browser


Join = Callable[..., Sitting]


@pytest.fixture
def people(api: Api, engine: Engine, platform_id: UUID) -> People:
    """Return the pool of the platform."""
    return People(engine, platform_id)


@pytest.fixture
def new_browser(server: Server) -> Callable[[], Browser]:
    """Return a maker of browsers, each in a network of its own."""

    def make() -> Browser:
        first, second, third = secrets.token_bytes(3)
        return Browser(server, f"{100 + first % 100}.{second}.{third}")

    return make


@pytest.fixture
def join(
    people: People,
    operator: Api,
    new_desk: Callable[[], Desk],
    new_browser: Callable[[], Browser],
) -> Join:
    """Return what lets somebody join the pool and sign in."""

    def joined(**more: object) -> Sitting:
        person = take_up(new_desk(), invite(operator, **more))
        with people.everywhere() as connection:
            mediators.put_in_pool(connection, people.pool_id, [person.uuid])
        return Sitting(person, new_browser().sign_in(person))

    return joined


@pytest.fixture
def pressed(paid: Deal) -> Callable[[], Claimed]:
    """Return what lets the payer claim, so that a neutral is drawn at once."""
    return partial(claim, paid, PRESSURED)


@pytest.fixture
def more_deals(paid: Deal, engine: Engine) -> Callable[[int], list[Deal]]:
    """Return a maker of other exchanges of the platform that are paid for."""

    def make(count: int) -> list[Deal]:
        made = [make_deal(paid.api, engine, agreed=True) for _ in range(count)]
        for one in made:
            one.fund()
        return made

    return make


@pytest.fixture
def silent(
    join: Join, paid: Deal, more_deals: Callable[[int], list[Deal]]
) -> tuple[Browser, dict[str, Claimed]]:
    """Three exchanges in which nobody says a word, and the browser of whoever reviews them."""
    maud = join(caseload_cap=20).browser
    deals = [paid, *more_deals(2)]
    exchanges = [f"/v1/exchanges/{deal.exchange['id']}" for deal in deals]
    for _ in range(60):  # days, until the clock has brought all of them before somebody
        paid.api.made("/v1/sandbox/clock/advance", {"by": "P1D"})
        ids = [paid.api.read(exchange)["case"] for exchange in exchanges]
        if None not in ids:
            break
    cases = [Claimed(deal, decode("case", id_)) for deal, id_ in zip(deals, ids, strict=True)]
    assert {one.case().cause for one in cases} == {Cause.SILENCE}
    return maud, {encode("case", one.case_id): one for one in cases}
