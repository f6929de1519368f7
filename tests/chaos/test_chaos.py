"""Everything but PostgreSQL is killed again and again; whatever a client was told stays true."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence

import pytest
from sqlalchemy import Engine

from ledger import units
from service import books
from service.cli import seed as opening
from service.clock import now
from service.db import create_engine, transaction
from service.events import endpoints
from service.ids import decode
from service.sealing import Sealer
from tests.chaos.aftermath import Aftermath, Elder
from tests.chaos.history import Arrival, Written, check_deliveries, check_numbers, check_timers
from tests.chaos.instance import Instance
from tests.chaos.killer import Killer, plan
from tests.chaos.load import Load, Told
from tests.chaos.receiver import Flaky
from tests.events.sink import Sink

SETTLE_SECONDS = 240.0
HURRY_SECONDS = 3.0


@pytest.fixture
def engine(instance: Instance) -> Iterator[Engine]:
    """An engine on the instance's own database."""
    engine = create_engine(instance.database_url, pool_size=4)
    yield engine
    engine.dispose()


@pytest.fixture
def receiver(chaos_seed: int) -> Iterator[Flaky]:
    """A flaky receiver of webhooks."""
    with Sink() as sink:
        yield Flaky(sink, random.Random(chaos_seed))


@pytest.mark.timeout(900)
def test_killing_loses_nothing_repeats_nothing_and_breaks_no_promise(
    instance: Instance, engine: Engine, receiver: Flaky, chaos_seconds: float, chaos_seed: int
) -> None:
    opened = opening.open_platform(engine, "Chaos", now())
    platform_id = decode("platform", opened.sandbox)
    with transaction(engine, platform_id) as connection:
        units.define(connection, platform_id, "HOURS", "Hours", 2, 1_000_000)
        _row, secret = endpoints.create(
            connection,
            Sealer(instance.code_key),
            platform_id,
            url=receiver.url,
            events=["*"],
            description="",
            secret=None,
            now=now(),
        )
    aftermath = Aftermath(engine, platform_id)

    elder = Elder(instance.postgres)
    load = Load(instance.urls, opened.sandbox_key, chaos_seed, elder.age, shoppers=3)
    deeds = plan(chaos_seed, sorted(instance.killable), chaos_seconds)
    killer = Killer(instance.killable, deeds)
    began = time.monotonic()
    load.start()
    killer.start()
    killer.join()
    instance.wait_until_ready()
    told = load.finish()
    receiver.behave()
    print(f"\n--chaos-seed={chaos_seed}: killed {dict(killer.kills)}")
    print(f"load ended after {time.monotonic() - began:.0f} s")
    print(f"{len(told.lived)} lives, {told.answers} answers, troubles {dict(told.troubles)}")

    assert instance.fallen() == [], instance.last_words()
    assert told.failures == [], instance.last_words()
    settle(aftermath, told, elder, instance)
    written, arrivals = aftermath.written(), receiver.arrivals()
    print(f"settled after {time.monotonic() - began:.0f} s")
    print(f"{len(written)} events, {len(arrivals)} arrivals; the receiver {dict(receiver.habits)}")

    assert killer.kills == Counter(deed.name for deed in deeds if deed.kills)
    assert aftermath.check(told.lived) == []
    assert aftermath.strangers(told.lived) == []
    assert check_numbers(written) == []
    assert check_timers(written) == []
    assert aftermath.untold() == []
    assert receiver.unsigned(secret) == []
    assert check_deliveries(written, arrivals) == []
    proof = books.prove(engine)
    assert proof.entries > 0
    assert proof.problems == []
    assert instance.complaints() == []
    would_be_noticed(written, arrivals)


def settle(aftermath: Aftermath, told: Told, elder: Elder, instance: Instance) -> None:
    """Wait until nothing is left to be done; let time pass for those who wait for it."""
    deadline = time.monotonic() + SETTLE_SECONDS
    hurried = 0.0
    while (unsettled := aftermath.unsettled()) or aftermath.unanswered(told.lived):
        assert time.monotonic() < deadline, f"{unsettled}\n{instance.last_words()}"
        if time.monotonic() > hurried + HURRY_SECONDS:
            hurried = time.monotonic()
            aftermath.hurry()
            for exchange in aftermath.unanswered(told.lived):
                elder.age(exchange)
        time.sleep(0.2)


def would_be_noticed(written: Sequence[Written], arrivals: Sequence[Arrival]) -> None:
    """Spoil the true histories of this run: each fault is one that the checks find."""
    last = next(one for one in reversed(written) if one.exchange is not None)
    lost = [one for one in arrivals if one.id != last.id]
    assert any(fault.startswith("lost") for fault in check_deliveries(written, lost))

    late = [one for one in arrivals if (one.exchange, one.sequence) != (last.exchange, 1)]
    early = [one for one in arrivals if (one.exchange, one.sequence) == (last.exchange, 1)]
    assert any(fault.startswith("reordered") for fault in check_deliveries(written, late + early))

    ended = next(one for one in written if one.type == "exchange.expired")
    assert check_timers([*written, ended]) != []
