"""Take one step on one exchange: pure, from values to a decision.

``check`` says whether a step is allowed, for the use cases and for ``next_actions`` alike, so that
nobody is offered what would be refused. ``take`` checks, then carries the step out.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from ledger.refusals import Refusal
from service.exchanges import (
    agreement,
    claims,
    confirmation,
    contested,
    deadlines,
    deposits,
    reminding,
    settlement,
)
from service.exchanges.codes import MOST_GENERATIONS, CodeBook
from service.exchanges.commands import Command, Decision
from service.exchanges.kinds import Role, shows_code
from service.exchanges.model import TERMINAL, Checkpoint, Exchange, State
from service.exchanges.refusals import (
    AlreadyConfirmed,
    CodeLocked,
    CodeNotLocked,
    CodesUsedUp,
    DeadlinePassed,
    ExchangeFrozen,
    InDispute,
    NoOpenProposal,
    NotAParty,
    NothingToWithdraw,
    NotYourStep,
    StaleVersion,
    StepNotAllowed,
)
from service.exchanges.steps import BY_NAME, MACHINES, STEPS, By, Step


@dataclass(frozen=True, slots=True)
class Rules:
    """What a decision needs besides the exchange: the instant and the instance's code book."""

    now: datetime
    codes: CodeBook


def take(exchange: Exchange, command: Command, rules: Rules) -> Decision:
    """Decide ``command`` on ``exchange``.

    Raises:
        Refusal: why not; nothing is to be written then.
    """
    if command.expected_version is not None and command.expected_version != exchange.version:
        raise StaleVersion(
            f"The exchange is at version {exchange.version}, you wrote {command.expected_version}: "
            "read it again, then decide.",
            pointer="/version",
            version=exchange.version,
        )
    step = BY_NAME[command.step]
    role = _role(exchange, command)
    refusal = check(exchange, step, role, rules.now)
    if refusal is not None:
        raise refusal
    decision = _ACTS[step.name](exchange, command, role or Role.PAYER, rules.now, rules.codes)
    assert decision.exchange.state in step.to, (step.name, decision.exchange.state)
    if step.name == "remind":
        return decision  # nothing that a member has read, and answers to, has changed
    after = decision.exchange
    reminded = after.reminders or after.reminded_at is not None
    if reminded and not deadlines.same_wait(exchange, after):
        after = replace(after, reminders=0, reminded_at=None)
    decision.exchange = after.recounted(version=exchange.version + 1)
    return decision


def _role(exchange: Exchange, command: Command) -> Role | None:
    if command.who.member_id is None:
        return None
    role = exchange.role_of(command.who.member_id)
    if role is None:
        raise NotAParty("This member is neither payer nor payee of the exchange.")
    return role


def check(exchange: Exchange, step: Step, role: Role | None, now: datetime) -> Refusal | None:
    """Return why ``role`` (None: clock or provider) may not take ``step`` now, or None."""
    if exchange.state not in step.from_:
        return StepNotAllowed(
            f"'{step.name}' is not possible while the exchange is {exchange.state}.",
            state=exchange.state,
            allowed=[s.name for s in STEPS if exchange.state in s.from_ and s.by not in MACHINES],
        )
    if step.by is By.CLOCK:
        if not deadlines.is_over(exchange, step.name, now):
            return StepNotAllowed(f"'{step.name}' is not due yet.", state=exchange.state)
        return None
    if step.by is By.PLATFORM:
        return claims.check_open(exchange, now)
    if step.by in MACHINES:
        return None
    assert role is not None, "whoever is no machine acts for a side"
    if _is_over(exchange, now):
        return DeadlinePassed(
            "The time that the terms gave has ended; what they say for that happens now.",
            state=exchange.state,
        )
    return _check_open(exchange, step, role, now)


def open_steps(
    exchange: Exchange, sides: Collection[Role], now: datetime
) -> list[tuple[Step, Role]]:
    """Return the steps that members may take now, and who: those to which :func:`check` says yes.

    It is asked for each exchange that is shown, and most steps are not somebody's: what is refused
    is found without finding the words for it.
    """
    if _is_over(exchange, now):
        return []
    return [
        (step, side)
        for step in STEPS
        if exchange.state in step.from_ and step.by not in MACHINES
        for side in sides
        if _is_for(exchange, step, side, now) and _check_open(exchange, step, side, now) is None
    ]


def _check_open(exchange: Exchange, step: Step, role: Role, now: datetime) -> Refusal | None:
    """Return why ``role`` may not take a step that the state allows and whose time is not over."""
    if exchange.frozen_at is not None and step.name in _MOVES_MONEY:
        return ExchangeFrozen(
            "The payer's bank contests this payment. Nothing is released until that is settled; "
            "what you know about it helps: tell the platform.",
            frozen_at=exchange.frozen_at.isoformat(),
        )
    return _check_side(exchange, step, role, now) or _check_facts(exchange, step, role, now)


#: The steps of the clock that end an exchange, by the state that they end.
_ENDS: Final = {
    state: tuple(
        step.name
        for step in STEPS
        if step.by is By.CLOCK and state in step.from_ and step.to <= TERMINAL
    )
    for state in State
}


def _is_over(exchange: Exchange, now: datetime) -> bool:
    """Tell whether a step of the clock that ends the exchange is due, taken yet or not."""
    return any(deadlines.is_over(exchange, name, now) for name in _ENDS[exchange.state])


