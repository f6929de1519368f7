"""Lanes: what waits together goes in one transaction; nobody pays for another's mistake."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import Connection, text

from ledger.refusals import Refusal
from service import db
from service.http.lanes import MANY, Busy, Kind, Lanes
from service.ids import uuid7
from service.operations import metrics
from service.platforms.tables import member

_PLACE = {"locale": "fr", "time_zone": "Europe/Paris", "country": "FR"}


class _Wrong(Refusal):
    code = "wrong"


def _kept(connection: Connection, platform_id: UUID, names: Sequence[str]) -> list[str]:
    now = datetime.now(UTC)
    rows = [
        {"platform_id": platform_id, "id": uuid7(), "external_id": name, "created_at": now}
        for name in names
    ]
    db.insert_many(connection, member, [{**row, **_PLACE} for row in rows])
    return [f"kept {name}" for name in names]


class _Kept:
    """A kind that writes a row for each name, notes its batches, and waits where it is told to."""

    def __init__(self, largest: int = 64) -> None:
        self.batches: list[list[str]] = []
        self.kind: Kind[str, str] = Kind("test", self._work, lambda job: [job], largest)

    def _work(
        self, connection: Connection, platform_id: UUID, jobs: Sequence[str]
    ) -> list[str | Exception]:
        self.batches.append(list(jobs))
        if "bad" in jobs:
            raise ValueError("bad breaks the whole batch")
        good = [job for job in jobs if job != "refused"]
        said = iter(_kept(connection, platform_id, good))
        return [_Wrong("No.") if job == "refused" else next(said) for job in jobs]


def _names(database_url: str, platform_id: UUID) -> set[str]:
    url = database_url.replace("postgresql+psycopg", "postgresql")
    with psycopg.connect(url) as connection:
        connection.execute("SET ROLE tierce_system")
        rows = connection.execute(
            "SELECT external_id FROM service.member WHERE platform_id = %s", [platform_id]
        )
        return {row[0] for row in rows}


@asynccontextmanager
async def _lanes(database_url: str, connections: int = 1, **more: int) -> AsyncIterator[Lanes]:
    engine = db.create_async_engine(database_url, 5)
    lanes = Lanes(engine, connections, **more)
    try:
        yield lanes
    finally:
        await lanes.close()
        await engine.dispose()


async def _settled(*asked: Awaitable[str]) -> list[str | BaseException]:
    return await asyncio.gather(*asked, return_exceptions=True)


def _words(outcomes: Sequence[str | BaseException]) -> list[str]:
    return [one if isinstance(one, str) else type(one).__name__ for one in outcomes]


def test_what_waits_together_goes_in_one_transaction_and_alone_nothing_waits(
    database_url: str, platform_id: UUID
) -> None:
    kept = _Kept()

    async def run() -> None:
        async with _lanes(database_url) as lanes:
            assert await lanes.run(kept.kind, platform_id, "alone") == "kept alone"
            asked = [lanes.run(kept.kind, platform_id, f"n{number}") for number in range(10)]
            assert await _settled(*asked) == [f"kept n{number}" for number in range(10)]

    before = metrics.registry.get_sample_value("tierce_lane_batch_size_sum", {"lane": "test"}) or 0
    asyncio.run(run())
    assert kept.batches == [["alone"], [f"n{number}" for number in range(10)]]
    after = metrics.registry.get_sample_value("tierce_lane_batch_size_sum", {"lane": "test"})
    assert after == before + 11


@pytest.mark.parametrize("at", [0, 3, 6])
def test_who_breaks_a_batch_stands_alone_with_their_own_error(
    database_url: str, platform_id: UUID, at: int
) -> None:
    names = [f"n{number}" for number in range(6)]
    names.insert(at, "bad")
    kept = _Kept()

    async def run() -> list[str | BaseException]:
        async with _lanes(database_url) as lanes:
            return await _settled(*(lanes.run(kept.kind, platform_id, name) for name in names))

    outcomes = asyncio.run(run())
    assert isinstance(outcomes.pop(at), ValueError)
    good = [name for name in names if name != "bad"]
    assert outcomes == [f"kept {name}" for name in good]
    assert _names(database_url, platform_id) == set(good)
    assert ["bad"] in kept.batches


def test_a_refusal_is_one_s_own_and_breaks_no_batch(database_url: str, platform_id: UUID) -> None:
    kept = _Kept()

    async def run() -> list[str | BaseException]:
        async with _lanes(database_url) as lanes:
            asked = [lanes.run(kept.kind, platform_id, name) for name in ("a", "refused", "b")]
            return await _settled(*asked)

    assert _words(asyncio.run(run())) == ["kept a", "_Wrong", "kept b"]
    assert kept.batches == [["a", "refused", "b"]]
    assert _names(database_url, platform_id) == {"a", "b"}


def test_two_about_the_same_thing_follow_each_other_in_order(
    database_url: str, platform_id: UUID
) -> None:
    batches: list[list[str]] = []

    def work(_: Connection, _platform: UUID, jobs: Sequence[str]) -> list[str | Exception]:
        batches.append(list(jobs))
        return list(jobs)

    kind: Kind[str, str] = Kind("apart", work, lambda job: [job[0]])

    async def run() -> None:
        async with _lanes(database_url) as lanes:
            await _settled(*(lanes.run(kind, platform_id, job) for job in ["a1", "b1", "a2", "a3"]))

    asyncio.run(run())
    assert batches == [["a1", "b1"], ["a2"], ["a3"]]


class _Slow:
    """A kind whose batch with ``slow`` in it is under way until it is let go."""

    def __init__(self, about: Callable[[str], str]) -> None:
        self.batches: list[list[str]] = []
        self.let_go = False
        self.kind: Kind[str, str] = Kind("slow", self._work, lambda job: [about(job)])

    def _work(
        self, connection: Connection, _platform: UUID, jobs: Sequence[str]
    ) -> list[str | Exception]:
        self.batches.append(list(jobs))
        while "slow" in jobs and not self.let_go:
            connection.execute(text("SELECT pg_sleep(0.005)"))
        return list(jobs)

    async def begin(self, lanes: Lanes, platform_id: UUID) -> asyncio.Task[str]:
        """Ask for the slow one and return when it is under way."""
        asked = asyncio.create_task(lanes.run(self.kind, platform_id, "slow"))
        while not self.batches:
            await asyncio.sleep(0)
        return asked


def test_when_many_wait_a_second_batch_goes_beside_the_first(
    database_url: str, platform_id: UUID
) -> None:
    slow, jobs = _Slow(lambda job: job), [f"n{number}" for number in range(MANY)]

    async def run() -> None:
        async with _lanes(database_url, connections=2) as lanes, asyncio.timeout(30):
            first = await slow.begin(lanes, platform_id)
            said = await _settled(*(lanes.run(slow.kind, platform_id, job) for job in jobs))
            assert said == jobs
            assert not first.done()
            slow.let_go = True
            assert await first == "slow"

    asyncio.run(run())
    assert slow.batches == [["slow"], jobs]


def test_few_wait_for_the_batch_under_way_and_go_together(
    database_url: str, platform_id: UUID
) -> None:
    slow, jobs = _Slow(lambda job: job), [f"n{number}" for number in range(MANY - 1)]

    async def run() -> None:
        async with _lanes(database_url, connections=2) as lanes, asyncio.timeout(30):
            first = await slow.begin(lanes, platform_id)
            asked = [asyncio.create_task(lanes.run(slow.kind, platform_id, job)) for job in jobs]
            await asyncio.sleep(0)
            slow.let_go = True
            assert await _settled(first, *asked) == ["slow", *jobs]

    asyncio.run(run())
    assert slow.batches == [["slow"], jobs]


@pytest.mark.parametrize("others", [0, MANY])
def test_what_is_about_the_same_thing_waits_also_for_the_batch_beside(
    database_url: str, platform_id: UUID, others: int
) -> None:
    slow = _Slow(lambda job: job if job.startswith("n") else "same")
    same = [f"s{number}" for number in range(MANY)]
    jobs = [*same, *(f"n{number}" for number in range(others))]

    async def run() -> None:
        async with _lanes(database_url, connections=2) as lanes, asyncio.timeout(30):
            first = await slow.begin(lanes, platform_id)
            asked = [asyncio.create_task(lanes.run(slow.kind, platform_id, job)) for job in jobs]
            if others:
                assert await _settled(*asked[len(same) :]) == jobs[len(same) :]
            assert not first.done()
            slow.let_go = True
            assert await _settled(first, *asked) == ["slow", *jobs]

    asyncio.run(run())
    assert [batch for batch in slow.batches if batch[0].startswith("s")] == [
        ["slow"],
        *([one] for one in same),
    ]


def test_too_much_is_told_at_once_to_come_again_and_another_platform_still_gets_in(
    database_url: str, new_platform: Callable[[], UUID]
) -> None:
    kept = _Kept()
    crowded, quiet = new_platform(), new_platform()

    async def run() -> list[str | BaseException]:
        async with _lanes(database_url, most_in_lane=3, most_in_all=5) as lanes:
            asked = [lanes.run(kept.kind, crowded, f"n{number}") for number in range(5)]
            asked += [lanes.run(kept.kind, quiet, f"q{number}") for number in range(3)]
            return await _settled(*asked)

    said = _words(asyncio.run(run()))
    assert said == ["kept n0", "kept n1", "kept n2", "Busy", "Busy", "kept q0", "kept q1", "Busy"]
    assert _names(database_url, quiet) == {"q0", "q1"}


def test_platforms_take_turns_however_much_one_of_them_asks(
    database_url: str, new_platform: Callable[[], UUID]
) -> None:
    kept = _Kept(largest=2)
    crowded, quiet = new_platform(), new_platform()

    async def run() -> None:
        async with _lanes(database_url) as lanes:
            asked = [lanes.run(kept.kind, crowded, f"n{number}") for number in range(6)]
            await _settled(*asked, lanes.run(kept.kind, quiet, "q"))

    asyncio.run(run())
    assert kept.batches == [["n0", "n1"], ["q"], ["n2", "n3"], ["n4", "n5"]]


def test_no_more_batches_are_under_way_than_there_are_connections(
    database_url: str, new_platform: Callable[[], UUID]
) -> None:
    running, most = set[UUID](), [0]

    def work(connection: Connection, of: UUID, jobs: Sequence[str]) -> list[str | Exception]:
        running.add(of)
        most[0] = max(most[0], len(running))
        connection.execute(text("SELECT pg_sleep(0.01)"))
        running.discard(of)
        return list(jobs)

    kind: Kind[str, str] = Kind("few", work, lambda job: [job])

    async def run() -> None:
        async with _lanes(database_url, connections=2) as lanes:
            await _settled(*(lanes.run(kind, new_platform(), "one") for _ in range(6)))

    asyncio.run(run())
    assert most == [2]


def test_the_batches_of_a_lane_that_go_side_by_side_share_what_waits_and_no_name(
    database_url: str, platform_id: UUID
) -> None:
    running: list[set[str]] = []
    sizes: list[int] = []
    most = [0]
    done: list[str] = []

    def work(connection: Connection, of: UUID, jobs: Sequence[str]) -> list[str | Exception]:
        names = {job.split(":")[0] for job in jobs}
        assert len(names) == len(jobs)
        assert all(names.isdisjoint(other) for other in running)
        running.append(names)
        sizes.append(len(jobs))
        for _ in range(500):  # the first waits for the second, which must come
            most[0] = max(most[0], len(running))
            if len(sizes) > 1:
                break
            connection.execute(text("SELECT pg_sleep(0.01)"))
        running.remove(names)
        done.extend(jobs)
        return list(jobs)

    kind: Kind[str, str] = Kind(
        "beside", work, lambda job: [job.split(":")[0]], largest=500, at_once=2
    )

    async def run() -> list[str | BaseException]:
        async with _lanes(database_url, connections=3) as lanes:
            # 200 names, and the first five of them three times: those follow each other, in order.
            asked = [f"{name}:0" for name in range(200)]
            asked[5:5] = [f"{name}:{turn}" for turn in (1, 2) for name in range(5)]
            said = await _settled(*(lanes.run(kind, platform_id, one) for one in asked))
            assert said == asked
            return said

    asyncio.run(run())
    assert most == [2]
    assert sorted(sizes[:2]) == [95, 105]
    for name in range(5):
        mine = [one for one in done if one.split(":")[0] == str(name)]
        assert mine == [f"{name}:{turn}" for turn in range(3)]


def test_who_goes_away_before_their_batch_is_not_served_and_after_it_began_is(
    database_url: str, platform_id: UUID
) -> None:
    kept = _Kept(largest=1)

    async def run() -> list[str | BaseException]:
        async with _lanes(database_url) as lanes:
            begun, waits, gone = (
                asyncio.create_task(lanes.run(kept.kind, platform_id, name))
                for name in ("begun", "waits", "gone")
            )
            while not kept.batches:
                await asyncio.sleep(0)
            begun.cancel()
            gone.cancel()
            return await _settled(begun, waits, gone)

    said = _words(asyncio.run(run()))
    assert said == ["CancelledError", "kept waits", "CancelledError"]
    assert _names(database_url, platform_id) == {"begun", "waits"}


def test_an_end_serves_all_that_waits_and_takes_nothing_more(
    database_url: str, platform_id: UUID
) -> None:
    kept = _Kept(largest=2)

    async def run() -> list[str | BaseException]:
        async with _lanes(database_url) as lanes:
            asked = [
                asyncio.create_task(lanes.run(kept.kind, platform_id, f"n{number}"))
                for number in range(5)
            ]
            await asyncio.sleep(0)
            await lanes.close()
            assert all(one.done() for one in asked)
            with pytest.raises(Busy):
                await lanes.run(kept.kind, platform_id, "late")
            return await _settled(*asked)

    assert asyncio.run(run()) == [f"kept n{number}" for number in range(5)]
    assert _names(database_url, platform_id) == {f"n{number}" for number in range(5)}


@pytest.mark.parametrize("state", ["40P01", "40001"])
def test_a_deadlock_or_a_race_that_was_lost_is_run_again_for_all(
    database_url: str, platform_id: UUID, state: str
) -> None:
    batches: list[list[str]] = []

    def work(connection: Connection, of: UUID, jobs: Sequence[str]) -> list[str | Exception]:
        batches.append(list(jobs))
        kept = _kept(connection, of, jobs)
        if len(batches) == 1:
            raise_it = f"DO $$ BEGIN RAISE EXCEPTION 'lost' USING ERRCODE = '{state}'; END $$"
            connection.execute(text(raise_it))
        return list(kept)

    kind: Kind[str, str] = Kind("again", work, lambda job: [job])

    async def run() -> list[str | BaseException]:
        async with _lanes(database_url) as lanes:
            return await _settled(*(lanes.run(kind, platform_id, name) for name in ("a", "b")))

    assert asyncio.run(run()) == ["kept a", "kept b"]
    assert batches == [["a", "b"], ["a", "b"]]
    assert _names(database_url, platform_id) == {"a", "b"}


def test_a_row_that_somebody_holds_keeps_only_those_waiting_who_want_it(
    database_url: str, platform_id: UUID
) -> None:
    names = ["a", "held", "b", "c"]
    url = database_url.replace("postgresql+psycopg", "postgresql")

    def work(connection: Connection, _: UUID, jobs: Sequence[str]) -> list[str | Exception]:
        lock = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")
        for job in jobs:
            connection.execute(lock, {"name": f"{platform_id}:{job}"})
        return list(jobs)

    kind: Kind[str, str] = Kind("held", work, lambda job: [job])

    async def run(holder: psycopg.Connection) -> list[str]:
        async with _lanes(database_url) as lanes:
            asked = {
                name: asyncio.create_task(lanes.run(kind, platform_id, name)) for name in names
            }
            await asyncio.gather(*(asked[name] for name in names if name != "held"))
            late = await lanes.run(kind, platform_id, "late")  # the lane itself goes on
            assert late == "late"
            assert not asked["held"].done()
            holder.rollback()
            return list(await asyncio.gather(*asked.values()))

    with psycopg.connect(url) as holder:
        holder.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"{platform_id}:held"]
        )
        assert asyncio.run(run(holder)) == names


def test_a_database_that_is_away_is_nobody_s_mistake_and_is_asked_once() -> None:
    tries: list[int] = []

    def work(_: Connection, _platform: UUID, jobs: Sequence[str]) -> list[str | Exception]:
        tries.append(len(jobs))
        return list(jobs)

    kind: Kind[str, str] = Kind("away", work, lambda job: [job])

    async def run() -> list[str | BaseException]:
        async with _lanes("postgresql+psycopg://nobody@127.0.0.1:1/none") as lanes:
            return await _settled(*(lanes.run(kind, uuid7(), f"n{number}") for number in range(4)))

    assert _words(asyncio.run(run())) == ["OperationalError"] * 4
    assert tries == []
