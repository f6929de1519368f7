"""Each step's act, once it is known to be allowed: the exchange after it, and what it moves.

Every act has the same shape, ``(exchange, command, role, now, codes) -> Decision``, so that the
table of steps can name it. Pure: no database, no clock, no provider.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from uuid import UUID

from service.exchanges import money
from service.exchanges.codes import MOST_WRONG_TRIES, CodeBook
from service.exchanges.commands import Command, ConfirmationFact, Decision, PaymentDraft
from service.exchanges.kinds import Role
from service.exchanges.model import Checkpoint, Exchange, Leg, LegState, Proposal, State
from service.exchanges.refusals import (
    CheckpointNotCurrent,
    NoOpenProposal,
    SplitDoesNotSum,
    StaleTerms,
    StepNotAllowed,
    UnknownCheckpoint,
    WrongCode,
)
from service.ids import encode, uuid7
from service.policies.windows import OFFER_LIFE


def agree(
    exchange: Exchange, command: Command, role: Role, now: datetime, codes: CodeBook
) -> Decision:
    """The other side agrees; with nothing to pay in, the exchange is active at once."""
    if command.terms_hash is not None and command.terms_hash != exchange.terms_hash:
        raise StaleTerms(
            "The terms have changed since you read them: read the exchange again.",
            pointer="/terms_hash",
            terms_hash=exchange.terms_hash,
        )
    if role is Role.PAYER:
        exchange = replace(exchange, payer_agreed_at=now)
    else:
        exchange = replace(exchange, payee_agreed_at=now)
    decision = Decision(replace(exchange, state=State.AGREED, agreed_at=now))
    decision.note("exchange.agreed", by=role, terms_hash=exchange.terms_hash)
    if not exchange.legs:
        activate(decision, now, codes)
    return decision


def decline(
    exchange: Exchange, _command: Command, role: Role, now: datetime, _codes: CodeBook
) -> Decision:
    """The other side says no; nothing was paid."""
    return _close(exchange, State.DECLINED, now, "exchange.declined", by=role)


def counter_offer(
    exchange: Exchange, command: Command, role: Role, now: datetime, _codes: CodeBook
) -> Decision:
    """Put other terms on the table: now the other side has to answer."""
    checked = command.terms
    assert checked is not None
    decision = Decision(
        replace(
            exchange,
            proposed_by=role,
            payer_agreed_at=now if role is Role.PAYER else None,
            payee_agreed_at=now if role is Role.PAYEE else None,
            terms=checked.terms,
            terms_hash=checked.terms_hash,
            provider=checked.terms["provider"],
            legs=checked.legs,
            checkpoints=checked.checkpoints,
            proposed_at=now,
        )
    )
    decision.note("exchange.counter_offered", by=role, terms_hash=checked.terms_hash)
    return decision


def cancel(
    exchange: Exchange, _command: Command, role: Role, now: datetime, _codes: CodeBook
) -> Decision:
    """Either side alone may leave before anything is held; a payment in flight is called back."""
    return _close_unfunded(exchange, State.CANCELLED, now, "exchange.cancelled", by=role)


def expire(
    exchange: Exchange, _command: Command, _role: Role, now: datetime, _codes: CodeBook
) -> Decision:
    """Time ran out before anything was held."""
    return _close_unfunded(exchange, State.EXPIRED, now, "exchange.expired")


def fund(
    exchange: Exchange, command: Command, _role: Role, now: datetime, codes: CodeBook
) -> Decision:
    """Hold the payer's community units and ask the provider to collect the money, if any."""
    exchange = replace(exchange, fund_attempts=exchange.fund_attempts + 1)
    decision = Decision(exchange)
    money.hold_community(decision)
    if not exchange.money_due:
        activate(decision, now, codes)
        return decision
    assert exchange.provider is not None
    assert exchange.money_unit is not None
    payment = PaymentDraft(
        id=uuid7(),
        kind="collect",
        member_id=exchange.payer_id,
        amount=exchange.money_due,
        unit=exchange.money_unit,
        provider=exchange.provider,
        method=command.payment_method,
    )
    decision.payments.append(payment)
    decision.exchange = replace(
        decision.exchange, state=State.FUNDING, collect_id=payment.id
    )
    decision.note("exchange.funding", payment=encode("payment", payment.id))
    return decision


