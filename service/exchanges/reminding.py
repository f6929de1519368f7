"""The clock's reminder of whoever has not answered. Pure: no database, no clock, no message."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from service.exchanges.codes import CodeBook
from service.exchanges.commands import Command, Decision
from service.exchanges.deadlines import silence
from service.exchanges.kinds import Role
from service.exchanges.model import Exchange


def remind(
    exchange: Exchange, _command: Command, _role: Role, now: datetime, _codes: CodeBook
) -> Decision:
    """Note that it is time to remind; several that are late at once become one."""
    wait = silence(exchange)
    assert wait is not None
    number = sum(at <= now for at in wait.reminders)
    decision = Decision(replace(exchange, reminders=number, reminded_at=now))
    told = silence(decision.exchange)
    assert told is not None
    decision.note(
        "exchange.reminder",
        to=sorted(wait.whose),
        about=wait.deadline,
        due_at=told.due_at,
        number=number,
        last=number == len(wait.reminders),
    )
    return decision
