"""What a helper may do for the member who named them, checked wherever a step is taken.

Every step of a helper goes through :func:`check`, whichever page or call it came from, and is
marked as theirs by :func:`mark`: in the words on record, in every event, and in one more event by
which the member is told.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection

from ledger.refusals import Refusal
from service.exchanges.commands import Command, Decision, EventDraft, Who
from service.exchanges.kinds import Role
from service.exchanges.model import Exchange
from service.ids import encode
from service.platforms import helpers, members
from service.platforms.helpers import Helper, May
from service.platforms.members import Member

#: Who acts when it is no helper, by the name that a step has on record.
HELPER: Final = "helper"
DESK: Final = "desk"
#: What each step wants a helper to be allowed. A step that is not here is the member's alone.
NEEDS: Final[Mapping[str, May]] = {
    "confirm": May.CONFIRM,
    "withdraw_confirmation": May.CONFIRM,
    "enter_code": May.CONFIRM,
    "renew_code": May.CONFIRM,
    "show_code": May.CONFIRM,
    "fund": May.PAY,
    "abandon_payment": May.PAY,
    "authorise_again": May.PAY,
    "agree": May.ACCEPT_OFFERS,
    "decline": May.ACCEPT_OFFERS,
    "cancel": May.ACCEPT_OFFERS,
    "propose_cancellation": May.ACCEPT_OFFERS,
    "propose_settlement": May.ACCEPT_OFFERS,
    "accept_proposal": May.ACCEPT_OFFERS,
    "reject_proposal": May.ACCEPT_OFFERS,
    "withdraw_proposal": May.ACCEPT_OFFERS,
    "claim": May.REPORT_PROBLEM,
}
#: The same of the steps of a case, where some have the names of an exchange's.
NEEDS_IN_CASE: Final[Mapping[str, May]] = {
    "evidence": May.REPORT_PROBLEM,
    "call_mediator": May.REPORT_PROBLEM,
    "challenge": May.REPORT_PROBLEM,
    "appeal": May.REPORT_PROBLEM,
    "mark_returned": May.REPORT_PROBLEM,
    "mark_repaired": May.REPORT_PROBLEM,
    "reject_repair": May.REPORT_PROBLEM,
    "confirm_returned": May.CONFIRM,
    "confirm_repaired": May.CONFIRM,
    "withdraw_claim": May.ACCEPT_OFFERS,
    "make_offer": May.ACCEPT_OFFERS,
    "withdraw_offer": May.ACCEPT_OFFERS,
    "reject_offer": May.ACCEPT_OFFERS,
    "accept_offer": May.ACCEPT_OFFERS,
    "accept_proposal": May.ACCEPT_OFFERS,
    "reject_proposal": May.ACCEPT_OFFERS,
}
#: Steps that bind nobody to anything: whatever the exchange is worth, they are within a limit.
_BINDS_NOT: Final = frozenset(
    {
        "withdraw_confirmation",
        "abandon_payment",
        "decline",
        "cancel",
        "reject_proposal",
        "withdraw_proposal",
        "withdraw_offer",
        "reject_offer",
    }
)


class HelperEnded(Refusal):
    """The helper's time is over, or the member has ended it."""

    code = "helper_ended"


class HelperMayNot(Refusal):
    """This is not among what the member allows the helper to do."""

    code = "helper_may_not"


class HelperBeyondLimit(Refusal):
    """The exchange is worth more than the member lets the helper act on."""

    code = "helper_beyond_limit"


class HelperIsOtherSide(Refusal):
    """The helper is the other side of the exchange, or helps them: nobody gives both words."""

    code = "helper_is_other_side"


@dataclass(frozen=True, slots=True)
class Hands:
    """The helpers of a batch of steps, and who is on the other side of each; read once for all."""

    helpers: Mapping[UUID, Helper] = field(default_factory=dict)
    #: By member: who is on another side, and who helps them.
    others: Mapping[UUID, Member] = field(default_factory=dict)
    theirs: Mapping[UUID, Sequence[Helper]] = field(default_factory=dict)


def hands(
    connection: Connection, platform_id: UUID, acting: Sequence[tuple[Exchange, Who]], now: datetime
) -> Hands:
    """Return the helpers who act, none of whom ends before the commit."""
    ids = {who.helper_id for _, who in acting if who.helper_id is not None}
    if not ids:
        return Hands()
    found = helpers.find_many(connection, platform_id, ids, hold=True)
    others = set()
    for exchange, who in acting:
        helper = found.get(who.helper_id) if who.helper_id is not None else None
        role = None if helper is None else exchange.role_of(helper.member_id)
        if role is not None:
            others.add(exchange.member(role.other))
    return Hands(found, *_others(connection, platform_id, others, now))


def _others(
    connection: Connection, platform_id: UUID, member_ids: Collection[UUID], now: datetime
) -> tuple[Mapping[UUID, Member], Mapping[UUID, Sequence[Helper]]]:
    theirs: dict[UUID, list[Helper]] = {}
    for one in helpers.at_work(connection, platform_id, list(member_ids), now):
        theirs.setdefault(one.member_id, []).append(one)
    return members.find_many(connection, platform_id, member_ids), theirs


def check(
    connection: Connection, exchange: Exchange, who: Who, need: May | None, step: str, now: datetime
) -> Helper | None:
    """Check that a helper may take a step; return them, or None where the member acts alone.

    Args:
        need: what the step wants allowed; None for one that no helper may take.

    Raises:
        HelperEnded, HelperMayNot, HelperBeyondLimit, HelperIsOtherSide
    """
    known = hands(connection, exchange.platform_id, [(exchange, who)], now)
    return _check(known, exchange, who, need, step, now)