def payment_succeeded(
    exchange: Exchange, command: Command, _role: Role, now: datetime, codes: CodeBook
) -> Decision:
    """The provider holds the money: fill the holds; the members can meet."""
    payment_id = _collecting(exchange, command)
    decision = Decision(exchange)
    money.hold_money(decision, payment_id)
    activate(decision, now, codes)
    return decision


def payment_failed(
    exchange: Exchange, command: Command, _role: Role, _now: datetime, _codes: CodeBook
) -> Decision:
    """The payment did not come: hours held beside it go back, and the payer may try again."""
    payment_id = _collecting(exchange, command)
    decision = Decision(exchange)
    money.return_community(decision)
    decision.exchange = replace(decision.exchange, state=State.AGREED, collect_id=None)
    decision.note(
        "exchange.funding_failed", payment=encode("payment", payment_id), failure=command.failure
    )
    return decision


def _collecting(exchange: Exchange, command: Command) -> UUID:
    if exchange.collect_id is None or exchange.collect_id != command.payment_id:
        raise StepNotAllowed("This payment is not the one the exchange waits for.")
    return exchange.collect_id


def activate(decision: Decision, now: datetime, codes: CodeBook) -> None:
    """Everything is held: start the clocks and issue the first hand-over code."""
    decision.exchange = replace(decision.exchange, state=State.ACTIVE, funded_at=now)
    _issue_code(decision, codes)
    decision.note("exchange.active")


def _issue_code(decision: Decision, codes: CodeBook) -> None:
    point = decision.exchange.current
    assert point is not None
    code = codes.issue(decision.exchange.id, point.name)
    decision.exchange = decision.exchange.with_checkpoint(replace(point, code=code))


def confirm(
    exchange: Exchange, command: Command, role: Role, now: datetime, codes: CodeBook
) -> Decision:
    """One side says that the checkpoint took place; with both words it is met."""
    point = _current(exchange, command)
    return _confirm(exchange, point, (role,), command, "word", now, codes)


def withdraw_confirmation(
    exchange: Exchange, command: Command, role: Role, now: datetime, _codes: CodeBook
) -> Decision:
    """Take one's word back while the other side has not given theirs: a new fact, not a deletion."""
    point = _current(exchange, command)
    decision = Decision(exchange.with_checkpoint(point.with_confirmation(role, None)))
    decision.confirmations.append(
        _fact(exchange, point, role, "withdrawn", "word", command.who.via, now)
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
    via: str,
    now: datetime,
) -> ConfirmationFact:
    return ConfirmationFact(point.name, role, exchange.member(role), word, method, via, now)


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
            _fact(exchange, point, side, "confirmed", method, command.who.via, now)
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
        if leg.checkpoint == point.name and leg.state is LegState.HELD
    }
    money.settle(decision, ends)
    # An offer speaks of what was held when it was made; some of that has just gone.
    decision.exchange = replace(decision.exchange, proposal=None, review_at=None)
    if decision.exchange.current is None:
        _end(decision, State.COMPLETED, now, "exchange.completed")
    else:
        decision.exchange = replace(decision.exchange, state=State.ACTIVE)
        _issue_code(decision, codes)


def propose_cancellation(
    exchange: Exchange, _command: Command, role: Role, now: datetime, _codes: CodeBook
) -> Decision:
    """Offer that everything still held goes back to the payer."""
    return _propose(exchange, "cancellation", role, now, {leg.id: 0 for leg in _held(exchange)})


def propose_settlement(
    exchange: Exchange, command: Command, role: Role, now: datetime, _codes: CodeBook
) -> Decision:
    """Offer an exact split of everything still held."""
    legs = _held(exchange)
    given = command.to_payee or ()
    if not legs:
        raise StepNotAllowed("Nothing is held, so there is nothing to split; offer to cancel.")
    if len(given) != len(legs):
        raise SplitDoesNotSum(
            f"{len(legs)} legs are held; say for each, in their order, what goes to the payee.",
            pointer="/legs",
            legs=[encode("leg", leg.id) for leg in legs],
        )
    for index, (leg, amount) in enumerate(zip(legs, given, strict=True)):
        if not 0 <= amount <= leg.amount:
            raise SplitDoesNotSum(
                f"The payee can get 0 to {leg.amount} of this leg; the payer gets the rest.",
                pointer=f"/legs/{index}/to_payee",
                held=leg.amount,
            )
    split = {leg.id: amount for leg, amount in zip(legs, given, strict=True)}
    return _propose(exchange, "settlement", role, now, split)


