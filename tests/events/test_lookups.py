"""Names are looked up side by side; whoever has many dead ones waits behind them alone."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator, Sequence
from threading import Event, Lock
from typing import Any
from uuid import uuid4

import pytest

from service.events.guard import Guard
from service.events.lookups import Lookups

ADDRESS = "93.184.215.14"


class Servers:
    """Name servers: of names that begin with ``dead`` they say nothing until they are let go."""

    def __init__(self) -> None:
        self.speak = Event()
        self.asked: list[str] = []
        self.most_at_once = 0
        self._at_once = 0
        self._lock = Lock()

    def ask(self, host: str, _port: int) -> Sequence[str]:
        with self._lock:
            self.asked.append(host)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            if host.startswith("dead"):
                self.speak.wait(60)
            if host.startswith("none"):
                raise OSError("no such name")
            return [ADDRESS]
        finally:
            with self._lock:
                self._at_once -= 1


@pytest.fixture
def servers() -> Iterator[Servers]:
    servers = Servers()
    yield servers
    servers.speak.set()


def test_dead_names_of_one_platform_keep_no_other_waiting(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    def getaddrinfo(host: str, port: int, **_: Any) -> list[Any]:
        return [(2, 1, 6, "", (one, port)) for one in servers.ask(host, port)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    guard, one, other = Guard(), uuid4(), uuid4()

    async def work() -> Sequence[str]:
        dead = [
            asyncio.create_task(guard.addresses(f"dead{number}.example", 443, one))
            for number in range(1_000)
        ]
        await asyncio.sleep(0)  # all have asked
        async with asyncio.timeout(30):
            found = await guard.addresses("quick.example", 443, other)
        servers.speak.set()
        await asyncio.gather(*dead)
        return found

    assert asyncio.run(work()) == [ADDRESS]


def test_a_platform_has_so_many_lookups_at_a_time_and_each_is_answered(servers: Servers) -> None:
    lookups, platform = Lookups(servers.ask, most=8, each=3), uuid4()

    async def work() -> list[Sequence[str] | BaseException]:
        names = [f"{kind}{number}.example" for number in range(10) for kind in ("dead", "none")]
        tasks = [asyncio.create_task(lookups.resolve(name, 443, platform)) for name in names]
        await asyncio.sleep(0)
        servers.speak.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    answers = asyncio.run(work())
    assert [isinstance(one, OSError) for one in answers] == [False, True] * 10
    assert servers.most_at_once <= 3
    assert len(servers.asked) == 20


def test_a_name_that_nobody_waits_for_any_more_is_not_asked_about(servers: Servers) -> None:
    lookups, platform = Lookups(servers.ask, most=8, each=1), uuid4()

    async def work() -> Sequence[str]:
        names = ["dead.example", "left.example", "quick.example"]
        dead, left, quick = (
            asyncio.create_task(lookups.resolve(name, 443, platform)) for name in names
        )
        while not servers.asked:
            await asyncio.sleep(0.01)
        dead.cancel()
        left.cancel()
        await asyncio.gather(dead, left, return_exceptions=True)
        servers.speak.set()
        return await quick

    assert asyncio.run(work()) == [ADDRESS]
    assert "left.example" not in servers.asked
    assert servers.asked[-1] == "quick.example"
