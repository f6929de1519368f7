"""What a step moves: holds filled, shared out once and for all, and paid on. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from uuid import UUID

from ledger.posting import Posting, Transfer
from service.exchanges.commands import Decision, PaymentDraft
from service.exchanges.fees import share_out
from service.exchanges.kinds import LegRole, Role
from service.exchanges.model import Exchange, Leg, LegState, Share
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


def receivable_account(exchange_id: UUID) -> str:
    """Return the ledger path of what banks took back of an exchange, and is to be accounted for."""
    return f"receivable:{exchange_id}"


def provider_account(exchange: Exchange) -> str:
    """Return the ledger path that mirrors what the exchange's provider holds for the platform."""
    return f"provider:{exchange.provider}"


def blocked_account(exchange: Exchange) -> str:
    """Return the ledger path that mirrors what payers' banks block and nobody has taken yet."""
    return f"provider:{exchange.provider}:authorised"


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
    """Fill the holds of the legs that are taken at once with what the provider confirmed.

    Deposits whose block stood ready in transit until the rest was paid are held from now on too.
    """
    exchange = decision.exchange
    held = {
        leg.id: replace(leg, state=LegState.HELD, collect_id=payment_id)
        for leg in exchange.charged_legs
    }
    _fill(decision, f"collect:{payment_id}", provider_account(exchange), list(held.values()))
    decision.exchange = exchange.with_legs(held)
    if exchange.deposit_id is not None:
        _hold_deposit(decision, f"hold:{exchange.deposit_id}", f"transit:{exchange.deposit_id}")


def await_price(decision: Decision, payment_id: UUID) -> None:
    """The deposit is blocked; until the price is paid its worth stands in transit."""
    exchange = decision.exchange
    unit = exchange.money_unit
    assert unit is not None
    amount = sum(leg.held for leg in exchange.deposit_legs)
    move = Transfer(blocked_account(exchange), f"transit:{payment_id}", amount, unit)
    decision.postings.append(
        Posting(f"authorise:{payment_id}", "authorise", (move,), reference(exchange.id))
    )
    decision.release.append(payment_id)


def hold_authorised(decision: Decision, payment_id: UUID) -> None:
    """Nothing but the deposit was to be secured: hold it at once."""
    _hold_deposit(decision, f"authorise:{payment_id}", blocked_account(decision.exchange))


def _hold_deposit(decision: Decision, key: str, source: str) -> None:
    exchange = decision.exchange
    held = {
        leg.id: replace(leg, state=LegState.HELD, collect_id=exchange.deposit_id)
        for leg in exchange.deposit_legs
    }
    _fill(decision, key, source, list(held.values()))
    decision.exchange = exchange.with_legs(held)


def _fill(decision: Decision, key: str, source: str, legs: Sequence[Leg]) -> None:
    moves = tuple(Transfer(source, hold_account(leg), leg.held, leg.unit) for leg in legs)
    kind = key.partition(":")[0]
    decision.postings.append(Posting(key, kind, moves, reference(decision.exchange.id)))


def natural_end(leg: Leg) -> int:
    """Return the payee's part when the leg's checkpoint is met: a price whole, a deposit none."""
    return leg.amount if leg.role is LegRole.PRICE else 0


def all_to_payer(leg: Leg) -> Share:
    """Return the share-out of a leg of which everything goes back."""
    return Share(to_payer=leg.held, to_payee=0, to_fees=0)


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
    owed: dict[UUID, dict[Role, int]] = {}
    taken_back, room = exchange.charged_back, _room(exchange)
    for leg in exchange.legs:
        if leg.id not in to_payee:
            continue
        assert leg.state is LegState.HELD
        contested = leg.collect_id is not None and leg.collect_id == exchange.contested_id
        mine = taken_back if contested else 0
        # What the bank gave back is missing from what the payee would get; the payer's own part
        # (a deposit) goes back whole, as far as the payment still has it.
        part = to_payee[leg.id] - min(mine, to_payee[leg.id])
        share = _bank_first(share_out(leg, part, on_refund), mine)
        by_bank = min(mine, to_payee[leg.id] - part)
        if by_silence:
            by_bank = min(mine, share.to_payer)
        elif contested:
            left = max(0, room - share.to_fees)
            by_bank += min(mine - by_bank, max(0, share.to_payer - by_bank - left))
            room -= share.to_payer - by_bank
        taken_back -= by_bank
        decision.postings.append(_outcome(exchange, leg, share, by_bank))
        settled[leg.id] = replace(leg, state=LegState.SETTLED, share=share, disputed=False)
        if leg.sort == "money":
            assert leg.collect_id is not None
            sides = owed.setdefault(leg.collect_id, {Role.PAYER: 0, Role.PAYEE: 0})
            sides[Role.PAYEE] += share.to_payee
            sides[Role.PAYER] += share.to_payer - by_bank
        decision.note(
            _outcome_event(part, leg.amount),
            leg=encode("leg", leg.id),
            unit=leg.unit,
            to_payer=share.to_payer,
            to_payee=share.to_payee,
            to_fees=share.to_fees,
        )
    decision.exchange = replace(exchange.with_legs(settled), charged_back=taken_back)
    if exchange.deposit_renewal_id is not None and any(
        leg.secured_by_bank for leg in settled.values()
    ):
        # Nobody needs the new block any more, whatever became of it.
        decision.cancel.append(exchange.deposit_renewal_id)
        decision.exchange = replace(decision.exchange, deposit_renewal_id=None)
    for collect_id, sides in owed.items():
        _pay_on(decision, exchange, collect_id, sides)


