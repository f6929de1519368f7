"""``tierce up`` from nothing to the last process gone, as a user runs it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import httpx
import psutil
import pytest

from service.local import EmbeddedPostgres, EmbeddedValkey
from service.processes import HOST, free_port

ROOT = Path(__file__).parents[2]
SERVERS = {"postgres", "valkey-server"}
MODULES = {"service.cli.api", "service.cli.work"}

pytestmark = pytest.mark.timeout(240)


class Instance:
    """One ``tierce up`` in a process of its own."""

    started: ClassVar[list[Instance]] = []

    def __init__(self, home: Path, port: int, *arguments: str) -> None:
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("TIERCE_")
        }
        environment |= {"TIERCE_HOME": str(home), "PYTHONPATH": str(ROOT)}
        self.home = home
        self.url = f"http://{HOST}:{port}"
        self.output = home.parent / f"output-{time.monotonic_ns()}"
        with self.output.open("w") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "service.cli", "up", "--port", str(port), *arguments],
                cwd=home.parent,
                env=environment,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        self.started.append(self)

    def told(self) -> str:
        return self.output.read_text()

    def wait_until_up(self) -> None:
        deadline = time.monotonic() + 120
        while "Ctrl-C stops it" not in self.told():
            assert self.process.poll() is None, self.told()
            assert time.monotonic() < deadline, self.told()
            time.sleep(0.1)

    def key(self) -> str:
        found = re.search(r"sandbox key +(tk_\S+)", self.told())
        assert found, self.told()
        return found[1]

    def family(self) -> list[psutil.Process]:
        """Every process it started, the servers and their own among them."""
        found = psutil.Process(self.process.pid).children(recursive=True)
        assert {name_of(one) for one in found} >= SERVERS
        assert {command_of(one)[-1] for one in found} >= MODULES
        return found

    def end(self, how: signal.Signals) -> int:
        self.process.send_signal(how)
        return self.process.wait(40)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A home; an instance that a failed test left running is ended before its servers."""
    folder = tmp_path / "a home with spaces"
    yield folder
    for instance in Instance.started:
        if instance.process.poll() is None:
            instance.end(signal.SIGTERM)
    Instance.started.clear()
    EmbeddedPostgres(folder / "postgres").stop()
    EmbeddedValkey(folder / "valkey").stop()


def name_of(process: psutil.Process) -> str:
    """Return the name of a process, empty if it has just ended."""
    try:
        return process.name()
    except psutil.NoSuchProcess:
        return ""


def command_of(process: psutil.Process) -> list[str]:
    """Return the command line of a process, empty words if it has just ended."""
    try:
        return process.cmdline() or [""]
    except psutil.NoSuchProcess:
        return [""]


def gone(processes: list[psutil.Process], seconds: float = 0.0) -> list[psutil.Process]:
    """Return the processes that are still there after so long."""
    _, alive = psutil.wait_procs(processes, timeout=seconds)
    return [one for one in alive if one.status() != psutil.STATUS_ZOMBIE]


def test_the_demo_plays_the_main_job_and_a_dispute_and_leaves_nothing_behind(home: Path) -> None:
    instance = Instance(home, free_port(), "--once")
    assert instance.process.wait(150) == 0, instance.told()
    told = instance.told()
    assert "65.00" in told
    assert "Malo refuses it" in told
    assert "160.00 EUR back to the buyer, 80.00 EUR to the seller" in told
    assert "The receipt is genuine" in told
    assert "The decision is genuine" in told
    assert "The books hold" in told
    assert EmbeddedPostgres(home / "postgres").find() is None
    assert EmbeddedValkey(home / "valkey").find() is None
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{instance.url}/readyz")


def test_a_whole_life_of_an_instance(home: Path) -> None:
    """Up, a child lost, down, up on the same data, killed, up again on the adopted servers.

    One test, because each start costs seconds and every part needs the one before.
    """
    port = free_port()

    first = Instance(home, port)
    first.wait_until_up()
    headers = {"Authorization": f"Bearer {first.key()}"}
    (api,) = [one for one in first.family() if "service.cli.api" in command_of(one)]
    api.kill()
    wait_until_ready_again(first, "The api ended by itself")
    for server in (EmbeddedPostgres(home / "postgres"), EmbeddedValkey(home / "valkey")):
        found = server.find()
        assert found is not None
        found.kill()
        wait_until_ready_again(first, f"{server.title} ended by itself")
    before = httpx.get(f"{first.url}/v1/exchanges", headers=headers).json()["data"]
    assert len(before) == 2
    family = first.family()
    began = time.monotonic()
    assert first.end(signal.SIGINT) == 0, first.told()
    assert time.monotonic() - began < 20
    assert gone(family) == []

    second = Instance(home, port)
    second.wait_until_up()
    assert second.key() == first.key()
    after = httpx.get(f"{second.url}/v1/exchanges", headers=headers).json()["data"]
    assert {one["id"] for one in before} < {one["id"] for one in after}
    family = second.family()
    servers = {one.pid for one in family if name_of(one) in SERVERS}
    second.end(signal.SIGKILL)
    assert gone([one for one in family if one.pid not in servers], seconds=20) == []

    third = Instance(home, port)
    try:
        third.wait_until_up()
        postgres, valkey = EmbeddedPostgres(home / "postgres"), EmbeddedValkey(home / "valkey")
        for found in (postgres.find(), valkey.find()):
            assert found is not None
            assert found.pid in servers
        assert third.key() == first.key()
    finally:
        assert third.end(signal.SIGTERM) == 0, third.told()
    assert postgres.find() is None
    assert valkey.find() is None


def wait_until_ready_again(instance: Instance, told: str) -> None:
    deadline = time.monotonic() + 60
    while True:
        assert time.monotonic() < deadline, instance.told()
        time.sleep(0.1)
        try:
            answer = httpx.get(f"{instance.url}/readyz")
        except httpx.TransportError:
            continue
        if answer.status_code == 200 and told in instance.told():
            return


def test_an_interrupt_while_it_starts_leaves_nothing_behind(home: Path) -> None:
    instance = Instance(home, free_port())
    deadline = time.monotonic() + 60
    while not (home / "postgres" / "server.log").exists():
        assert time.monotonic() < deadline, instance.told()
        time.sleep(0.01)
    assert instance.end(signal.SIGINT) == 0, instance.told()
    assert "Traceback" not in instance.told()
    assert EmbeddedPostgres(home / "postgres").find() is None
    assert EmbeddedValkey(home / "valkey").find() is None