#: What may release money, or promise to, and so waits while the payment is contested.
_MOVES_MONEY: Final = frozenset(
    {"confirm", "enter_code", "propose_settlement", "propose_cancellation", "accept_proposal"}
)


def _check_side(exchange: Exchange, step: Step, role: Role, now: datetime) -> Refusal | None:
    if _is_for(exchange, step, role, now):
        return None
    if step.by in {By.OFFERER, By.OFFEREE} and not _is_offered(exchange, now):
        return NoOpenProposal("There is no open offer: it was answered, replaced, or lapsed.")
    return NotYourStep(f"'{step.name}' is for the {role.other} to take.", side=role.other)


def _is_for(exchange: Exchange, step: Step, role: Role, now: datetime) -> bool:
    """Tell whether a step of this state is for ``role`` to take."""
    current = exchange.current
    proposal = exchange.proposal
    if step.by in {By.OFFERER, By.OFFEREE}:
        by = None if proposal is None else proposal.by
        return _is_offered(exchange, now) and (by is role) == (step.by is By.OFFERER)
    if step.by is By.ANSWERER:
        return exchange.agreed_by(role) is None
    if step.by is By.PAYER:
        return role is Role.PAYER
    if step.by is By.CODE_HOLDER:
        return current is not None and shows_code(exchange.kind, current.name) is role
    if step.by is By.CODE_ENTERER:
        return current is not None and shows_code(exchange.kind, current.name) is not role
    assert step.by is By.PARTY
    return True


def _is_offered(exchange: Exchange, now: datetime) -> bool:
    return exchange.proposal is not None and now < exchange.proposal.expires_at


#: Offers to end the exchange as a whole: with a case, they are made in the case.
_OFFERS: Final = frozenset({"propose_settlement", "propose_cancellation", "accept_proposal"})


def _check_facts(exchange: Exchange, step: Step, role: Role, now: datetime) -> Refusal | None:
    current = exchange.current
    if step.name == "claim":
        return claims.check_open(exchange, now)
    if step.name in _OFFERS and any(leg.disputed for leg in exchange.legs):
        return InDispute("There is a case about this: make your offer there.")
    if step.name == "authorise_again" and exchange.deposit_until is None:
        return StepNotAllowed("No deposit is blocked at the bank, so none can be blocked anew.")
    return None if current is None else _check_current(exchange, current, step, role)


def _check_current(
    exchange: Exchange, current: Checkpoint, step: Step, role: Role
) -> Refusal | None:
    if step.name == "propose_settlement" and not exchange.held_legs:
        return StepNotAllowed("Nothing is held, so there is nothing to split; offer to cancel.")
    locked = current.code is not None and current.code.locked_at is not None
    if step.name == "confirm" and current.confirmed_by(role) is not None:
        return AlreadyConfirmed(f"The {role} has already confirmed '{current.name}'.")
    if step.name == "withdraw_confirmation" and current.confirmed_by(role) is None:
        return NothingToWithdraw(f"The {role} has not confirmed '{current.name}'.")
    if step.name == "enter_code" and locked:
        return CodeLocked("Too many wrong tries: the member who shows the code must renew it.")
    if step.name == "renew_code":
        if not locked:
            return CodeNotLocked("The hand-over code is not locked; it can still be entered.")
        if current.code is not None and current.code.generation >= MOST_GENERATIONS:
            return CodesUsedUp("No more codes: each side confirms for itself instead.")
    return None


_Act = Callable[[Exchange, Command, Role, datetime, CodeBook], Decision]

_ACTS: Final[dict[str, _Act]] = {
    "agree": agreement.agree,
    "decline": agreement.decline,
    "counter_offer": agreement.counter_offer,
    "cancel": agreement.cancel,
    "fund": agreement.fund,
    "abandon_payment": agreement.abandon_payment,
    "payment_succeeded": agreement.payment_succeeded,
    "payment_failed": agreement.payment_failed,
    "deposit_authorised": agreement.deposit_authorised,
    "deposit_renewed": deposits.deposit_renewed,
    "deposit_lapsed": deposits.deposit_lapsed,
    "renew_deposit": deposits.renew_deposit,
    "authorise_again": deposits.authorise_again,
    "take_deposit": deposits.take_deposit,
    "freeze": contested.freeze,
    "unfreeze": contested.unfreeze,
    "charged_back": contested.charged_back,
    "confirm": confirmation.confirm,
    "withdraw_confirmation": confirmation.withdraw_confirmation,
    "enter_code": confirmation.enter_code,
    "renew_code": confirmation.renew_code,
    "propose_cancellation": settlement.propose_cancellation,
    "propose_settlement": settlement.propose_settlement,
    "withdraw_proposal": settlement.withdraw_proposal,
    "reject_proposal": settlement.reject_proposal,
    "accept_proposal": settlement.accept_proposal,
    "expire_proposed": agreement.expire,
    "expire_agreed": agreement.expire,
    "expire_funding": agreement.expire,
    "claim": claims.claim,
    "flag": claims.flag,
    "settle_case": claims.settle_case,
    "drop_case": claims.drop_case,
    "remind": reminding.remind,
    "escalate": settlement.escalate,
    "reach_hold_limit": settlement.reach_hold_limit,
}