def _room(exchange: Exchange) -> int:
    """Return how much of the contested payment can still reach the payer through us.

    Everything that it brought in, less what the payer has of it: by outcomes, and by the bank.
    """
    legs = [leg for leg in exchange.legs if leg.collect_id == exchange.contested_id]
    given = sum(leg.share.to_payer for leg in legs if leg.share is not None)
    return max(0, sum(leg.held for leg in legs) - given - exchange.charged_back)


def _bank_first(share: Share, by_bank: int) -> Share:
    """Let a fee that would be kept give way to what the bank has given the payer already."""
    short = min(share.to_fees, max(0, by_bank - share.to_payer))
    return replace(share, to_payer=share.to_payer + short, to_fees=share.to_fees - short)


def _outcome_event(to_payee: int, amount: int) -> str:
    if to_payee == amount:
        return "leg.released"
    return "leg.returned" if to_payee == 0 else "leg.split"


def _outcome(exchange: Exchange, leg: Leg, share: Share, by_bank: int) -> Posting:
    hold = hold_account(leg)
    parts = (
        (member_account(exchange.payee_id), share.to_payee),
        (member_account(exchange.payer_id), share.to_payer - by_bank),
        (receivable_account(exchange.id), by_bank),
        ("platform:fees", share.to_fees),
    )
    return Posting(
        key=f"outcome:{leg.id}",
        kind="outcome",
        transfers=tuple(
            Transfer(hold, account, amount, leg.unit) for account, amount in parts if amount
        ),
        reference=reference(exchange.id),
    )


def _pay_on(
    decision: Decision, exchange: Exchange, collect_id: UUID, owed: Mapping[Role, int]
) -> None:
    """Ask the provider for what the members are owed of one payment of the payer's.

    Of a deposit that the bank only blocks, the payee's part is taken and the rest set free: both
    members' payments wait for that. Money for a payee who cannot be paid yet stays theirs with us.
    """
    blocked = collect_id == exchange.deposit_id and exchange.deposit_until is not None
    follows = collect_id if collect_id == exchange.deposit_id else None
    if blocked and owed[Role.PAYEE]:
        decision.capture[collect_id] = owed[Role.PAYEE]
    elif blocked:
        decision.cancel.append(collect_id)
    if owed[Role.PAYEE] and (exchange.payee_ready or follows is not None):
        draft = _draft(exchange, "payout", Role.PAYEE, owed[Role.PAYEE])
        send(decision, replace(draft, source_id=collect_id, after_id=follows))
    elif owed[Role.PAYEE]:
        decision.note(
            "payout.waiting",
            member=encode("member", exchange.payee_id),
            amount=owed[Role.PAYEE],
            unit=exchange.money_unit,
        )
    if owed[Role.PAYER]:
        draft = _draft(exchange, "refund", Role.PAYER, owed[Role.PAYER])
        send(decision, replace(draft, collect_id=collect_id, after_id=follows))


def _draft(exchange: Exchange, kind: str, role: Role, amount: int) -> PaymentDraft:
    assert exchange.money_unit is not None
    assert exchange.provider is not None
    return PaymentDraft(
        id=uuid7(),
        kind=kind,
        member_id=exchange.member(role),
        amount=amount,
        unit=exchange.money_unit,
        provider=exchange.provider,
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
