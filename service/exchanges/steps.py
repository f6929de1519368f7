"""The one table of steps: who may do what, from which state, to which, and what time does.

The table is versioned; an exchange keeps the version that it began under. Everything that shows or
decides what can happen next reads this table: the use cases, ``next_actions``, ``deadlines``, and
the proof that no state is a dead end.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from service.exchanges.model import State


class By(StrEnum):
    """Who takes a step. A member's side is told from what the step concerns."""

    PROPOSER = "proposer"  # the side whose terms are on the table
    ANSWERER = "answerer"  # the side that has not agreed to them yet
    PAYER = "payer"
    PARTY = "party"  # payer or payee
    CODE_HOLDER = "code_holder"  # the side that gives something up at the checkpoint
    CODE_ENTERER = "code_enterer"  # the other side
    OFFERER = "offerer"  # the side whose settlement is open
    OFFEREE = "offeree"  # the other side
    PLATFORM = "platform"  # whoever runs the platform, for neither side
    PROVIDER = "provider"
    CASE = "case"  # what a dispute ends in
    CLOCK = "clock"


#: Nobody is offered their steps: they follow from what happens elsewhere.
MACHINES: Final = frozenset({By.PLATFORM, By.PROVIDER, By.CASE, By.CLOCK})


@dataclass(frozen=True, slots=True)
class Step:
    """One row: ``by`` may go from a state in ``from_`` to one in ``to``.

    ``after`` names the deadline that a step of the clock waits for; ``outcome`` says in plain
    words what a member is told will happen.
    """

    name: str
    by: By
    from_: frozenset[State]
    to: frozenset[State]
    outcome: str
    after: str | None = None


def _states(*states: State) -> frozenset[State]:
    return frozenset(states)


_P, _A, _F, _ACT, _R = (
    State.PROPOSED,
    State.AGREED,
    State.FUNDING,
    State.ACTIVE,
    State.IN_REVIEW,
)
_HELD: Final = _states(_ACT, _R)

VERSION: Final = 1

STEPS: Final = (
    Step("agree", By.ANSWERER, _states(_P), _states(_A, _ACT), "The terms are agreed."),
    Step("decline", By.ANSWERER, _states(_P), _states(State.DECLINED), "The proposal ends."),
    Step("counter_offer", By.PARTY, _states(_P), _states(_P), "The other side answers new terms."),
    Step("cancel", By.PARTY, _states(_P, _A, _F), _states(State.CANCELLED), "Nothing is paid."),
    Step("fund", By.PAYER, _states(_A), _states(_F, _ACT), "The payment is protected."),
    Step("abandon_payment", By.PAYER, _states(_F), _states(_A), "Another way to pay can be tried."),
    Step("payment_succeeded", By.PROVIDER, _states(_F), _states(_ACT), "The payment is held."),
    Step("payment_failed", By.PROVIDER, _states(_F), _states(_A), "The payer can try again."),
    Step(
        "deposit_authorised",
        By.PROVIDER,
        _states(_F),
        _states(_F, _ACT),
        "The deposit is blocked at the bank.",
    ),
    Step("deposit_renewed", By.PROVIDER, _HELD, _HELD, "The deposit is blocked anew."),
    Step("deposit_lapsed", By.PROVIDER, _HELD, _HELD, "The bank blocks the deposit no more."),
    Step("freeze", By.PROVIDER, _HELD, _HELD, "The payer's bank contests the payment."),
    Step(
        "unfreeze",
        By.PROVIDER,
        _HELD,
        _states(_ACT, _R, State.COMPLETED, State.SETTLED, State.REFUNDED),
        "The payment is no longer contested.",
    ),
    Step(
        "charged_back",
        By.PROVIDER,
        _HELD,
        _states(_ACT, _R, State.COMPLETED, State.SETTLED, State.REFUNDED),
        "The bank has given the payment back to the payer.",
    ),
    Step("authorise_again", By.PAYER, _HELD, _HELD, "The deposit is blocked anew at the bank."),
    Step("confirm", By.PARTY, _HELD, _states(_ACT, _R, State.COMPLETED), "Your word is recorded."),
    Step("withdraw_confirmation", By.PARTY, _HELD, _HELD, "Your confirmation is taken back."),
    Step(
        "enter_code",
        By.CODE_ENTERER,
        _HELD,
        _states(_ACT, _R, State.COMPLETED),
        "Both sides have confirmed.",
    ),
    Step("renew_code", By.CODE_HOLDER, _HELD, _HELD, "A new code replaces the locked one."),
    Step(
        "propose_cancellation",
        By.PARTY,
        _HELD,
        _HELD,
        "If the other accepts, what is held goes back.",
    ),
    Step("propose_settlement", By.PARTY, _HELD, _HELD, "If the other accepts, it is split so."),
    Step("withdraw_proposal", By.OFFERER, _HELD, _HELD, "Your offer is taken back."),
    Step("reject_proposal", By.OFFEREE, _HELD, _HELD, "The offer ends; nothing moves."),
    Step(
        "accept_proposal",
        By.OFFEREE,
        _HELD,
        _states(State.SETTLED, State.CANCELLED),
        "The offer is carried out at once.",
    ),
    Step("claim", By.PARTY, _HELD, _HELD, "What it is about is frozen; the other side is asked."),
    Step("flag", By.PLATFORM, _HELD, _HELD, "What is held is frozen, and a neutral looks."),
    Step(
        "settle_case",
        By.CASE,
        _HELD,
        _states(_ACT, _R, State.COMPLETED, State.SETTLED, State.REFUNDED),
        "What was disputed goes where the case says.",
    ),
    Step(
        "drop_case",
        By.CASE,
        _HELD,
        _states(_ACT, _R, State.COMPLETED),
        "Nothing is disputed any more: it goes on as agreed.",
    ),
    Step(
        "remind",
        By.CLOCK,
        _states(_P, _A, _F, _ACT),
        _states(_P, _A, _F, _ACT),
        "Whoever has not answered is reminded.",
        after="remind_at",
    ),
    Step(
        "expire_proposed",
        By.CLOCK,
        _states(_P),
        _states(State.EXPIRED),
        "Not agreed in time: it ends, nothing was paid.",
        after="agree_by",
    ),
    Step(
        "expire_agreed",
        By.CLOCK,
        _states(_A),
        _states(State.EXPIRED),
        "Not paid in time: it ends, nothing was paid.",
        after="fund_by",
    ),
    Step(
        "expire_funding",
        By.CLOCK,
        _states(_F),
        _states(State.EXPIRED),
        "The payment did not come: it ends; if it comes later it goes straight back.",
        after="payment_by",
    ),
    Step(
        "escalate",
        By.CLOCK,
        _states(_ACT),
        _states(_R),
        "Not confirmed by both: a neutral person looks. Nothing is paid meanwhile.",
        after="confirm_by",
    ),
    Step(
        "renew_deposit",
        By.CLOCK,
        _HELD,
        _HELD,
        "The bank is asked to block the deposit anew.",
        after="deposit_renewed_by",
    ),
    Step(
        "take_deposit",
        By.CLOCK,
        _HELD,
        _HELD,
        "The bank's block ends soon: the deposit is taken, and given back at the return.",
        after="deposit_taken_at",
    ),
    Step(
        "reach_hold_limit",
        By.CLOCK,
        _HELD,
        _states(State.REFUNDED, State.EXPIRED),
        "Still open: what is held goes back to the payer.",
        after="refund_at",
    ),
)

BY_NAME: Final = {step.name: step for step in STEPS}
