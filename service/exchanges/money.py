"""What a step moves: holds filled, shared out once and for all, and paid on. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from uuid import UUID

from ledger.posting import Posting, Transfer
from service.exchanges.commands import Decision, PaymentDraft
from service.exchanges.fees import share_out
from service.exchanges.kinds import LegRole, Role
from service.exchanges.model import Exchange, Leg, LegState
from service.ids import encode, uuid7


def reference(exchange_id: UUID) -> str:
    """Return the reference under which the ledger files an exchange's postings."""
    return f"exchange:{exchange_id}"


def hold_account(leg: Leg) -> str:
    """Return the ledger path of the hold of ``leg``."""
    return f"hold:{leg.id}"


def member_account(member_id: UUID) -> str:
    """Return the ledger path of what the platform owes ``member_id``."""
    return f"member:{member_id}"


def hold_community(decision: Decision) -> None:
    """Move the payer's community units into the holds: at once, for no provider is involved."""
    exchange = decision.exchange
    legs = [leg for leg in exchange.legs if leg.sort == "community"]
    if not legs:
        return
    payer = member_account(exchange.payer_id)
    decision.postings.append(
        Posting(
            key=f"fund:{exchange.id}:{exchange.fund_attempts}",
            kind="hold",
            transfers=tuple(Transfer(payer, hold_account(leg), leg.held, leg.unit) for leg in legs),
            reference=reference(exchange.id),
        )
    )
    decision.exchange = exchange.with_legs(
        {leg.id: replace(leg, state=LegState.HELD) for leg in legs}
    )


def return_community(decision: Decision) -> None:
    """Give the payer's community units back when the money beside them did not come."""
    exchange = decision.exchange
    legs = [leg for leg in exchange.legs if leg.sort == "community" and leg.state is LegState.HELD]
    if not legs:
        return
    payer = member_account(exchange.payer_id)
    decision.postings.append(
        Posting(
            key=f"unfund:{exchange.id}:{exchange.fund_attempts}",
            kind="unhold",
            transfers=tuple(Transfer(hold_account(leg), payer, leg.held, leg.unit) for leg in legs),
            reference=reference(exchange.id),
        )
    )
    decision.exchange = exchange.with_legs(
        {leg.id: replace(leg, state=LegState.OPEN) for leg in legs}
    )


def hold_money(decision: Decision, payment_id: UUID) -> None:
    """Fill the holds of the money legs with what the provider confirmed."""
    exchange = decision.exchange
    legs = [leg for leg in exchange.legs if leg.sort == "money"]
    decision.postings.append(
        Posting(
            key=f"collect:{payment_id}",
            kind="collect",
            transfers=tuple(
                Transfer(f"provider:{exchange.provider}", hold_account(leg), leg.held, leg.unit)
                for leg in legs
            ),
            reference=reference(exchange.id),
        )
    )
    decision.exchange = exchange.with_legs(
        {leg.id: replace(leg, state=LegState.HELD) for leg in legs}
    )


def natural_end(leg: Leg) -> int:
    """Return the payee's part when the leg's checkpoint is met: a price whole, a deposit none."""
    return leg.amount if leg.role is LegRole.PRICE else 0


def settle(decision: Decision, to_payee: Mapping[UUID, int], *, by_silence: bool = False) -> None:
    """Share out each held leg named in ``to_payee`` (its payee's part before fees), finally.

    The key of the posting is the leg's own, so that the ledger refuses a second outcome of the
    same leg whatever the code above it believes. Money goes on to a payout or a refund in the same
    transaction; community units stay on the members' accounts.
    """
    exchange = decision.exchange
    # Silence pays nobody, the platform neither: then a fee that the terms keep goes back as well.
    on_refund = "returned" if by_silence else exchange.terms["fee"]["on_refund"]
    settled: dict[UUID, Leg] = {}
    owed: dict[Role, int] = {Role.PAYER: 0, Role.PAYEE: 0}
    for leg in exchange.legs:
        if leg.id not in to_payee:
            continue
        assert leg.state is LegState.HELD
        share = share_out(leg, to_payee[leg.id], on_refund)
        hold = hold_account(leg)
        parts = (
            (member_account(exchange.payee_id), share.to_payee),
            (member_account(exchange.payer_id), share.to_payer),
            ("platform:fees", share.to_fees),
        )
        decision.postings.append(
            Posting(
                key=f"outcome:{leg.id}",
                kind="outcome",
                transfers=tuple(
                    Transfer(hold, account, amount, leg.unit) for account, amount in parts if amount
                ),
                reference=reference(exchange.id),
            )
        )
        settled[leg.id] = replace(leg, state=LegState.SETTLED, share=share)
        if leg.sort == "money":
            owed[Role.PAYEE] += share.to_payee
            owed[Role.PAYER] += share.to_payer
        decision.note(
            _outcome_event(to_payee[leg.id], leg.amount),
            leg=encode("leg", leg.id),
            unit=leg.unit,
            to_payer=share.to_payer,
            to_payee=share.to_payee,
            to_fees=share.to_fees,
        )
    decision.exchange = exchange.with_legs(settled)
    _pay_on(decision, exchange, owed)


def _outcome_event(to_payee: int, amount: int) -> str:
    if to_payee == amount:
        return "leg.released"
    return "leg.returned" if to_payee == 0 else "leg.split"


def _pay_on(decision: Decision, exchange: Exchange, owed: Mapping[Role, int]) -> None:
    """Ask the provider for what the members are owed: a payout to one, a refund to the other."""
    for role, kind in ((Role.PAYEE, "payout"), (Role.PAYER, "refund")):
        if owed[role]:
            assert exchange.money_unit is not None
            assert exchange.provider is not None
            send(
                decision,
                PaymentDraft(
                    id=uuid7(),
                    kind=kind,
                    member_id=exchange.member(role),
                    amount=owed[role],
                    unit=exchange.money_unit,
                    provider=exchange.provider,
                    collect_id=exchange.collect_id if kind == "refund" else None,
                ),
            )


def send(decision: Decision, payment: PaymentDraft) -> None:
    """Record a payment to a member: its money leaves the member's account for ``transit``."""
    decision.payments.append(payment)
    decision.postings.append(
        Posting(
            key=f"ask:{payment.id}",
            kind=payment.kind,
            transfers=(
                Transfer(
                    member_account(payment.member_id),
                    f"transit:{payment.id}",
                    payment.amount,
                    payment.unit,
                ),
            ),
            reference=reference(decision.exchange.id),
        )
    )
