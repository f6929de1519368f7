"""The worker: a schedule and one short task per use case.

Every task is a sweep: it reads in PostgreSQL what is due and does it. Running it twice, late, or in
several workers at once is harmless, so a task takes no arguments and promises nothing.
``tierce up`` runs it with its schedule; by hand, it is ``celery -A worker worker`` as often as
wanted, and ``celery -A worker beat`` once per instance.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

import redis
from celery.signals import celeryd_init, setup_logging
from sqlalchemy import Engine

from service import books, db, files, wake
from service.clock import now
from service.config import settings
from service.events import deliveries
from service.events.guard import Guard
from service.exchanges import (
    case_clocks,
    case_reminders,
    case_rounds,
    desk,
    evidence_sweep,
    sweep,
    timers,
)
from service.log import configure
from service.messages import channels, make, mediator_mail, send
from service.operations import outages, proofs, retention, tasks
from service.payments import poll
from service.sandbox import passing
from service.sealing import Sealer

#: Every kind of round at once, of which the sweep, the poll and the mail ask several things at the
#: same time.
_POOL_SIZE: Final = 24

app: Final = wake.make_queue(
    lambda: settings().redis_url,
    beat_schedule={
        # Without any wake-up, nothing waits longer than this. What could not be begun in time
        # expires: the next round does the same work.
        "sweep": {"task": wake.SWEEP, "schedule": 1.0, "options": {"expires": 1.0}},
        "scripts": {"task": wake.SCRIPTS, "schedule": 1.0, "options": {"expires": 1.0}},
        "timers": {"task": wake.TIMERS, "schedule": 2.0, "options": {"expires": 2.0}},
        "cases": {"task": wake.CASES, "schedule": 2.0, "options": {"expires": 2.0}},
        "draw": {"task": wake.DRAW, "schedule": 15.0, "options": {"expires": 15.0}},
        # It reads every open case: rarely enough for the database, often enough for a day's notice.
        "remind": {"task": wake.REMIND, "schedule": 60.0, "options": {"expires": 60.0}},
        "deliver": {"task": wake.DELIVER, "schedule": 1.0, "options": {"expires": 1.0}},
        "messages": {"task": wake.MESSAGES, "schedule": 2.0, "options": {"expires": 2.0}},
        "cut": {"task": wake.CUT, "schedule": 60.0, "options": {"expires": 60.0}},
        # These four are done when the last time that is recorded is an hour ago
        # (service.operations.proofs), however often a worker is restarted.
        "audit": {"task": wake.AUDIT, "schedule": 60.0, "options": {"expires": 60.0}},
        "reconcile": {"task": wake.RECONCILE, "schedule": 60.0, "options": {"expires": 60.0}},
        "forget": {"task": wake.FORGET, "schedule": 60.0, "options": {"expires": 60.0}},
        "evidence": {"task": wake.EVIDENCE, "schedule": 60.0, "options": {"expires": 60.0}},
        # Each connection is asked as often as service.payments.poll says, not at every round.
        "poll": {"task": wake.POLL, "schedule": 60.0, "options": {"expires": 60.0}},
        # Each worker that takes one is seen; how long nobody took one is how long there was none.
        "beat": {"task": wake.BEAT, "schedule": 10.0, "options": {"expires": 10.0}},
    },
)


_PROCESS: Final = outages.process_name("worker")
tasks.serve_metrics(lambda: settings().worker_metrics_port)


@setup_logging.connect
def _set_up_logging(**_: Any) -> None:
    """Keep Celery from setting up logging of its own."""
    configure(settings().log_level, as_json=settings().log_json)


@celeryd_init.connect
def _print_no_banner(instance: Any, **_: Any) -> None:
    """Keep Celery from printing where the broker is: what a worker says, its log says."""
    instance.quiet = True


@lru_cache(maxsize=1)
def _engine() -> Engine:
    url = settings().database_url
    if url is None:
        raise RuntimeError("The worker needs TIERCE_DATABASE_URL; `tierce up` sets it.")
    return db.create_engine(url, _POOL_SIZE)


@lru_cache(maxsize=1)
def _broker() -> redis.Redis:
    return wake.broker(settings().redis_url)


@lru_cache(maxsize=1)
def _desk() -> desk.Desk:
    key = settings().code_key
    if key is None:
        raise RuntimeError("The worker needs TIERCE_CODE_KEY; `tierce up` sets it.")
    return desk.make_desk(_engine(), key.get_secret_value(), now, settings().stripe_api_base)


@lru_cache(maxsize=1)
def _sealer() -> Sealer:
    key = settings().code_key
    if key is None:
        raise RuntimeError("The worker needs TIERCE_CODE_KEY; `tierce up` sets it.")
    return Sealer(key.get_secret_value())


@lru_cache(maxsize=1)
def _files() -> files.Files:
    return files.files_of(settings())


@lru_cache(maxsize=1)
def _channels() -> channels.Channels:
    return channels.make_channels(settings())


@app.task(name=wake.SWEEP)
@tasks.alone
def sweep_payments() -> None:
    """Deliver, apply, submit and look again: everything between us and the providers."""
    wake.begin(_broker(), wake.SWEEP)
    sweep.run(_desk(), now())


@app.task(name=wake.TIMERS)
@tasks.alone
def fire_timers() -> None:
    """Take the clock's steps that are due."""
    wake.begin(_broker(), wake.TIMERS)
    # First: what we could not serve must stand still before anything is found to be due.
    with db.transaction(_engine(), db.SYSTEM) as connection:
        outages.watch(connection, now())
    timers.run(_engine(), _desk().codes, now())


