"""Pay members what the platform owes them: on request, and what waited for their account.

The consequences of a payee's account are composed here: that it is ready is written in the
transaction that pays what has waited, so that it is paid exactly once.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Final
from uuid import UUID

import structlog
from sqlalchemy import Connection, Engine, text

from ledger import accounts, units
from ledger.posting import Posting, Status, Transfer
from ledger.refusals import InvalidUnit, Refusal
from service import db
from service.events import outbox
from service.exchanges import looks
from service.exchanges.advance import BrokenBooks
from service.exchanges.money import member_account, reference
from service.ids import encode, uuid7
from service.operations.posted import post
from service.payments import bank_payouts, payees, payments
from service.payments.payee import PayeeNotReady, Readiness, payout_notice
from service.payments.payees import Change, Paying
from service.payments.payments import NewPayment
from service.payments.port import Provider, ProviderRefused, ProviderUnavailable
from service.payments.providers import Providers
from service.platforms import members

_log = structlog.get_logger(__name__)

#: How many accounts, and how many payouts to banks, one round looks at again.
BATCH: Final = 20
#: How often an account is read anew because somebody else wrote meanwhile what they had seen.
_ATTEMPTS: Final = 3


class BalanceTooLow(Refusal):
    """The member's balance does not cover the payout."""

    code = "balance_too_low"


def pay_out(
    connection: Connection,
    platform_id: UUID,
    member_id: UUID,
    amount: int,
    unit: str,
    provider: Paying,
    now: datetime,
) -> UUID:
    """Send ``amount`` minor units of ``unit`` of a member's balance; return the payment's id.

    Raises:
        MemberNotFound: the platform has no such member.
        UnknownUnit, InvalidUnit: not a currency; community units leave by no provider.
        PayeeNotReady: their account at the provider takes no money yet; with what is due.
        BalanceTooLow: nothing was changed.
    """
    members.find(connection, platform_id, member_id)
    if units.get(connection, platform_id, unit).community:
        raise InvalidUnit(
            f"{unit} lives in the community's books alone; only money can be paid out.",
            pointer="/amount/unit",
        )
    _require_ready(
        payees.readiness(connection, platform_id, [member_id], provider, lock=True)[member_id]
    )
    new = NewPayment(uuid7(), "payout", None, member_id, provider.name, amount, unit)
    if not _ask(connection, platform_id, [new], now):
        raise BalanceTooLow(
            "The member's balance does not cover this amount.", pointer="/amount/amount"
        )
    return new.id


def _require_ready(one: Readiness) -> None:
    if one.ready:
        return
    notice = payout_notice(one)
    assert notice is not None
    raise PayeeNotReady(
        notice["words"],
        reason=one.reason,
        due=list(one.due),
        due_by=one.due_by,
    )


#: What a payee got of each payment of a payer's and was never asked of the provider. Whatever was
#: paid out since, by request too, counts against it; what a bank contests waits for the bank.
_WAITING: Final = text(
    """
    WITH released AS (
        SELECT l.exchange_id, l.collect_id, l.unit, sum(l.to_payee)::bigint AS amount
        FROM service.exchange AS e
        JOIN service.leg AS l ON l.platform_id = e.platform_id AND l.exchange_id = e.id
        LEFT JOIN service.payment AS c ON c.platform_id = l.platform_id AND c.id = l.collect_id
        WHERE e.platform_id = :platform_id AND e.payee_id = :member_id AND e.provider = :provider
          AND l.sort = 'money' AND l.state = 'settled' AND l.to_payee > 0
          AND c.disputed_at IS NULL
        GROUP BY l.exchange_id, l.collect_id, l.unit),
    paid AS (
        SELECT p.exchange_id, p.source_id, p.unit, sum(p.amount)::bigint AS amount
        FROM service.payment AS p
        WHERE p.platform_id = :platform_id AND p.member_id = :member_id
          AND p.provider = :provider AND p.kind = 'payout' AND p.state NOT IN ('failed', 'canceled')
        GROUP BY p.exchange_id, p.source_id, p.unit)
    SELECT r.exchange_id, r.collect_id, r.unit, r.amount - coalesce(d.amount, 0) AS unpaid,
        (SELECT coalesce(sum(a.amount), 0) FROM paid AS a
         WHERE a.unit = r.unit AND a.exchange_id IS NULL)::bigint AS paid_on_request
    FROM released AS r
    LEFT JOIN paid AS d ON d.exchange_id = r.exchange_id AND d.unit = r.unit
        AND d.source_id IS NOT DISTINCT FROM r.collect_id
    WHERE r.amount > coalesce(d.amount, 0)
    ORDER BY r.exchange_id, r.collect_id
    """
)


def pay_waiting(
    connection: Connection, platform_id: UUID, member_id: UUID, provider: str, now: datetime
) -> list[UUID]:
    """Pay on what exchanges released to a member while they could not be paid; return the payments.

    One payment to each payment of a payer's that it comes from, never more than the member's
    balance. The caller holds the lock on the member's account, and has seen that it is ready.
    """
    found = accounts.balances(connection, platform_id, [member_account(member_id)])
    left = {line.unit: line.balance for line in found if line.balance > 0}
    if not left:
        return []
    rows = connection.execute(
        _WAITING, {"platform_id": platform_id, "member_id": member_id, "provider": provider}
    ).all()
    on_request = {row.unit: row.paid_on_request for row in rows}
    new = []
    for row in rows:
        # What was paid on request is taken to be the oldest: it was there first.
        covered = min(row.unpaid, on_request[row.unit])
        on_request[row.unit] -= covered
        amount = min(row.unpaid - covered, left.get(row.unit, 0))
        if amount <= 0:
            continue
        left[row.unit] -= amount
        new.append(
            NewPayment(
                uuid7(),
                "payout",
                row.exchange_id,
                member_id,
                provider,
                amount,
                row.unit,
                source_id=row.collect_id,
            )
        )
    return _ask(connection, platform_id, new, now)


