"""Wake the worker after a commit. A wake-up may be lost: the schedule finds the work all the same.

What is to be done stands in PostgreSQL. A message here says only "look now", so that nobody waits
for the next round; the publisher must never fail or be held up because Redis is slow or gone.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache
from threading import Condition, Thread
from typing import Any, Final

import redis
import structlog
from celery import Celery
from kombu.exceptions import OperationalError
from redis.backoff import NoBackoff
from redis.retry import Retry

from service import broker as carrier
from service.config import settings

_log = structlog.get_logger(__name__)

#: The names a wake-up can have: the tasks of ``worker.py``.
SWEEP: Final = "tierce.sweep"
TIMERS: Final = "tierce.timers"
CASES: Final = "tierce.cases"
DRAW: Final = "tierce.draw"
REMIND: Final = "tierce.remind"
CUT: Final = "tierce.cut"
AUDIT: Final = "tierce.audit"
FORGET: Final = "tierce.forget"
POLL: Final = "tierce.poll"
RECONCILE: Final = "tierce.reconcile"
SCRIPTS: Final = "tierce.scripts"
BEAT: Final = "tierce.beat"
MESSAGES: Final = "tierce.messages"
DELIVER: Final = "tierce.deliver"
EVIDENCE: Final = "tierce.evidence"

#: A broker that failed is left alone for this long, so that no request pays for its absence.
_REST_SECONDS: Final = 5.0
_TIMEOUT_SECONDS: Final = 0.5
_USUAL_BROKER: Final = "redis://127.0.0.1:6379/0"
#: A mark whose task never began (the broker lost the message) blocks wake-ups no longer than this.
_MARK_SECONDS: Final = 30


def make_queue(redis_url: Callable[[], str | None], **more: Any) -> Celery:
    """Return the Celery application that publishes to, or works from, a broker.

    The broker carries wake-ups alone: no results, no countdowns, nothing that must survive.

    Args:
        redis_url: asked for the broker's URL at the first use, not before.
        more: Celery's settings beside ours.
    """
    carrier.register()
    queue = Celery("tierce", set_as_current=False)

    def configuration() -> dict[str, Any]:
        return {
            "broker_url": carrier.checked(redis_url() or _USUAL_BROKER),
            "broker_connection_retry_on_startup": True,
            "broker_connection_max_retries": None,  # for ever: an absent broker comes back
            "broker_connection_timeout": _TIMEOUT_SECONDS,
            "broker_transport_options": {
                "socket_connect_timeout": _TIMEOUT_SECONDS,
                "socket_timeout": 5.0,
                "visibility_timeout": 600,  # a lost worker's message comes long after its sweep
            },
            "task_ignore_result": True,
            "task_acks_late": True,
            "task_default_queue": "tierce",
            "task_serializer": "json",
            "accept_content": ["json"],
            "worker_prefetch_multiplier": 1,
            "worker_hijack_root_logger": False,
            "worker_redirect_stdouts": False,
            "worker_send_task_events": False,
            "enable_utc": True,
            "timezone": "UTC",
            **more,
        }

    queue.add_defaults(configuration)
    return queue


class Waker:
    """Publishes wake-ups from a thread of its own, each name once however often it is asked for.

    A mark in the broker (``tierce:woken:<name>``) keeps a second message from being queued before
    the worker has begun on the first, so that an absent worker finds one message, not a million.
    """

    def __init__(self, redis_url: str | None) -> None:
        """Publish to the broker at ``redis_url``; with None nothing is published at all."""
        self._url = redis_url
        self._wanted: set[str] = set()
        self._changed = Condition()
        self._closed = False
        self._thread: Thread | None = None
        self._resting_until = 0.0

    def wake(self, *names: str) -> None:
        """Ask the worker to run the tasks ``names`` now. Call it after the commit.

        It returns at once and raises nothing: the broker is spoken to elsewhere, and while it is
        away wake-ups are dropped.
        """
        with self._changed:
            if self._url is None or self._closed:
                return
            self._wanted.update(names)
            if self._thread is None:
                self._thread = Thread(target=self._run, name="waker", daemon=True)
                self._thread.start()
            self._changed.notify()

    def close(self, seconds: float = 1.0) -> None:
        """Publish what is still wanted, for at most so long, and stop."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(seconds)

    def _run(self) -> None:
        assert self._url is not None
        queue = make_queue(lambda: self._url)
        with broker(self._url) as client:
            while names := self._next():
                for name in names:
                    self._publish(queue, client, name)
        queue.close()

    def _next(self) -> set[str]:
        with self._changed:
            while not self._wanted and not self._closed:
                self._changed.wait()
            names, self._wanted = self._wanted, set()
            return names

    def _publish(self, queue: Celery, client: redis.Redis, name: str) -> None:
        if time.monotonic() < self._resting_until:
            return
        try:
            if client.set(_mark(name), "1", nx=True, ex=_MARK_SECONDS):
                queue.send_task(name, ignore_result=True, retry=False)
        except (OperationalError, redis.RedisError, OSError) as error:
            self._resting_until = time.monotonic() + _REST_SECONDS
            _log.warning("wake_up_lost", task=name, error=str(error))


def _mark(name: str) -> str:
    return f"tierce:woken:{name}"


def broker(redis_url: str | None) -> redis.Redis:
    """Return a client that gives up quickly on a broker that does not answer."""
    return redis.Redis.from_url(
        redis_url or _USUAL_BROKER,
        socket_connect_timeout=_TIMEOUT_SECONDS,
        socket_timeout=_TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )


def answers(redis_url: str | None) -> bool:
    """Tell whether a broker answers, within half a second; without one it does not."""
    if redis_url is None:
        return False
    with broker(redis_url) as client:
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False


def begin(client: redis.Redis, name: str) -> None:
    """Take a wake-up's mark away as its task begins: what is committed from now on wakes again."""
    try:
        client.delete(_mark(name))
    except redis.RedisError as error:
        _log.warning("mark_kept", task=name, error=str(error))


@lru_cache(maxsize=1)
def waker() -> Waker:
    """Return this process's waker, on the broker its settings name."""
    return Waker(settings().redis_url)


def wake(name: str) -> None:
    """Ask the worker to run ``name`` now, through :func:`waker`. Call it after the commit."""
    waker().wake(name)
