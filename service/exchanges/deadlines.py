"""What time will do to an exchange: each deadline with its outcome, from the table of steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from service.exchanges.kinds import Role
from service.exchanges.model import Exchange, State
from service.exchanges.steps import BY_NAME, STEPS, By
from service.policies.decent import last_decent_for, next_decent_for
from service.policies.deposits import RENEW_BEFORE, TAKE_BEFORE
from service.policies.pauses import UNREACHED_GRACE, extend
from service.policies.reminders import notice, schedule
from service.policies.windows import (
    AFTER_CASE,
    DECIDE_BY,
    ESCALATE_AFTER,
    LEAST_CASE,
    PAYMENT_GRACE,
    REFUND_AFTER,
)


@dataclass(frozen=True, slots=True)
class Deadline:
    """An instant at which ``step`` of the clock is taken, and what that means in plain words."""

    name: str
    step: str
    due_at: datetime
    outcome: str


def deadlines(exchange: Exchange) -> Sequence[Deadline]:
    """Return the deadlines that now run, soonest first; none when the exchange is over."""
    return exchange.once("deadlines", _deadlines)


def _deadlines(exchange: Exchange) -> Sequence[Deadline]:
    found = []
    for step in STEPS:
        if step.by is By.CLOCK and exchange.state in step.from_ and step.after is not None:
            due = _due(exchange, step.after)
            if due is not None:
                found.append(Deadline(step.after, step.name, due, step.outcome))
    return tuple(sorted(found, key=lambda deadline: deadline.due_at))


def running(exchange: Exchange) -> dict[str, datetime]:
    """Return when the clock will take each step that it may take, by the step's name."""
    return {line.step: line.due_at for line in deadlines(exchange)}


def looks(exchange: Exchange) -> dict[str, datetime]:
    """Return when the clock is to look at each step that it may take: never later than it is due.

    A reminder that came back gives time, and takes it away again once it arrives after all.
    """
    if not exchange.around.unreached:
        return running(exchange)
    reached = replace(exchange.around, unreached=frozenset())
    return running(replace(exchange, around=reached))


def due(exchange: Exchange, step_name: str) -> datetime | None:
    """Return when the clock may take ``step_name``, or None if it does not run now."""
    step = BY_NAME[step_name]
    if step.after is None or exchange.state not in step.from_:
        return None
    return _due(exchange, step.after)


def decide_by(exchange: Exchange) -> datetime | None:
    """Return when a neutral must have decided, while the exchange is in review."""
    return _held_since(exchange) + DECIDE_BY if exchange.state is State.IN_REVIEW else None


@dataclass(frozen=True, slots=True)
class Silence:
    """A wait for members: whose answer is missing since when, and when their time is over.

    ``deadline`` is the name of the deadline that ends it; ``reminders`` are planned for these
    instants, soonest first.
    """

    deadline: str
    start: datetime
    due_at: datetime
    whose: frozenset[Role]
    reminders: tuple[datetime, ...]


def silence(exchange: Exchange) -> Silence | None:
    """Return the wait for members that now runs, or None while it is nobody's turn."""
    return exchange.once("silence", _silence)


def _silence(exchange: Exchange) -> Silence | None:
    if exchange.state is State.PROPOSED:
        whose = frozenset(role for role in Role if exchange.agreed_by(role) is None)
        due_at = _fair(exchange, exchange.proposed_at, "agree_hours", whose)
        return _wait(exchange, "agree_by", exchange.proposed_at, due_at, whose)
    if exchange.state in {State.AGREED, State.FUNDING}:
        name = "fund_by" if exchange.state is State.AGREED else "payment_by"
        assert exchange.agreed_at is not None
        # A payment that was tried in time and fails late, as debits do, can still be tried again.
        grace = PAYMENT_GRACE if exchange.fund_attempts else timedelta()
        whose = frozenset({Role.PAYER})
        due_at = _fair(exchange, exchange.agreed_at, "fund_hours", whose, grace)
        return _wait(exchange, name, exchange.agreed_at, due_at, whose)
    current = exchange.current
    if exchange.state is not State.ACTIVE or current is None or exchange.case_id is not None:
        return None  # while a case is open its clocks run, and nobody is waited for here
    whose = frozenset(role for role in Role if current.confirmed_by(role) is None)
    start = _confirm_from(exchange)
    if exchange.frozen_at is not None:  # nobody can confirm, so nobody is waited for
        return Silence("confirm_by", start, escalate_at(exchange), whose, ())
    due_at = _fair(exchange, start, "confirm_hours", whose)
    return _wait(exchange, "confirm_by", start, due_at, whose, escalate_at(exchange))