def _ask(
    connection: Connection, platform_id: UUID, new: list[NewPayment], now: datetime
) -> list[UUID]:
    """Move payouts from their members' balances into transit; return those that were covered."""
    if not new:
        return []
    postings = [
        Posting(
            key=f"ask:{one.id}",
            kind="payout",
            transfers=(
                Transfer(member_account(one.member_id), f"transit:{one.id}", one.amount, one.unit),
            ),
            reference=f"member:{one.member_id}"
            if one.exchange_id is None
            else reference(one.exchange_id),
        )
        for one in new
    ]
    asked = []
    for one, result in zip(new, post(connection, platform_id, postings, now), strict=True):
        if result.status is Status.CREATED:
            asked.append(one)
        elif result.status is not Status.BREAKS_FLOOR:
            raise BrokenBooks(f"posting ask:{one.id}: {result.status}")
    payments.create(connection, platform_id, asked, now)
    outbox.append(connection, platform_id, [_asked_event(one) for one in asked], now)
    return [one.id for one in asked]


def _asked_event(one: NewPayment) -> outbox.NewEvent:
    facts = {"payment": encode("payment", one.id), "amount": one.amount, "unit": one.unit}
    if one.exchange_id is not None:
        facts["exchange"] = encode("exchange", one.exchange_id)
    return outbox.NewEvent("payout.asked", facts, member_id=one.member_id)


def open_account(
    engine: Engine, provider: Provider, platform_id: UUID, member_id: UUID, now: datetime
) -> None:
    """Open the account that :func:`service.payments.payees.begin` wrote down; again is harmless.

    What the provider refuses is written on the row, for the member to see.

    Raises:
        ProviderUnavailable: a later sweep goes on.
        AccountDiffers: the provider gave the member two accounts.
    """
    for _ in range(_ATTEMPTS):
        with db.transaction(engine, platform_id) as connection:
            opening = payees.find(connection, platform_id, member_id, provider.name)
            person = members.find(connection, platform_id, member_id)
        if opening is None or opening.account_ref is not None or opening.failure is not None:
            return
        facts = {"country": opening.country}
        if person.email is not None:
            facts["email"] = person.email
        db.outside_transaction()
        try:
            seen = provider.open_account(platform_id, member_id, facts)
        except ProviderRefused as refusal:
            with db.transaction(engine, platform_id) as connection:
                if payees.record_refused(connection, opening, refusal.failure, now) is not None:
                    return
            continue
        with db.transaction(engine, platform_id) as connection:
            change = payees.record_opened(connection, opening, seen, now)
            if change is not None:
                _pay_what_waited(connection, change, now)
                return
    raise ProviderUnavailable("the account is being written by others at the same time")


def follow_account(
    engine: Engine, provider: Provider, platform_id: UUID, account_ref: str, now: datetime
) -> None:
    """Read a payee's account again, write where it stands, and pay what has waited for it.

    Raises:
        UnknownProviderObject: it is not an account of this platform; the provider is not asked.
        ProviderUnavailable: ask again later.
        ProviderRefused: the provider does not show the account; nothing is known.
    """
    for _ in range(_ATTEMPTS):
        with db.transaction(engine, platform_id) as connection:
            asked = payees.of_ref(connection, platform_id, provider.name, account_ref)
        db.outside_transaction()
        seen = provider.retrieve_account(platform_id, account_ref)
        with db.transaction(engine, platform_id) as connection:
            change = payees.record(connection, asked, seen, now)
            if change is not None:
                _pay_what_waited(connection, change, now)
                return
    raise ProviderUnavailable("the account is being written by others at the same time")


def _pay_what_waited(connection: Connection, change: Change, now: datetime) -> None:
    """Pay on whenever an account is seen to be ready, not only when it becomes so.

    What was released in the moment between is found by the next look.
    """
    one = change.after
    if one.ready:
        pay_waiting(connection, one.platform_id, one.member_id, one.provider, now)


def follow_stale(
    engine: Engine, providers: Providers, now: datetime, only: UUID | None = None
) -> int:
    """Open, and read again, what no event spoke of for too long; return how many were looked at.

    Accounts that lack something and payouts under way: daily; the others weekly. ``only`` keeps to
    one platform.
    """
    looked = 0
    for one in payees.due_for_a_look(engine, now, BATCH, only):
        try:
            provider = providers[one.provider]
            if one.account_ref is None:
                open_account(engine, provider, one.platform_id, one.member_id, now)
            else:
                follow_account(engine, provider, one.platform_id, one.account_ref, now)
            looked += 1
        except Exception as error:  # whatever it is, it must not keep the others waiting
            _log.error("payee_put_off", member=str(one.member_id), exc_info=error)
            if looks.is_outside(error):
                payees.put_off(engine, one, now)
            else:
                looks.failed(engine, looks.PAYEE, asdict(one), error, now)
    for payout in bank_payouts.due_for_a_look(engine, now, BATCH, only):
        try:
            provider = providers[payout.provider]
            bank_payouts.follow_bank_payout(
                engine, provider, payout.platform_id, payout.account_ref, payout.ref, now
            )
            looked += 1
        except Exception as error:  # as above
            _log.error("bank_payout_put_off", payout=payout.ref, exc_info=error)
            if looks.is_outside(error):
                bank_payouts.put_off(engine, payout, now)
            else:
                looks.failed(engine, looks.BANK_PAYOUT, asdict(payout), error, now)
    return looked
