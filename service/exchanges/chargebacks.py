"""Chargebacks: what follows for books, exchange and members when a bank takes money back.

The bank's own lines are booked one by one, each under its own reference: what it takes is a
receivable of the exchange until it comes back, finds its place in an outcome, is recovered from the
payee, or is a loss. Nothing here is believed from an event: the dispute is read again.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, RowMapping

from ledger.posting import Posting, Status, Transfer
from service import db
from service.exchanges import losses, money, store
from service.exchanges.advance import BrokenBooks, write
from service.exchanges.commands import PROVIDER, Command, Decision
from service.exchanges.decide import Rules, take
from service.exchanges.desk import Desk
from service.exchanges.model import Exchange, State
from service.exchanges.provider_words import fee_posting
from service.exchanges.reports import Told, report
from service.ids import encode, uuid7
from service.operations.posted import post
from service.payments import contests, payments
from service.payments.payee import UnknownProviderObject
from service.payments.port import Dispute, DisputeStatus, Fee, Movement, Warned

_OVER: Final = frozenset({DisputeStatus.WON, DisputeStatus.LOST, DisputeStatus.CLOSED})
_HELD: Final = frozenset({State.ACTIVE, State.IN_REVIEW})
#: A warning that no dispute has followed is lifted after this long: most disputes come within it.
WARNING_LASTS: Final = timedelta(days=30)


def follow(desk: Desk, platform_id: UUID, provider: str, ref: str, now: datetime) -> None:
    """Read a dispute again and do what follows.

    Raises:
        UnknownProviderObject: it is about no collection of this platform; nothing is booked.
        ProviderUnavailable, ProviderRefused: nothing is known.
    """
    db.outside_transaction()
    seen = desk.providers[provider].retrieve_dispute(platform_id, ref)
    _collection_first(desk, platform_id, provider, seen.collect_ref, now)
    with db.transaction(desk.engine, platform_id) as connection:
        record(connection, platform_id, provider, seen, Rules(now, desk.codes))


def follow_warning(desk: Desk, platform_id: UUID, provider: str, ref: str, now: datetime) -> None:
    """Read an early fraud warning again; while it stands, nothing is released.

    Raises:
        UnknownProviderObject: it is about no collection of this platform.
        ProviderUnavailable, ProviderRefused: nothing is known.
    """
    db.outside_transaction()
    seen = desk.providers[provider].retrieve_warning(platform_id, ref)
    _collection_first(desk, platform_id, provider, seen.collect_ref, now)
    with db.transaction(desk.engine, platform_id) as connection:
        record_warning(connection, platform_id, provider, seen, Rules(now, desk.codes))


def _collection_first(
    desk: Desk, platform_id: UUID, provider: str, collect_ref: str, now: datetime
) -> None:
    """Hear of the payment before what contests it: only an exchange that is paid can be frozen."""
    with db.transaction(desk.engine, platform_id) as connection:
        row = payments.of_ref(connection, platform_id, provider, collect_ref)
    if row is None or row["settled_at"] is not None or row["provider_ref"] is None:
        return
    db.outside_transaction()
    seen = desk.providers[provider].retrieve(platform_id, row["provider_ref"])
    with db.transaction(desk.engine, platform_id) as connection:
        (refused,) = report(
            connection, platform_id, [Told(row["id"], seen)], Rules(now, desk.codes)
        )
        if refused is not None:
            raise refused


def _find(
    connection: Connection, platform_id: UUID, provider: str, collect_ref: str
) -> tuple[Exchange, RowMapping]:
    """Return the exchange and the collection that are contested, locked in the usual order."""
    peek = payments.of_ref(connection, platform_id, provider, collect_ref)
    if peek is None or peek["kind"] != "collect" or peek["exchange_id"] is None:
        raise UnknownProviderObject(f"No collection of this platform is {collect_ref}.")
    locked = store.load(connection, platform_id, [peek["exchange_id"]], lock=True)
    collect = payments.lock(connection, platform_id, peek["id"])
    return locked[peek["exchange_id"]], collect


def record(
    connection: Connection, platform_id: UUID, provider: str, seen: Dispute, rules: Rules
) -> None:
    """Write where a dispute stands, book its lines, and move the exchange on."""
    exchange, collect = _find(connection, platform_id, provider, seen.collect_ref)
    row = contests.of_ref(connection, platform_id, provider, seen.ref)
    if row is None:
        row = _new(connection, exchange, collect, provider, seen, rules.now)
    _book(connection, exchange, provider, seen, rules.now)
    withdrawn = max(0, -sum(movement.amount for movement in seen.movements))
    over = seen.status in _OVER
    if _is_old(row, seen, withdrawn):
        return
    contests.update(
        connection,
        row,
        status=seen.status,
        withdrawn=withdrawn,
        lines=len(seen.movements),
        due_by=seen.due_by,
        closed_at=rules.now if over else None,
        look_again_at=None if over else rules.now + contests.LOOK,
    )
    if row["status"] == DisputeStatus.WARNING and seen.status is DisputeStatus.NEEDS_RESPONSE:
        contests.ask_anew(connection, row)
    others = contests.others_open(connection, row)
    if not over or seen.status is not DisputeStatus.CLOSED:
        others = _without_warnings(connection, others, rules.now)
    _mark(connection, collect, seen, others, rules.now)
    change = withdrawn - row["withdrawn"]
    decision = _decide(
        exchange, collect["id"], seen, change, withdrawn, keep=bool(others), rules=rules
    )
    decision.note(
        f"chargeback.{_word(seen.status, new=row['status'] == 'new')}",
        chargeback=encode("chargeback", row["id"]),
        payment=encode("payment", collect["id"]),
        amount=seen.amount,
        withdrawn=withdrawn,
        unit=seen.unit,
        reason=seen.reason,
        due_by=None if seen.due_by is None else seen.due_by.isoformat(),
    )
    _write(connection, exchange, decision, rules.now)
    if over:
        losses.close(connection, platform_id, exchange.id, rules)


def _is_old(row: Any, seen: Dispute, withdrawn: int) -> bool:
    """Tell whether a reading brings nothing new: told again, or older than what is known.

    What a bank has decided it may decide anew (an appeal), which shows in what it gives back.
    """
    if len(seen.movements) < row["lines"]:
        return True
    if row["closed_at"] is not None and seen.status not in _OVER:
        return True
    known = (row["status"], row["withdrawn"], row["due_by"])
    return bool(known == (seen.status, withdrawn, seen.due_by))


def _new(
    connection: Connection,
    exchange: Exchange,
    collect: RowMapping,
    provider: str,
    seen: Dispute | Warned,
    now: datetime,
) -> Any:
    dispute = isinstance(seen, Dispute)
    values: dict[str, Any] = {
        "platform_id": exchange.platform_id,
        "id": uuid7(),
        "provider": provider,
        "ref": seen.ref,
        "kind": "dispute" if dispute else "warning",
        "payment_id": collect["id"],
        "exchange_id": exchange.id,
        "status": DisputeStatus.WARNING,
        "amount": seen.amount if isinstance(seen, Dispute) else collect["amount"],
        "unit": collect["unit"],
        "reason": seen.reason,
        "due_by": None,
        "opened_at": now,
        "look_again_at": now + (contests.LOOK if dispute else WARNING_LASTS),
    }
    contests.insert(connection, values)
    return {**values, "status": "new", "withdrawn": 0, "lines": 0, "closed_at": None}


def _book(
    connection: Connection, exchange: Exchange, provider: str, seen: Dispute, now: datetime
) -> None:
    """Book the dispute's lines that are not booked yet, each under its own reference."""
    postings = [one for line in seen.movements for one in _postings(exchange, provider, line)]
    if not postings:
        return
    for posting, result in zip(
        postings, post(connection, exchange.platform_id, postings, now), strict=True
    ):
        if result.status not in {Status.CREATED, Status.EXISTS}:
            raise BrokenBooks(f"posting {posting.key}: {result.status} at {result.account}")


