"""Who is told what: one table from events to templates, recipients and categories.

An event that is not here tells nobody. Whoever took a step is not told of it, except where it moves
money: then both sides read where it goes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from service.messages.compose import CASE

Data = Mapping[str, Any]


class Category(StrEnum):
    """What a member can choose a channel for."""

    STEPS = "steps"  # what they must do; cannot be switched off
    NEWS = "news"  # what happened


class To(StrEnum):
    """Whom an event is told, by their part in it."""

    PAYER = "payer"
    PAYEE = "payee"
    BOTH = "both"
    OTHER = "other"  # the side that did not take the step (the event's ``by``); without one, both
    SELF = "self"  # the side that took the step; without one, nobody
    SIDE = "side"  # the side that the event's ``side`` names
    NAMED = "named"  # the sides in the event's ``to``
    MEMBER = "member"  # the member that the event itself names
    HELPER = "helper"  # the helper that the event itself names
    CODE_HOLDER = "code_holder"  # who gives something up at the checkpoint that comes now
    NOT_HOLDER = "not_holder"  # the other of the two


@dataclass(frozen=True, slots=True)
class Tell:
    """One line: this template to these people.

    ``urgent`` ones go at any hour. ``when`` looks at the event's data and at the exchange's present
    row (``has_legs``, ``met``: the checkpoint the event names is met; ``by_case``: a case settled
    something in that very step; ``case_cause``: of the case that the event names) and says whether
    to tell.
    """

    template: str
    to: To
    category: Category
    urgent: bool = False
    when: Callable[[Data, Data], bool] | None = None


def _state(*wanted: str) -> Callable[[Data, Data], bool]:
    return lambda data, _exchange: data.get("state") in wanted


def _with_legs(_data: Data, exchange: Data) -> bool:
    return bool(exchange["has_legs"])


def _without_legs(_data: Data, exchange: Data) -> bool:
    return not exchange["has_legs"]


def _with_amount(data: Data, _exchange: Data) -> bool:
    return data.get("amount") is not None


def _not_met(_data: Data, exchange: Data) -> bool:
    return not exchange["met"]


def _cause(*wanted: str) -> Callable[[Data, Data], bool]:
    return lambda _data, exchange: exchange["case_cause"] in wanted


def _part(*wanted: str) -> Callable[[Data, Data], bool]:
    return lambda data, _exchange: data.get("part") in wanted


def _hand(wanted: str) -> Callable[[Data, Data], bool]:
    return lambda data, _exchange: data.get("via") == wanted


def _without_case(_data: Data, exchange: Data) -> bool:
    """An end that a case brought is told by the case."""
    return not exchange["by_case"]


_S, _N = Category.STEPS, Category.NEWS
_GOES_ON: Final = _state("active", "in_review")
_OPEN: Final = _state("proposed")

RULES: Final[dict[str, tuple[Tell, ...]]] = {
    # Terms. A proposal that both had agreed to before needs no answer.
    "exchange.proposed": (Tell("proposed", To.OTHER, _S, when=_OPEN),),
    "exchange.counter_offered": (Tell("counter_offered", To.OTHER, _S, when=_OPEN),),
    "exchange.agreed": (
        Tell("payment_needed", To.PAYER, _S, when=_state("agreed")),
        Tell("agreed", To.PAYEE, _N, when=_state("agreed")),
        Tell("agreed", To.BOTH, _N, when=_state("active")),
    ),
    "exchange.declined": (Tell("declined", To.OTHER, _N),),
    # The payment.
    "exchange.funding_failed": (Tell("payment_failed", To.PAYER, _S),),
    "exchange.active": (
        Tell("payment_protected", To.PAYER, _N, when=_with_legs),
        Tell("payment_received", To.PAYEE, _S, when=_with_legs),
        Tell("code_ready", To.CODE_HOLDER, _S, urgent=True, when=_without_legs),
    ),
    "payment.late": (Tell("payment_late", To.PAYER, _N),),
    "deposit.action_needed": (Tell("deposit_action_needed", To.PAYER, _S),),
    "deposit.lapsed": (Tell("deposit_lapsed", To.BOTH, _N),),
    # Meeting, and both words.
    "exchange.confirmed": (Tell("other_confirmed", To.OTHER, _S, when=_not_met),),
    "exchange.checkpoint_met": (
        Tell("code_ready", To.CODE_HOLDER, _S, urgent=True, when=_GOES_ON),
        Tell("checkpoint_met", To.NOT_HOLDER, _N, when=_GOES_ON),
    ),
    "exchange.code_locked": (Tell("code_locked", To.CODE_HOLDER, _S, urgent=True),),
    "exchange.code_renewed": (Tell("code_ready", To.CODE_HOLDER, _S, urgent=True),),
    "exchange.reminder": (Tell("reminder", To.NAMED, _S),),
    "exchange.in_review": (Tell("in_review", To.BOTH, _S),),
    # Offers.
    "exchange.settlement_proposed": (Tell("offer_made", To.OTHER, _S),),
    "exchange.cancellation_proposed": (Tell("offer_made", To.OTHER, _S),),
    "exchange.proposal_rejected": (Tell("offer_rejected", To.OTHER, _N),),
    "exchange.proposal_withdrawn": (Tell("offer_withdrawn", To.OTHER, _N),),
    # Ends. An accepted offer is told by the end that it brings.
    "exchange.settled": (Tell("offer_accepted", To.BOTH, _N, when=_without_case),),
    "exchange.completed": (Tell("completed", To.BOTH, _N),),
    "exchange.cancelled": (Tell("cancelled", To.OTHER, _N),),
    "exchange.refunded": (Tell("refunded", To.BOTH, _N, when=_without_case),),
    "exchange.expired": (Tell("expired", To.BOTH, _N),),
    # Money on its way out.
    "refund.succeeded": (Tell("refund_sent", To.MEMBER, _N),),
    "payout.succeeded": (Tell("payout_sent", To.MEMBER, _N),),
    "payout.failed": (Tell("payout_failed", To.MEMBER, _S),),
    "payout.returned": (Tell("payout_failed", To.MEMBER, _S),),
    "payout.waiting": (Tell("account_needed", To.MEMBER, _S),),
    "bank_payout.failed": (Tell("payout_failed", To.MEMBER, _S),),
    "payee.requirements_due": (Tell("account_needed", To.MEMBER, _S),),
    "payee.disabled": (Tell("account_needed", To.MEMBER, _S),),
    # What a bank contests.
    "chargeback.opened": (Tell("chargeback_opened", To.PAYEE, _N),),
    "chargeback.won": (Tell("chargeback_closed", To.PAYEE, _N),),
    "chargeback.lost": (Tell("chargeback_closed", To.PAYEE, _N),),
    # A mere warning that ends has no amount: nobody was told of it.
    "chargeback.closed": (Tell("chargeback_closed", To.PAYEE, _N, when=_with_amount),),
    # Somebody else's hands: the member is told of every single act.
    "helper.named": (
        Tell("helper_named", To.MEMBER, _S),
        Tell("helper_invited", To.HELPER, _S),
    ),
    "helper.ended": (Tell("helper_ended", To.MEMBER, _N),),
    "member.assisted": (
        Tell("helper_acted", To.MEMBER, _S, when=_hand("helper")),
        Tell("desk_acted", To.MEMBER, _S, when=_hand("desk")),
    ),
    # Disputes. What silence began was told by exchange.in_review.
    "case.opened": (
        Tell("case_opened", To.OTHER, _S, when=_cause("claim", "chargeback")),
        Tell("case_received", To.SELF, _N, when=_cause("claim")),
        Tell("case_flagged", To.BOTH, _S, when=_cause("fraud")),
    ),
    "case.offer_made": (Tell("case_offer", To.OTHER, _S),),
    "case.offer_rejected": (Tell("case_offer_rejected", To.OTHER, _N),),
    "case.offer_withdrawn": (Tell("case_offer_withdrawn", To.OTHER, _N),),
    "case.claim_withdrawn": (Tell("case_withdrawn", To.OTHER, _N),),
    # Who reads a decision before it is told is nobody's to know yet.
    "case.assigned": (Tell("case_assigned", To.BOTH, _N, when=_part("mediator")),),
    "case.reassigned": (Tell("case_reassigned", To.BOTH, _N),),
    "case.declined": (Tell("case_reassigned", To.BOTH, _N),),
    "case.proposal_made": (Tell("case_proposal", To.BOTH, _S),),
    "case.proposal_rejected": (Tell("case_decision_next", To.BOTH, _N),),
    "case.mediation_ended": (Tell("case_decision_next", To.BOTH, _N),),
    "case.return_disputed": (Tell("case_decision_next", To.BOTH, _N),),
    "case.repair_disputed": (Tell("case_decision_next", To.BOTH, _N),),
    "case.evidence_requested": (Tell("case_evidence_requested", To.SIDE, _S),),
    "case.decided": (Tell("case_decided", To.BOTH, _S),),
    "case.appealed": (Tell("case_appealed", To.OTHER, _S),),
    "case.appeal_decided": (Tell("case_appeal_decided", To.BOTH, _S),),
    "case.return_awaited": (Tell("case_return_awaited", To.BOTH, _S),),
    "case.returned": (Tell("case_returned", To.OTHER, _S),),
    "case.repair_awaited": (Tell("case_repair_awaited", To.BOTH, _S),),
    "case.repaired": (Tell("case_repaired", To.OTHER, _S),),
    "case.repair_confirmed": (Tell("case_resumed", To.OTHER, _N),),
    "case.flag_lifted": (Tell("case_resumed", To.BOTH, _N),),
    "case.reminded": (Tell("case_reminder", To.SIDE, _S),),
    "case.closed": (Tell("case_closed", To.BOTH, _N),),
    "case.moot": (Tell("case_moot", To.BOTH, _N, when=_cause("claim")),),
}

#: Every template that some event calls for.
TEMPLATES: Final = tuple(sorted({tell.template for tells in RULES.values() for tell in tells}))

#: What of an event's data a message may keep: figures and names of steps, nothing of a person.
KEPT: Final = (
    "about", "amount", "assisted", "by", "case", "checkpoint", "due_at", "due_by", "entry",
    "failure", "helper", "number", "stage", "state", "step", "unit", "via",
)  # fmt: skip


#: Those that ask for something which nobody has to do once the exchange is over.
OVER_WITH_EXCHANGE: Final = frozenset(
    tell.template
    for tells in RULES.values()
    for tell in tells
    if tell.category is Category.STEPS
    and tell.to not in {To.MEMBER, To.HELPER}
    and not tell.template.startswith(CASE)
)