def _held(exchange: Exchange) -> list[Leg]:
    return [leg for leg in exchange.legs if leg.state is LegState.HELD]


def _propose(
    exchange: Exchange, kind: str, role: Role, now: datetime, split: dict[UUID, int]
) -> Decision:
    proposal = Proposal(uuid7(), kind, role, split, now + OFFER_LIFE)
    decision = Decision(replace(exchange, proposal=proposal))
    decision.note(
        f"exchange.{kind}_proposed",
        by=role,
        proposal=encode("proposal", proposal.id),
        to_payee={encode("leg", leg_id): amount for leg_id, amount in split.items()},
    )
    return decision


def withdraw_proposal(
    exchange: Exchange, command: Command, role: Role, _now: datetime, _codes: CodeBook
) -> Decision:
    """Take one's own offer back."""
    return _drop(exchange, command, role, "exchange.proposal_withdrawn")


def reject_proposal(
    exchange: Exchange, command: Command, role: Role, _now: datetime, _codes: CodeBook
) -> Decision:
    """Say no to the other side's offer."""
    return _drop(exchange, command, role, "exchange.proposal_rejected")


def _drop(exchange: Exchange, command: Command, role: Role, event: str) -> Decision:
    proposal = _open_proposal(exchange, command)
    decision = Decision(replace(exchange, proposal=None))
    decision.note(event, by=role, proposal=encode("proposal", proposal.id))
    return decision


def accept_proposal(
    exchange: Exchange, command: Command, role: Role, now: datetime, _codes: CodeBook
) -> Decision:
    """Accept the other side's offer: it is carried out at once and ends the exchange."""
    proposal = _open_proposal(exchange, command)
    decision = Decision(replace(exchange, proposal=None))
    decision.note(
        "exchange.proposal_accepted", by=role, proposal=encode("proposal", proposal.id)
    )
    money.settle(decision, proposal.to_payee)
    if proposal.kind == "cancellation":
        _end(decision, State.CANCELLED, now, "exchange.cancelled")
    else:
        _end(decision, State.SETTLED, now, "exchange.settled")
    return decision


def _open_proposal(exchange: Exchange, command: Command) -> Proposal:
    proposal = exchange.proposal
    assert proposal is not None
    if proposal.id != command.proposal_id:
        raise NoOpenProposal("This offer is no longer open: another has taken its place.")
    return proposal


def escalate(
    exchange: Exchange, _command: Command, _role: Role, now: datetime, _codes: CodeBook
) -> Decision:
    """Silence, or the hold clock: a neutral person looks. Nothing moves."""
    decision = Decision(replace(exchange, state=State.IN_REVIEW, review_at=now))
    decision.note("exchange.in_review")
    return decision


def reach_hold_limit(
    exchange: Exchange, _command: Command, _role: Role, now: datetime, _codes: CodeBook
) -> Decision:
    """The hard stop that the terms announced: what is still held goes back to the payer."""
    decision = Decision(replace(exchange, proposal=None))
    held = _held(exchange)
    money.settle(decision, {leg.id: 0 for leg in held})
    if held:
        _end(decision, State.REFUNDED, now, "exchange.refunded")
    else:
        _end(decision, State.EXPIRED, now, "exchange.expired")
    return decision


def _close_unfunded(
    exchange: Exchange, state: State, now: datetime, event: str, by: Role | None = None
) -> Decision:
    decision = Decision(exchange)
    money.return_community(decision)
    decision.cancel_collect = exchange.collect_id
    _end(decision, state, now, event, by)
    return decision


def _close(
    exchange: Exchange, state: State, now: datetime, event: str, by: Role | None = None
) -> Decision:
    decision = Decision(exchange)
    _end(decision, state, now, event, by)
    return decision


def _end(
    decision: Decision, state: State, now: datetime, event: str, by: Role | None = None
) -> None:
    decision.exchange = replace(decision.exchange, state=state, closed_at=now, review_at=None)
    decision.note(event, **({"by": by} if by else {}))

