"""Money given back after it was released: by law, by a late decision, by good will.

Two legs, each with its own state. The refund to the payer is asked for at once; where the payee is
to bear it, what was paid to them is called back beside it. Between the two stands the exchange's
receivable: if the payee's account no longer covers the call, the payer is paid all the same, and
what is missing stays visible until it is recovered or the platform bears it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, RowMapping

from ledger.accounts import balance
from ledger.posting import Posting, Transfer
from ledger.refusals import Refusal
from service.exchanges import losses, money, store
from service.exchanges.advance import Done, write
from service.exchanges.commands import Decision, PaymentDraft
from service.exchanges.decide import Rules
from service.exchanges.model import TERMINAL, Exchange
from service.exchanges.refusals import ExchangeNotFound, StepNotAllowed
from service.ids import encode, uuid7
from service.payments import contests, payments
from service.payments.port import Status

#: Why released money may go back: a closed list, each with its source.
REASONS: Final = {
    "withdrawal": "The buyer withdrew within 14 days (Code de la consommation, art. L221-18).",
    "conformity": "The thing did not conform (Code de la consommation, art. L217-3).",
    "decision": "A court, or a mediator whom both accepted, decided so.",
    "agreed": "Both members agreed to it after the release.",
    "error": "The release was the platform's own mistake.",
}
SOURCES: Final = ("payee", "platform")


class ChargebackOpen(Refusal):
    """A bank is taking the same money back: a refund beside it would pay it twice."""

    code = "chargeback_open"


class TooMuchBack(Refusal):
    """More than what is left of the payment would go back."""

    code = "too_much_back"


@dataclass(frozen=True, slots=True)
class Return:
    """What is to go back: ``amount`` minor units of the exchange's money unit, and who bears it."""

    amount: int
    source: str
    reason_code: str
    reason: str


def give_back(
    connection: Connection, platform_id: UUID, exchange_id: UUID, wanted: Return, rules: Rules
) -> Done:
    """Refund the payer of an exchange that has ended, and recover it or bear it.

    Raises:
        ExchangeNotFound
        StepNotAllowed: the exchange has not ended, or moved no money.
        ChargebackOpen, TooMuchBack: nothing was changed.
    """
    exchange = store.load(connection, platform_id, [exchange_id], lock=True).get(exchange_id)
    if exchange is None:
        raise ExchangeNotFound("No exchange with this id.")
    if exchange.state not in TERMINAL or exchange.funded_at is None or exchange.money_unit is None:
        raise StepNotAllowed(
            "Only money of an exchange that has ended can be given back; before that, the members' "
            "own steps decide.",
            state=exchange.state,
        )
    if contests.is_contested(connection, platform_id, exchange_id):
        raise ChargebackOpen(
            "The payer's bank contests a payment of this exchange: wait for its decision."
        )
    collect, most = losses.with_room(connection, exchange, wanted.amount)
    if collect is None:
        raise TooMuchBack(
            f"At most {most} can still go back of what was collected.", pointer="/amount", most=most
        )
    decision = Decision(exchange)
    _refund(decision, collect, wanted.amount)
    decision.note(
        "exchange.given_back",
        amount=wanted.amount,
        unit=exchange.money_unit,
        borne_by=wanted.source,
        reason_code=wanted.reason_code,
        reason=wanted.reason,
    )
    if wanted.source == "platform":
        losses.write_off(decision, wanted.amount, wanted.reason_code, "expense:goodwill")
    else:
        losses.recover(connection, decision, wanted.amount, rules)
    return _write(connection, exchange, decision, rules)


def refund_again(connection: Connection, platform_id: UUID, payment_id: UUID, rules: Rules) -> Done:
    """Ask once more for a refund that failed or came back: the payer is owed it.

    Raises:
        PaymentNotFound
        StepNotAllowed: it is no refund that failed, or the payer has got the money otherwise.
        ChargebackOpen: nothing was changed.
    """
    peek = payments.find(connection, platform_id, payment_id)
    failed = peek["state"] == Status.FAILED or peek["returned_at"] is not None
    if peek["kind"] != "refund" or not failed or peek["exchange_id"] is None:
        raise StepNotAllowed("Only a refund that failed or came back can be asked for again.")
    loaded = store.load(connection, platform_id, [peek["exchange_id"]], lock=True)
    exchange = loaded[peek["exchange_id"]]
    if contests.is_contested(connection, platform_id, exchange.id):
        raise ChargebackOpen(
            "The payer's bank contests a payment of this exchange: wait for its decision."
        )
    payer = money.member_account(peek["member_id"])
    if balance(connection, platform_id, payer, peek["unit"]) < peek["amount"]:
        raise StepNotAllowed("The payer's balance no longer has it: it was paid otherwise.")
    decision = Decision(exchange)
    money.send(
        decision,
        PaymentDraft(
            id=uuid7(),
            kind="refund",
            member_id=peek["member_id"],
            amount=peek["amount"],
            unit=peek["unit"],
            provider=peek["provider"],
            collect_id=peek["collect_id"],
        ),
    )
    decision.note("refund.asked", payment=encode("payment", decision.payments[0].id))
    return _write(connection, exchange, decision, rules)


def recover(connection: Connection, platform_id: UUID, exchange_id: UUID, rules: Rules) -> Done:
    """Call back once more what is missing and no call under way covers.

    Raises:
        NothingMissing
    """
    exchange = losses.missing_on(connection, platform_id, exchange_id)
    assert exchange.money_unit is not None
    account = money.receivable_account(exchange_id)
    missing = -balance(connection, platform_id, account, exchange.money_unit)
    decision = Decision(exchange)
    losses.recover(connection, decision, missing, rules)
    return _write(connection, exchange, decision, rules)


def _refund(decision: Decision, collect: RowMapping, amount: int) -> None:
    """Ask for the payer's money; until something covers it, the exchange's receivable shows it.

    A refund that fails leaves the payer's balance with it: it is theirs, however it reaches them.
    """
    exchange = decision.exchange
    refund = PaymentDraft(
        id=uuid7(),
        kind="refund",
        member_id=exchange.payer_id,
        amount=amount,
        unit=collect["unit"],
        provider=collect["provider"],
        collect_id=collect["id"],
    )
    move = Transfer(
        money.receivable_account(exchange.id), f"transit:{refund.id}", amount, collect["unit"]
    )
    reference = money.reference(exchange.id)
    decision.postings.append(Posting(f"ask:{refund.id}", "refund", (move,), reference))
    decision.payments.append(refund)
    decision.note("refund.asked", payment=encode("payment", refund.id), amount=amount)


def _write(connection: Connection, exchange: Exchange, decision: Decision, rules: Rules) -> Done:
    decision.exchange = replace(decision.exchange, version=exchange.version + 1)
    (outcome,) = write(
        connection, exchange.platform_id, {exchange.id: exchange}, [decision], rules.now
    )
    assert isinstance(outcome, Done)
    return outcome
