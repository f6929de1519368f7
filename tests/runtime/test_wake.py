"""Waking the worker: one message per task, and a broker that is away harms nobody."""

from __future__ import annotations

import fcntl
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from service.processes import HOST, free_port
from service.wake import SWEEP, TIMERS, Waker, begin


@pytest.fixture
def client(redis_url: str, run_folder: Path) -> Iterator[redis.Redis]:
    """The broker with nothing of ours in it, for one test at a time: it may be a shared one."""
    with redis.Redis.from_url(redis_url) as client, (run_folder / "broker").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _clear(client)
        yield client
        _clear(client)


def _clear(client: redis.Redis) -> None:
    client.delete("tierce", *(f"tierce:woken:{name}" for name in (SWEEP, TIMERS)))


def queued(client: redis.Redis) -> int:
    return int(client.llen("tierce"))


def until_published(waker: Waker) -> None:
    waker.close(seconds=10)


def test_a_wake_up_reaches_the_broker(client: redis.Redis, redis_url: str) -> None:
    waker = Waker(redis_url)
    waker.wake(SWEEP)
    until_published(waker)
    assert queued(client) == 1


def test_an_absent_worker_finds_one_message_per_task(client: redis.Redis, redis_url: str) -> None:
    for _ in range(3):  # three processes
        waker = Waker(redis_url)
        for _ in range(100):
            waker.wake(SWEEP)
            waker.wake(TIMERS)
        until_published(waker)
    assert queued(client) == 2


def test_work_committed_after_a_task_began_wakes_again(client: redis.Redis, redis_url: str) -> None:
    first = Waker(redis_url)
    first.wake(SWEEP)
    until_published(first)
    begin(client, SWEEP)
    second = Waker(redis_url)
    second.wake(SWEEP)
    until_published(second)
    assert queued(client) == 2


def test_a_lost_mark_or_message_is_forgotten_in_time(client: redis.Redis, redis_url: str) -> None:
    waker = Waker(redis_url)
    waker.wake(SWEEP)
    until_published(waker)
    assert 0 < int(client.ttl(f"tierce:woken:{SWEEP}")) <= 30


def _time_of_wakes(url: str) -> float:
    waker = Waker(url)
    began = time.perf_counter()
    for _ in range(1000):
        waker.wake(SWEEP)
    passed = time.perf_counter() - began
    waker.close(seconds=5)
    return passed


def test_a_broker_that_is_gone_neither_fails_nor_slows_the_caller() -> None:
    assert _time_of_wakes(f"redis://{HOST}:{free_port()}/0") < 0.25


def test_a_broker_that_does_not_answer_neither_fails_nor_slows_the_caller() -> None:
    with socket.socket() as silent:
        silent.bind((HOST, 0))
        silent.listen()
        assert _time_of_wakes(f"redis://{HOST}:{silent.getsockname()[1]}/0") < 0.25


def test_a_wrong_password_neither_fails_nor_slows_the_caller(redis_url: str) -> None:
    host = redis_url.rpartition("@")[2]
    assert _time_of_wakes(f"redis://:wrong@{host}") < 0.25


def test_a_broker_that_returns_is_used_again(
    client: redis.Redis, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.wake._REST_SECONDS", 0.0)
    waker = Waker(f"redis://{HOST}:{free_port()}/0")
    waker.wake(SWEEP)
    time.sleep(0.2)
    back = Waker(redis_url)
    back.wake(SWEEP)
    until_published(back)
    waker.close()
    assert queued(client) == 1


def test_without_a_broker_there_is_nothing_to_do() -> None:
    waker = Waker(None)
    waker.wake(SWEEP)
    waker.close()
    assert waker._thread is None
