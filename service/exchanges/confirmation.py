"""Acts on a checkpoint: confirm, take back, enter the hand-over code, renew it.

Each act has the same shape, ``(exchange, command, role, now, codes) -> Decision``, so that
``decide`` can name it beside its step. Pure: no database, no clock, no provider.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from service.exchanges import money
from service.exchanges.codes import MOST_WRONG_TRIES, CodeBook
from service.exchanges.commands import Command, ConfirmationFact, Decision, Who
from service.exchanges.kinds import Role
from service.exchanges.model import Checkpoint, Exchange, LegState, State
from service.exchanges.refusals import CheckpointNotCurrent, UnknownCheckpoint, WrongCode


def confirm(
    exchange: Exchange, command: Command, role: Role, now: datetime, codes: CodeBook
) -> Decision:
    """One side says that the checkpoint took place; with both words it is met."""
    point = _current(exchange, command)
    return _confirm(exchange, point, (role,), command, "word", now, codes)


def withdraw_confirmation(
    exchange: Exchange, command: Command, role: Role, now: datetime, _codes: CodeBook
) -> Decision:
    """Take one's word back while the other side has not given theirs: a new fact."""
    point = _current(exchange, command)
    decision = Decision(exchange.with_checkpoint(point.with_confirmation(role, None)))
    decision.confirmations.append(
        _fact(exchange, point, role, "withdrawn", "word", command.who, now)
    )
    decision.note("exchange.confirmation_withdrawn", checkpoint=point.name, by=role)
    return decision


def enter_code(
    exchange: Exchange, command: Command, role: Role, now: datetime, codes: CodeBook
) -> Decision:
    """The code told in person is both confirmations at once; a wrong one is counted and kept."""
    point = _current(exchange, command)
    code = point.code
    assert code is not None
    assert command.code is not None
    if codes.matches(code, exchange.id, point.name, command.code):
        silent = tuple(side for side in (role.other, role) if point.confirmed_by(side) is None)
        return _confirm(exchange, point, silent, command, "code", now, codes)
    tries = code.wrong_tries + 1
    locked = now if tries >= MOST_WRONG_TRIES else None
    wrong = replace(code, wrong_tries=tries, locked_at=locked)
    decision = Decision(exchange.with_checkpoint(replace(point, code=wrong)))
    left = MOST_WRONG_TRIES - tries
    if locked is None:
        decision.note("exchange.code_wrong", checkpoint=point.name, tries_left=left)
        detail = f"This is not the code; {left} {'try is' if left == 1 else 'tries are'} left."
    else:
        decision.note("exchange.code_locked", checkpoint=point.name)
        detail = "This is not the code, and it is now locked: its holder must renew it."
    decision.refusal = WrongCode(detail, pointer="/code", tries_left=left)
    return decision


def renew_code(
    exchange: Exchange, _command: Command, role: Role, _now: datetime, codes: CodeBook
) -> Decision:
    """Replace a locked code by the next one; the old one is worthless from now on."""
    point = exchange.current
    assert point is not None
    old = point.code
    assert old is not None
    code = codes.issue(exchange.id, point.name, old.generation + 1)
    decision = Decision(exchange.with_checkpoint(replace(point, code=code)))
    decision.note("exchange.code_renewed", checkpoint=point.name, by=role)
    return decision


def issue_code(decision: Decision, codes: CodeBook) -> None:
    point = decision.exchange.current
    assert point is not None
    code = codes.issue(decision.exchange.id, point.name)
    decision.exchange = decision.exchange.with_checkpoint(replace(point, code=code))


def _current(exchange: Exchange, command: Command) -> Checkpoint:
    """Return the checkpoint named, which must be the one now to be met."""
    current = exchange.current
    assert current is not None
    names = [point.name for point in exchange.checkpoints]
    if command.checkpoint not in names:
        raise UnknownCheckpoint(
            f"The exchange has no checkpoint '{command.checkpoint}'; it has {', '.join(names)}.",
            pointer="/checkpoint",
            checkpoints=names,
        )
    if command.checkpoint != current.name:
        raise CheckpointNotCurrent(
            f"The checkpoint to confirm now is '{current.name}'.",
            pointer="/checkpoint",
            current=current.name,
        )
    return current


def _fact(
    exchange: Exchange,
    point: Checkpoint,
    role: Role,
    word: str,
    method: str,
    who: Who,
    now: datetime,
) -> ConfirmationFact:
    return ConfirmationFact(
        point.name,
        role,
        exchange.member(role),
        word,
        method,
        who.via,
        now,
        who.helper_id,
        who.operator,
    )


def _confirm(
    exchange: Exchange,
    point: Checkpoint,
    sides: tuple[Role, ...],
    command: Command,
    method: str,
    now: datetime,
    codes: CodeBook,
) -> Decision:
    decision = Decision(exchange)
    for side in sides:
        point = point.with_confirmation(side, now)
        decision.confirmations.append(
            _fact(exchange, point, side, "confirmed", method, command.who, now)
        )
        decision.note("exchange.confirmed", checkpoint=point.name, by=side, method=method)
    decision.exchange = exchange.with_checkpoint(point)
    if point.payer_at is not None and point.payee_at is not None:
        _meet(decision, point, now, codes)
    return decision


def _meet(decision: Decision, point: Checkpoint, now: datetime, codes: CodeBook) -> None:
    """Both sides have confirmed: what hangs on the checkpoint finds its natural end."""
    met = replace(point, met_at=now)
    decision.exchange = decision.exchange.with_checkpoint(met)
    decision.note("exchange.checkpoint_met", checkpoint=point.name)
    ends = {
        leg.id: money.natural_end(leg)
        for leg in decision.exchange.legs
        if leg.checkpoint == point.name and leg.state is LegState.HELD and not leg.disputed
    }
    money.settle(decision, ends)
    # An offer speaks of what was held when it was made; some of that has just gone.
    decision.exchange = replace(decision.exchange, proposal=None)
    go_on(decision, now, codes)


def go_on(decision: Decision, now: datetime, codes: CodeBook) -> None:
    """A checkpoint was met: the next begins, or the exchange has come to its agreed end."""
    decision.exchange = replace(decision.exchange, state=State.ACTIVE, review_at=None)
    if decision.exchange.current is not None:
        issue_code(decision, codes)
    elif not decision.exchange.held_legs:
        decision.end(State.COMPLETED, now, "exchange.completed")
