"""What time will do to an exchange: each deadline with its outcome, from the table of steps."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from service.exchanges.model import Exchange, State
from service.exchanges.steps import BY_NAME, STEPS, By
from service.policies.deposits import RENEW_BEFORE, TAKE_BEFORE
from service.policies.windows import DECIDE_BY, ESCALATE_AFTER, PAYMENT_GRACE, REFUND_AFTER


@dataclass(frozen=True, slots=True)
class Deadline:
    """An instant at which ``step`` of the clock is taken, and what that means in plain words."""

    name: str
    step: str
    due_at: datetime
    outcome: str


def deadlines(exchange: Exchange) -> list[Deadline]:
    """Return the deadlines that now run, soonest first; none when the exchange is over."""
    found = []
    for step in STEPS:
        if step.by is By.CLOCK and exchange.state in step.from_ and step.after is not None:
            due = _due(exchange, step.after)
            if due is not None:
                found.append(Deadline(step.after, step.name, due, step.outcome))
    return sorted(found, key=lambda deadline: deadline.due_at)


def due(exchange: Exchange, step_name: str) -> datetime | None:
    """Return when the clock may take ``step_name``, or None if it does not run now."""
    step = BY_NAME[step_name]
    if step.after is None or exchange.state not in step.from_:
        return None
    return _due(exchange, step.after)


def decide_by(exchange: Exchange) -> datetime | None:
    """Return when a neutral must have decided, while the exchange is in review."""
    return _held_since(exchange) + DECIDE_BY if exchange.state is State.IN_REVIEW else None


def _due(exchange: Exchange, name: str) -> datetime | None:
    hours = timedelta(hours=1)
    if name == "agree_by":
        return exchange.proposed_at + hours * exchange.window("agree_hours")
    if name in {"fund_by", "payment_by"}:
        assert exchange.agreed_at is not None
        # A payment that was tried in time and fails late, as debits do, can still be tried again.
        grace = PAYMENT_GRACE if exchange.fund_attempts else timedelta()
        return exchange.agreed_at + hours * exchange.window("fund_hours") + grace
    if name == "confirm_by":
        return _confirm_by(exchange)
    if name in {"deposit_renewed_by", "deposit_taken_at"}:
        return _deposit_due(exchange, name)
    assert name == "refund_at"
    return _held_since(exchange) + REFUND_AFTER


def _deposit_due(exchange: Exchange, name: str) -> datetime | None:
    """The bank's block on a deposit is renewed once asked for, and taken before it ends."""
    until = exchange.deposit_until
    if until is None:
        return None
    if name == "deposit_taken_at":
        return until - TAKE_BEFORE
    wanted = any(leg.strategy == "reauthorise" for leg in exchange.held_legs)
    return until - RENEW_BEFORE if wanted and exchange.deposit_renewal_id is None else None


def _confirm_by(exchange: Exchange) -> datetime:
    """The current checkpoint's plan, or the end of the one before, plus the window to confirm."""
    current = exchange.current
    assert current is not None
    start = exchange.funded_at
    assert start is not None
    met = [point.met_at for point in exchange.checkpoints if point.met_at is not None]
    start = max([start, *met, *([current.due_at] if current.due_at else [])])
    by = start + timedelta(hours=exchange.window("confirm_hours"))
    return min(by, _held_since(exchange) + ESCALATE_AFTER)


def _held_since(exchange: Exchange) -> datetime:
    """Start of the hold clocks: the payment; without money held, the last planned checkpoint.

    Only a provider limits how long value may be held; a loan without one may last for months.
    """
    start = exchange.funded_at
    assert start is not None
    if exchange.money_due:
        return start
    planned = [point.due_at for point in exchange.checkpoints if point.due_at is not None]
    return max([start, *planned])