def _check(
    known: Hands, exchange: Exchange, who: Who, need: May | None, step: str, now: datetime
) -> Helper | None:
    if who.helper_id is None:
        return None
    helper = known.helpers.get(who.helper_id)
    if helper is None or helper.member_id != who.member_id or not helper.works(now):
        raise HelperEnded("This help has ended: the member can do it, or name the helper anew.")
    if need is None or need not in helper.may or not helper.covers(exchange.id):
        raise HelperMayNot(
            "The member did not allow this helper to do that: only the member can, or a helper "
            "whom they allow it.",
            step=step,
            may=[str(one) for one in helper.listed],
        )
    if need is not May.LOOK:
        _check_other_side(known, exchange, helper)
    if need is not May.REPORT_PROBLEM and need is not May.LOOK and step not in _BINDS_NOT:
        check_limit(exchange, helper)
    return helper


def is_within(exchange: Exchange, helper: Helper) -> bool:
    """Tell whether an exchange is worth no more than a helper may act on.

    What counts is all that it holds, fees and deposits too. A limit in one unit says nothing of
    another: what is worth something in another unit is beyond it.
    """
    if helper.limit_amount is None:
        return True
    worth: dict[str, int] = {}
    for leg in exchange.legs:
        worth[leg.unit] = worth.get(leg.unit, 0) + leg.held
    amount = worth.pop(helper.limit_unit or "", 0)
    return amount <= helper.limit_amount and not worth


def check_limit(exchange: Exchange, helper: Helper) -> None:
    """Check that an exchange is within a helper's limit.

    Raises:
        HelperBeyondLimit
    """
    if not is_within(exchange, helper):
        raise HelperBeyondLimit(
            "This exchange is worth more than the member lets this helper act on: only the member "
            "can do it, or a helper with a higher limit.",
            limit={"amount": helper.limit_amount, "unit": helper.limit_unit},
        )


def check_other_side(
    connection: Connection, exchange: Exchange, helper: Helper, now: datetime
) -> None:
    """Check that a helper is neither the other side of an exchange nor one of its helpers.

    Raises:
        HelperIsOtherSide
    """
    role = exchange.role_of(helper.member_id)
    assert role is not None
    others = _others(connection, exchange.platform_id, [exchange.member(role.other)], now)
    _check_other_side(Hands({}, *others), exchange, helper)


def _check_other_side(known: Hands, exchange: Exchange, helper: Helper) -> None:
    role = exchange.role_of(helper.member_id)
    assert role is not None
    other = known.others[exchange.member(role.other)]
    theirs = helpers.contacts(other.email, other.phone)
    for one in known.theirs.get(other.id, ()):
        # Who was named first stays: nobody stops a helper by naming them too.
        if one.covers(exchange.id) and one.id < helper.id:
            theirs |= helpers.contacts(one.email, one.phone)
    if theirs & helpers.contacts(helper.email, helper.phone):
        raise HelperIsOtherSide(
            "This person is on the other side of the exchange too: nobody speaks for both sides. "
            "The member can do it, or name somebody else."
        )


def check_command(known: Hands, exchange: Exchange, command: Command, now: datetime) -> None:
    """Check a step of an exchange that a helper may be taking.

    Raises:
        Refusal: as :func:`check` says.
    """
    _check(known, exchange, command.who, NEEDS.get(command.step), command.step, now)


def mark(decision: Decision, command: Command) -> Decision:
    """Say in all that a step tells whose hand took it, and tell the member who was helped."""
    who, role = command.who, _role(decision.exchange, command.who)
    if role is None or (who.helper_id is None and who.operator is None):
        return decision
    told = through(who, role)
    if decision.opens is not None:
        decision.opens = replace(decision.opens, helper_id=who.helper_id)
    decision.events = [
        replace(draft, data={**draft.data, **told}) if draft.type.startswith("exchange.") else draft
        for draft in decision.events
    ]
    if decision.refusal is None:
        checkpoint = {} if command.checkpoint is None else {"checkpoint": command.checkpoint}
        decision.events.append(assisted(who, role, command.step, **checkpoint))
    return decision


def _role(exchange: Exchange, who: Who) -> Role | None:
    return None if who.member_id is None else exchange.role_of(who.member_id)


def through(who: Who, role: Role) -> dict[str, Any]:
    """Return what an event says of the hand that acted: for which side, and whose it was."""
    told: dict[str, Any] = {"assisted": role, "via": who.via}
    if who.helper_id is not None:
        told["helper"] = encode("helper", who.helper_id)
    if who.operator is not None:
        told["operator"] = who.operator
    return told


def assisted(who: Who, role: Role, step: str, **more: Any) -> EventDraft:
    """Return the event by which a member is told that somebody acted for them."""
    assert who.member_id is not None
    data = {"member": encode("member", who.member_id), "by": role, "step": step}
    return EventDraft("member.assisted", {**data, **more, **through(who, role)})


def check_case(
    connection: Connection,
    exchange: Exchange,
    member_id: UUID | None,
    helper_id: UUID | None,
    step: str,
    now: datetime,
) -> list[EventDraft]:
    """Check a step of a case that a helper may be taking; return what the member is told of it.

    Raises:
        Refusal: as :func:`check` says.
    """
    if helper_id is None:
        return []
    assert member_id is not None
    who = Who(member_id, HELPER, helper_id)
    role = _role(exchange, who)
    if role is None:
        return []  # the case itself refuses whoever is on neither side
    check(connection, exchange, who, NEEDS_IN_CASE.get(step), step, now)
    case = {} if exchange.case_id is None else {"case": encode("case", exchange.case_id)}
    return [assisted(who, role, step, **case)]