def _postings(exchange: Exchange, provider: str, line: Movement) -> list[Posting]:
    theirs, reference = f"provider:{provider}", money.reference(exchange.id)
    ours = money.receivable_account(exchange.id)
    found = []
    if line.amount:
        sides = (ours, theirs) if line.amount < 0 else (theirs, ours)
        move = Transfer(*sides, abs(line.amount), line.unit)
        found.append(Posting(f"chargeback:{line.ref}", "chargeback", (move,), reference))
    if line.fee > 0:
        found.append(fee_posting(provider, Fee(line.ref, line.fee, line.unit), reference))
    elif line.fee < 0:
        back = Transfer(theirs, "expense:provider_fees", -line.fee, line.unit)
        found.append(Posting(f"fee:{line.ref}", "fee", (back,), reference))
    return found


def _without_warnings(
    connection: Connection, others: list[RowMapping], now: datetime
) -> list[RowMapping]:
    """A dispute takes the place of the warning that came before it."""
    for other in others:
        if other["kind"] == "warning":
            contests.update(
                connection,
                other,
                status=DisputeStatus.CLOSED,
                closed_at=now,
                closed_reason="a dispute followed",
                look_again_at=None,
            )
    return [other for other in others if other["kind"] != "warning"]


def _mark(
    connection: Connection,
    collect: RowMapping,
    seen: Dispute,
    others: list[RowMapping],
    now: datetime,
) -> None:
    """While the bank holds the money, we give none of it back ourselves."""
    open_too = [one for one in others if one["payment_id"] == collect["id"] and _moves(one)]
    contested = bool(open_too) or seen.status in {
        DisputeStatus.NEEDS_RESPONSE,
        DisputeStatus.UNDER_REVIEW,
    }
    since = (collect["disputed_at"] or now) if contested else None
    payments.mark_disputed(connection, collect, since)


