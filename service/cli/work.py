"""The worker's process under ``tierce up``: ``python -m service.cli.work``."""

from __future__ import annotations

import os
import signal
from threading import Thread

from celery.beat import Scheduler, Service

from service.cli.leash import end_with_parent
from service.config import settings
from service.log import configure
from worker import app


def main() -> None:
    """Work, and keep the schedule, until told to end or the parent is gone."""
    end_with_parent()
    configure(settings().log_level, as_json=settings().log_json)
    Thread(target=_keep_schedule, name="schedule", daemon=True).start()
    # Threads, not processes: the work is waiting for the database and for providers.
    app.worker_main(
        [
            "worker",
            "--pool=threads",
            "--concurrency=10",
            f"--loglevel={settings().log_level}",
            "--without-gossip",
            "--without-mingle",
            "--without-heartbeat",
        ]
    )


def _keep_schedule() -> None:
    # The schedule has no memory of its own: after a restart everything is simply looked at again.
    try:
        Service(app, scheduler_cls=Scheduler).start()
    finally:
        # Without its schedule the worker would only look busy: end, and be started again.
        os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