@app.task(name=wake.CASES)
@tasks.alone
def move_cases() -> None:
    """Take the steps of cases whose time has come, and tell what happened in them."""
    wake.begin(_broker(), wake.CASES)
    case_clocks.run(_engine(), _desk().codes, now())
    case_rounds.tell(_engine(), _desk().codes, now)


@app.task(name=wake.DRAW)
@tasks.alone
def draw_for_cases() -> None:
    """Find people for cases that wait for somebody, and put new decisions to the lot."""
    wake.begin(_broker(), wake.DRAW)
    case_rounds.find_people(_engine(), _desk().codes, now)
    case_rounds.sample(_engine(), now)


@app.task(name=wake.REMIND)
@tasks.alone
def remind_of_cases() -> None:
    """Remind those a case waits for, while they can still do what it waits for."""
    wake.begin(_broker(), wake.REMIND)
    case_reminders.run(_engine(), _desk().codes, now())


@app.task(name=wake.SCRIPTS)
@tasks.alone
def follow_scripts() -> None:
    """Do what is due where a sandbox has a clock of its own, and what scripted members do."""
    wake.begin(_broker(), wake.SCRIPTS)
    passing.work(_desk(), now)


@app.task(name=wake.DELIVER)
def deliver_webhooks() -> None:
    """Turn events into deliveries to webhook endpoints, and send what is due."""
    wake.begin(_broker(), wake.DELIVER)
    deliveries.turn(_engine(), now(), _sealer(), Guard(settings().webhooks_allow_private))


@app.task(name=wake.MESSAGES)
@tasks.alone
def tell_members() -> None:
    """Write the messages that events call for, and send those that are due."""
    wake.begin(_broker(), wake.MESSAGES)
    make.make(_engine(), now())
    send.run(_engine(), _channels(), now())
    mediator_mail.run(_engine(), _channels(), now())


@app.task(name=wake.CUT)
@tasks.alone
def cut_balances() -> None:
    """Cut the balances of busy accounts, each platform in a transaction of its own."""
    wake.begin(_broker(), wake.CUT)
    books.cut(_engine())


@app.task(name=wake.AUDIT)
@tasks.alone
def audit_books() -> None:
    """Re-prove the books of every platform, once an hour."""
    wake.begin(_broker(), wake.AUDIT)
    proofs.hourly(_engine(), "books", now(), lambda: books.audit(_engine()))


@app.task(name=wake.POLL)
@tasks.alone
def poll_events() -> None:
    """Read the providers' lists of events, for what their webhooks did not bring."""
    wake.begin(_broker(), wake.POLL)
    if poll.poll(_engine(), _desk().providers, now()):
        wake.wake(wake.SWEEP)


@app.task(name=wake.RECONCILE)
@tasks.alone
def reconcile_days() -> None:
    """Compare the providers' books of the days that are over with ours, once an hour."""
    wake.begin(_broker(), wake.RECONCILE)
    proofs.hourly(_engine(), "reconciled", now(), lambda: passing.reconcile(_desk(), now))


@app.task(name=wake.FORGET)
@tasks.alone
def forget_old_rows() -> None:
    """Delete what is kept no longer, once an hour."""
    wake.begin(_broker(), wake.FORGET)
    proofs.hourly(_engine(), "forgotten", now(), lambda: retention.forget(_engine(), now()))


@app.task(name=wake.EVIDENCE)
@tasks.alone
def delete_old_evidence() -> None:
    """Delete evidence whose date has come and files that nothing names, once an hour."""
    wake.begin(_broker(), wake.EVIDENCE)
    proofs.hourly(
        _engine(), "evidence", now(), lambda: evidence_sweep.run(_engine(), _files(), now())
    )


@app.task(name=wake.BEAT)
def beat_heart() -> None:
    """Say that this worker is alive."""
    wake.begin(_broker(), wake.BEAT)
    with db.transaction(_engine(), db.SYSTEM) as connection:
        outages.beat(connection, _PROCESS, "worker", now())