def _moves(row: RowMapping) -> bool:
    return bool(row["kind"] == "dispute" and row["status"] != DisputeStatus.WARNING)


def _word(status: DisputeStatus, *, new: bool) -> str:
    if new and status not in _OVER:
        return "opened"
    return {
        DisputeStatus.WON: "won",
        DisputeStatus.LOST: "lost",
        DisputeStatus.CLOSED: "closed",
    }.get(status, "updated")


def _decide(
    exchange: Exchange,
    collect_id: UUID,
    seen: Dispute,
    change: int,
    withdrawn: int,
    *,
    keep: bool,
    rules: Rules,
) -> Decision:
    """Freeze, unfreeze or end what is still held; an exchange that has ended is only told.

    What moved is counted first, whatever the status: a dispute may be heard of first when it is
    lost.
    """
    decision = Decision(exchange)
    if exchange.state not in _HELD:
        return decision

    def step(name: str, amount: int, *, stays: bool) -> None:
        nonlocal decision
        command = Command(
            exchange.id,
            name,
            PROVIDER,
            payment_id=collect_id,
            failure=seen.reason,
            amount=amount,
            keep_frozen=stays,
        )
        then = take(decision.exchange, command, rules)
        then.events[:0] = decision.events
        disputed = any(leg.disputed for leg in then.exchange.legs)
        then.opens = (then.opens or decision.opens) if disputed else None
        decision = then

    over = seen.status in _OVER
    if change > 0 or not over:
        step("freeze", max(0, change), stays=True)
    if change < 0:
        step("unfreeze", -change, stays=True)
    if over and withdrawn:
        step("charged_back", withdrawn, stays=keep)
    elif over:
        step("unfreeze", 0, stays=keep)
    return decision


def _write(connection: Connection, exchange: Exchange, decision: Decision, now: datetime) -> None:
    decision.exchange = replace(decision.exchange, version=exchange.version + 1)
    write(connection, exchange.platform_id, {exchange.id: exchange}, [decision], now)


def record_warning(
    connection: Connection, platform_id: UUID, provider: str, seen: Warned, rules: Rules
) -> None:
    """Write an early fraud warning down and freeze what is still held."""
    exchange, collect = _find(connection, platform_id, provider, seen.collect_ref)
    row = contests.of_ref(connection, platform_id, provider, seen.ref)
    if row is not None or not seen.actionable:
        return
    row = _new(connection, exchange, collect, provider, seen, rules.now)
    decision = Decision(exchange)
    if exchange.state in _HELD:
        decision = take(
            exchange, Command(exchange.id, "freeze", PROVIDER, failure="warning"), rules
        )
    decision.note(
        "chargeback.warned",
        chargeback=encode("chargeback", row["id"]),
        payment=encode("payment", collect["id"]),
        reason=seen.reason,
    )
    _write(connection, exchange, decision, rules.now)


def lift_warning(
    connection: Connection, platform_id: UUID, chargeback_id: UUID, reason: str, rules: Rules
) -> None:
    """Let an exchange go on although its payment was warned of; the reason is kept.

    Raises:
        ChargebackNotFound
        ChargebackOver: it is closed, or no warning: only the bank ends a dispute.
    """
    peek = contests.find(connection, platform_id, chargeback_id)
    exchange = store.load(connection, platform_id, [peek["exchange_id"]], lock=True)[
        peek["exchange_id"]
    ]
    row = contests.lock(connection, platform_id, chargeback_id)
    if row["kind"] != "warning" or row["closed_at"] is not None:
        raise contests.ChargebackOver("Only a warning that still stands can be lifted.")
    contests.update(
        connection,
        row,
        status=DisputeStatus.CLOSED,
        closed_at=rules.now,
        closed_reason=reason,
        look_again_at=None,
    )
    others = contests.others_open(connection, row)
    decision = Decision(exchange)
    if exchange.state in _HELD and exchange.frozen_at is not None:
        command = Command(exchange.id, "unfreeze", PROVIDER, keep_frozen=bool(others))
        decision = take(exchange, command, rules)
    decision.note("chargeback.closed", chargeback=encode("chargeback", row["id"]), reason=reason)
    _write(connection, exchange, decision, rules.now)
