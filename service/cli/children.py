"""The processes under ``tierce up``: the API, the worker and its schedule.

Each lives as long as its parent: standard input is a pipe whose other end the parent holds, so the
child learns of the parent's end even by ``kill -9``, and ends too. Nothing is left behind.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from threading import Thread
from typing import Final

import uvicorn

import worker
from service.config import settings
from service.log import configure

_GRACE_SECONDS: Final = 10


def _end_with_parent() -> None:
    """Wait for the parent's end, then ask this process to end, then insist."""
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE_SECONDS)
    os._exit(1)


def _api() -> None:
    uvicorn.run(
        "service.app:create_app",
        factory=True,
        host=settings().host,
        port=settings().port,
        loop="uvloop",
        http="httptools",
        log_config=None,
        access_log=False,  # the application writes its own line per request
        server_header=False,
        timeout_graceful_shutdown=5,
        timeout_keep_alive=65,  # longer than the usual proxy's, which must be the one to hang up
    )


def _worker() -> None:
    # Threads, not processes: the work is waiting for the database and for providers.
    worker.app.worker_main(
        [
            "worker",
            "--pool=threads",
            "--concurrency=4",
            f"--loglevel={settings().log_level}",
            "--without-gossip",
            "--without-mingle",
            "--without-heartbeat",
        ]
    )


def _schedule() -> None:
    # The schedule has no memory of its own: after a restart everything is simply looked at again.
    worker.app.start(
        [
            "beat",
            "--scheduler=celery.beat:Scheduler",
            "--pidfile=",
            f"--loglevel={settings().log_level}",
        ]
    )


#: In the order of their start; they are stopped in this order too.
CHILDREN: Final[dict[str, Callable[[], None]]] = {
    "api": _api,
    "worker": _worker,
    "schedule": _schedule,
}


def run(name: str) -> int:
    """Become the child ``name`` until it is told to end or its parent is gone."""
    configure(settings().log_level, as_json=settings().log_json)
    Thread(target=_end_with_parent, name="leash", daemon=True).start()
    CHILDREN[name]()
    return 0
