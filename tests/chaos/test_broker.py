"""A worker outlives its broker: it goes on by itself when the broker is back."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from service import wake
from service.wake import Waker
from tests.chaos.instance import Broker, Child, Instance

#: Less than the 30 seconds after which a mark goes by itself.
PATIENCE_SECONDS = 20.0


def until(holds: Callable[[], bool], instance: Instance) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, instance.last_words()
        time.sleep(0.02)


def wake_and_wait(instance: Instance) -> None:
    """Wake the worker and wait until it has begun: it takes the mark away."""
    waker = Waker(instance.redis_url)
    waker.wake(wake.CUT)
    waker.close(seconds=5)
    with wake.broker(instance.redis_url) as client:
        until(lambda: not client.exists(f"tierce:woken:{wake.CUT}"), instance)


@pytest.mark.timeout(240)
def test_a_worker_goes_on_however_often_its_broker_is_killed(instance: Instance) -> None:
    broker, worker = instance.killable["broker"], instance.killable["worker-0"]
    instance.killable["worker-1"].kill()
    assert isinstance(broker, Broker)
    assert isinstance(worker, Child)
    born = worker.pid
    for _ in range(3):
        wake_and_wait(instance)
        broker.kill()
        broker.start()
    wake_and_wait(instance)
    assert worker.runs
    assert worker.pid == born