def _fair(
    exchange: Exchange,
    start: datetime,
    window: str,
    whose: frozenset[Role],
    more: timedelta = timedelta(),
) -> datetime:
    """Return the end of a window, moved as is fair to the members whose answer is missing."""
    around = exchange.around
    length = timedelta(hours=exchange.window(window)) + more
    stood_still = [
        (pause.began_at, pause.ended_at)
        for pause in around.pauses
        if pause.role is None or pause.role in whose
    ]
    due_at = extend(start, length, stood_still)
    if around.unreached & whose:
        due_at += UNREACHED_GRACE
    return next_decent_for(due_at, around.places(whose))


def _wait(
    exchange: Exchange,
    deadline: str,
    start: datetime,
    due_at: datetime,
    whose: frozenset[Role],
    limit: datetime | None = None,
) -> Silence:
    """Return the wait with its reminders; one that was late gives the time that it announced.

    The limits on how long value is held (``limit``) are not the members', and do not move.
    """
    if limit is not None:
        due_at = min(due_at, limit)
    places = exchange.around.places(whose)
    planned = schedule(start, due_at)
    moved = [(at, last_decent_for(at, places)) for at in planned]
    decent = tuple(earlier if earlier > start else at for at, earlier in moved)
    if planned and exchange.reminded_at is not None and exchange.reminders >= len(planned):
        told = exchange.reminded_at + notice(planned, due_at)
        due_at = max(due_at, next_decent_for(told, places))
    if limit is not None:
        due_at = min(due_at, limit)
    return Silence(deadline, start, due_at, whose, decent)


def same_wait(before: Exchange, after: Exchange) -> bool:
    """Tell whether members are still waited for as before, so that their reminders count on."""
    then, now = silence(before), silence(after)
    if then is None or now is None:
        return then is now
    # To pay is one wait, whether a payment is under way or not: no payer makes it longer by trying.
    paying = {"fund_by", "payment_by"}
    same_task = then.deadline == now.deadline or {then.deadline, now.deadline} == paying
    return same_task and then.start == now.start


def is_over(exchange: Exchange, step_name: str, now: datetime) -> bool:
    """Tell whether the clock may take ``step_name``: it is due, and members were reminded before.

    What the frozen terms announce for an instant holds from that instant, however late the worker;
    but nobody's time ends unless they were reminded.
    """
    instant = due(exchange, step_name)
    if instant is None or now < instant:
        return False
    wait = silence(exchange)
    if wait is None or BY_NAME[step_name].after != wait.deadline or now >= _limit(exchange):
        return True
    if exchange.reminders < len(wait.reminders):
        return False
    # A reminder that is still on its way may arrive after the time is over; but not for ever.
    waits = bool(exchange.around.on_its_way & wait.whose)
    return not waits or now >= wait.due_at + UNREACHED_GRACE


def _limit(exchange: Exchange) -> datetime:
    """Return when a neutral looks even if nobody could be reminded."""
    if exchange.state is State.ACTIVE:
        return escalate_at(exchange)
    return datetime.max.replace(tzinfo=UTC)


def _due(exchange: Exchange, name: str) -> datetime | None:
    wait = silence(exchange)
    if name == "remind_at":
        planned = wait.reminders if wait is not None else ()
        return planned[exchange.reminders] if exchange.reminders < len(planned) else None
    if wait is not None and name == wait.deadline:
        return wait.due_at
    if name == "confirm_by":
        return None
    if name in {"deposit_renewed_by", "deposit_taken_at"}:
        return _deposit_due(exchange, name)
    assert name == "refund_at"
    return refund_at(exchange)


def _deposit_due(exchange: Exchange, name: str) -> datetime | None:
    """The bank's block on a deposit is renewed once asked for, and taken before it ends."""
    until = exchange.deposit_until
    if until is None:
        return None
    if name == "deposit_taken_at":
        return until - TAKE_BEFORE
    wanted = any(leg.strategy == "reauthorise" for leg in exchange.held_legs)
    return until - RENEW_BEFORE if wanted and exchange.deposit_renewal_id is None else None


def _confirm_from(exchange: Exchange) -> datetime:
    """The current checkpoint's plan, or the end of the one before: the window to confirm begins."""
    current = exchange.current
    start = exchange.funded_at
    assert current is not None
    assert start is not None
    met = [point.met_at for point in exchange.checkpoints if point.met_at is not None]
    later = [at for at in (current.due_at, exchange.resumed_at) if at is not None]
    return max([start, *met, *later])


def escalate_at(exchange: Exchange) -> datetime:
    """Return when a neutral looks at a funded exchange, whatever its members say."""
    return _held_since(exchange) + ESCALATE_AFTER


def refund_at(exchange: Exchange) -> datetime:
    """Return when everything still held goes back to the payer, whatever happens."""
    return _held_since(exchange) + REFUND_AFTER


def decide_case_by(exchange: Exchange, now: datetime) -> datetime:
    """Return by when a case that opens ``now`` must have its outcome, well before the hold ends."""
    usual = max(_held_since(exchange) + DECIDE_BY, now + LEAST_CASE)
    return min(usual, refund_at(exchange) - AFTER_CASE)


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
