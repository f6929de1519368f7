"""The demo's neutrals: who they are, what opens their accounts, and which cases they can get."""

from __future__ import annotations

import stat
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import Engine, text

from service.cli import seed_neutrals
from service.cli.home import Home
from service.clock import now
from service.db import SYSTEM, transaction
from service.demo.dispute import Neutral
from service.mediators import accounts, sign_in, totp
from service.sealing import Sealer

SEALER = Sealer("a key of an instance of the tests, long enough for any")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home folder of its own."""
    found = Home(tmp_path / "home")
    found.prepare()
    return found


def _made(home: Home, engine: Engine, *platforms: UUID) -> list[Neutral]:
    return [one for _, one in seed_neutrals.neutrals(home, engine, SEALER, platforms, now())]


def _signs_in(engine: Engine, one: Neutral) -> bool:
    at = now()
    code = totp.code(one.totp_secret, totp.step(at))
    with transaction(engine, SYSTEM) as connection:
        attempt = sign_in.begin(connection, one.email, "127.0.0.0/24", at)
    shown = sign_in.check(SEALER, attempt, one.password, code, at)
    with transaction(engine, SYSTEM) as connection:
        return sign_in.finish(connection, attempt, shown, at) is not None


def test_they_are_made_once_and_kept_for_the_owner_alone(
    home: Home, engine: Engine, platform_id: UUID
) -> None:
    made = _made(home, engine, platform_id)
    assert _made(Home(home.folder), engine, platform_id) == made
    kept = home.folder / "secrets" / "demo-neutrals.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert all(_signs_in(engine, one) for one in made)


def test_their_pool_serves_the_demo_platforms_and_no_other(
    home: Home, engine: Engine, platform_id: UUID
) -> None:
    made = _made(home, engine, platform_id)
    query = text(
        "SELECT DISTINCT s.platform_id FROM disputes.pool_platform AS s "
        "JOIN disputes.pool_member AS p ON p.pool_id = s.pool_id "
        "JOIN disputes.mediator AS m ON m.id = p.mediator_id WHERE m.email = ANY(:emails)"
    )
    with transaction(engine, SYSTEM) as connection:
        found = connection.scalars(query, {"emails": [one.email for one in made]}).all()
    assert list(found) == [platform_id]


def test_whoever_s_account_was_closed_is_replaced(
    home: Home, engine: Engine, platform_id: UUID
) -> None:
    made = _made(home, engine, platform_id)
    with transaction(engine, SYSTEM) as connection:
        query = text("SELECT id FROM disputes.mediator WHERE email = :email")
        gone = connection.execute(query, {"email": made[0].email}).scalar_one()
        accounts.end(connection, gone, now() - timedelta(seconds=1))
    again = _made(home, engine, platform_id)
    assert {one.email for one in again}.isdisjoint({made[0].email})
    assert all(_signs_in(engine, one) for one in again)
