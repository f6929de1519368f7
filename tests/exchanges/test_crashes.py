"""The process dies at any moment of funding and paying out; the next sweep mends it."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import text

from service import db
from service.exchanges.kinds import Role
from service.exchanges.model import Exchange, State
from tests.exchanges.world import World

ROOT = Path(__file__).parents[2]


Crasher = Callable[[World, Exchange, int], int]


@contextmanager
def crashing(module: str, *arguments: str) -> Iterator[Crasher]:
    """Live exchanges through in processes killed at a moment; answer how each ended."""
    with subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        asked, told = process.stdin, process.stdout
        assert asked is not None
        assert told is not None

        def crash(world: World, exchange: Exchange, moment: int) -> int:
            line = f"{world.platform_id} {exchange.id} {world.now.isoformat()} {moment}"
            print(line, file=asked, flush=True)
            return int(told.readline())

        yield crash
        asked.close()
        process.wait(10)


@pytest.fixture
def crasher(database_url: str) -> Iterator[Crasher]:
    with crashing("tests.exchanges.crash_child", database_url) as crash:
        yield crash


def _payments(world: World) -> dict[str, list[str]]:
    with db.transaction(world.engine, world.platform_id) as connection:
        rows = connection.execute(
            text(
                "SELECT kind, array_agg(state ORDER BY id) AS states FROM service.payment "
                "WHERE platform_id = :p GROUP BY kind"
            ),
            {"p": world.platform_id},
        )
        return {row.kind: row.states for row in rows}


@pytest.mark.timeout(240)
def test_a_kill_at_any_moment_of_fund_and_payout_loses_and_doubles_nothing(
    world: World, crasher: Crasher
) -> None:
    # Each of them, between row, call and record, is killed in tests/lives/test_stripe_crashes.py.
    assert kill_at_moments(world, crasher, step=3) > 20
    assert world.outside() == 0


def kill_at_moments(world: World, crasher: Crasher, step: int = 1) -> int:
    """Kill one life at each of its moments, the next one go on; return how many moments it has.

    ``step``: every so many moments only.
    """
    # How many moments a whole life has is counted, not assumed.
    killed, moment = -signal.SIGKILL, 1
    while True:
        exchange = world.sale(1_000)
        status = crasher(world, exchange, moment)
        _go_on(world, exchange)
        if status == 0:
            break
        assert status == killed, f"at moment {moment} the process ended with {status}"
        moment += step
    paid = _payments(world)
    assert set(paid["collect"]) == {"succeeded"}
    assert set(paid["payout"]) == {"succeeded"}
    assert len(paid["collect"]) == len(paid["payout"])
    assert "refund" not in paid
    return moment


def _go_on(world: World, exchange: Exchange) -> None:
    """What the members and the worker do after the crash: look, and take the next step."""
    world.pass_time(minutes=5)  # leases of the dead process lapse
    if world.read(exchange).state is State.AGREED:
        world.funded(exchange)
    for side in (Role.PAYER, Role.PAYEE):
        now = world.read(exchange)
        if now.state is State.ACTIVE:
            current = now.current
            assert current is not None
            if current.confirmed_by(side) is None:
                world.step(exchange, "confirm", side)
    world.pass_time(minutes=5)
    assert world.read(exchange).state is State.COMPLETED
