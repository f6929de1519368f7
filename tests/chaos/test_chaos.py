"""Everything but PostgreSQL is killed again and again; whatever a client was told stays true."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from ledger import units
from service import books
from service.cli import seed as opening
from service.clock import now
from service.db import create_engine, transaction
from service.ids import decode
from tests.chaos.aftermath import Aftermath, Elder
from tests.chaos.history import check_numbers, check_timers
from tests.chaos.instance import Instance
from tests.chaos.killer import Killer, plan
from tests.chaos.load import Load, Told

SETTLE_SECONDS = 120.0


@pytest.fixture
def engine(instance: Instance) -> Iterator[Engine]:
    """An engine on the instance's own database."""
    engine = create_engine(instance.database_url, pool_size=4)
    yield engine
    engine.dispose()


@pytest.mark.timeout(900)
def test_killing_loses_nothing_repeats_nothing_and_breaks_no_promise(
    instance: Instance, engine: Engine, chaos_seconds: float, chaos_seed: int
) -> None:
    opened = opening.open_platform(engine, "Chaos", now())
    platform_id = decode("platform", opened.sandbox)
    with transaction(engine, platform_id) as connection:
        units.define(connection, platform_id, "HOURS", "Hours", 2, 1_000_000)
    aftermath = Aftermath(engine, platform_id)

    elder = Elder(instance.postgres)
    load = Load(instance.urls, opened.sandbox_key, chaos_seed, elder.age, shoppers=3)
    deeds = plan(chaos_seed, sorted(instance.killable), chaos_seconds)
    killer = Killer(instance.killable, deeds)
    load.start()
    killer.start()
    killer.join()
    instance.wait_until_ready()
    told = load.finish()
    print(f"\n--chaos-seed={chaos_seed}: killed {dict(killer.kills)}")
    print(f"{len(told.lived)} lives, {told.answers} answers, troubles {dict(told.troubles)}")

    assert told.failures == [], instance.last_words()
    settle(aftermath, told, elder, instance)
    written = aftermath.written()
    assert aftermath.check(told.lived) == []
    assert aftermath.strangers(told.lived) == []
    assert check_numbers(written) == []
    assert check_timers(written) == []
    assert aftermath.untold() == []
    proof = books.prove(engine)
    assert proof.entries > 0
    assert proof.problems == []
    assert instance.complaints() == []
    assert killer.kills == Counter(deed.name for deed in deeds if deed.kills)


def settle(aftermath: Aftermath, told: Told, elder: Elder, instance: Instance) -> None:
    """Wait until nothing is left to be done; let time pass for those who wait for it."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while (unsettled := aftermath.unsettled()) or aftermath.unanswered(told.lived):
        assert time.monotonic() < deadline, f"{unsettled}\n{instance.last_words()}"
        if not unsettled:
            for exchange in aftermath.unanswered(told.lived):
                elder.age(exchange)
        time.sleep(0.5)
