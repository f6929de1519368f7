"""Which posting of ours a line of the provider's books speaks of: by identity, never by date.

A line names one of our payments, a dispute or itself, and so the key of the one posting that says
the same. What has no such posting, or one of another amount, is a difference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, RowMapping, text

from service.payments.port import Movement, Status, own_payment


class Kind(StrEnum):
    """What sort of difference was found."""

    OURS_ONLY = "ours_only"
    THEIRS_ONLY = "theirs_only"
    AMOUNT_DIFFERS = "amount_differs"
    BALANCE_DIFFERS = "balance_differs"
    IN_FLIGHT = "in_flight"  # the provider has not finished the payment: nothing is wrong
    #: The platform moved members' money to its own bank. It is booked: it has happened.
    BANK_PAYOUT_EXCEEDS_OWN_MONEY = "bank_payout_exceeds_own_money"


@dataclass(frozen=True, slots=True)
class Booked:
    """A posting of ours: signed minor units of ``unit`` that it added to what the provider holds.

    ``movement_ref``: the line that speaks of it already.
    """

    key: str
    amount: int
    unit: str
    reference: str | None
    movement_ref: str | None


@dataclass(frozen=True, slots=True)
class Found:
    """A difference: ``ours`` and ``theirs`` are signed as in :class:`Booked`.

    ``fee`` is the part of ``theirs`` that the provider took for itself and we have not booked:
    ``theirs`` is after it.
    """

    kind: Kind
    subject: str
    ours: int
    theirs: int
    unit: str
    movement: Movement | None = None
    fee: int = 0
    posting_key: str | None = None
    payment_id: UUID | None = None


@dataclass(slots=True)
class Verdict:
    """What a line comes to: the postings it speaks of, and those to be made or looked into."""

    movement: Movement
    keys: list[str] = field(default_factory=list)
    #: To be booked now: minor units that the provider took for itself, filed under ``reference``.
    fee: int = 0
    reference: str | None = None
    #: To be booked now: minor units that the platform moved of its own, to us positive.
    own: int = 0
    differences: list[Found] = field(default_factory=list)


#: Of a payment that is not settled: the provider shows the line before it has finished.
_BEFORE_THE_END: Final = frozenset({"refund", "payout", "reversal"})
_UNDONE: Final = frozenset({Status.FAILED, Status.CANCELED})


def judge(
    connection: Connection, platform_id: UUID, provider: str, lines: Sequence[Movement]
) -> list[Verdict]:
    """Compare lines of the provider's books with ours, in three queries however many they are."""
    rows = _payments(connection, platform_id, provider, lines)
    keyed = [(line, rows.get(line.object_ref or "")) for line in lines]
    keys = {key for line, row in keyed if (key := posting_key(line, row))}
    keys |= {f"fee:{line.ref}" for line in lines}
    books = booked(connection, platform_id, provider, sorted(keys))
    claimed = {key: one.movement_ref for key, one in books.items() if one.movement_ref}
    verdicts = []
    for line, row in keyed:
        verdict = _judge(line, row, books, claimed)
        claimed.update(dict.fromkeys(verdict.keys, line.ref))
        verdicts.append(verdict)
    return verdicts


def posting_key(line: Movement, row: RowMapping | None) -> str | None:
    """Return the key of the posting that says the same as ``line``, a line of the payment ``row``.

    None: we have no such posting, whatever happened.
    """
    if line.kind in {"fee", "bank_payout"}:
        return f"{line.kind}:{line.ref}"
    if line.kind == "dispute":
        return f"chargeback:{line.ref}"
    if row is None:
        return None
    went = row["kind"] in {"refund", "payout"}
    if went and row["state"] in _UNDONE:
        return f"back:{row['id']}"
    word = None
    if line.kind == row["kind"] == "collect" and line.amount > 0:
        word = "collect" if row["capture"] == "automatic" else "captured"
    elif line.kind == row["kind"] == "reversal":
        word = "reversed"
    elif went and line.kind == row["kind"]:
        word = "sent"
    elif went and line.kind in {"refund_failure", "reversal"}:
        word = "returned"
    return None if word is None else f"{word}:{row['id']}"


def _judge(
    line: Movement,
    row: RowMapping | None,
    books: Mapping[str, Booked],
    claimed: Mapping[str, str],
) -> Verdict:
    verdict = Verdict(line)
    key = posting_key(line, row)
    ours = _unclaimed(key, line, books, claimed)
    if line.kind in {"fee", "bank_payout"}:
        _judge_own(verdict, key, ours)
        return verdict
    payment_id = None if row is None else row["id"]
    fee = _unclaimed(f"fee:{line.ref}", line, books, claimed) if line.fee else None
    if key is not None and key.startswith("back:"):
        verdict.keys.append(key)  # out and back: the books have neither
        _judge_fee(verdict, fee, payment_id)
        return verdict
    if ours is None and line.amount == 0 and (fee is not None or not line.fee):
        verdict.keys += [] if fee is None else [fee.key]
        return verdict
    if ours is None:
        early = row is not None and row["settled_at"] is None and row["kind"] in _BEFORE_THE_END
        left = line.fee if fee is None else 0
        verdict.keys += [] if fee is None else [fee.key]
        verdict.differences.append(
            Found(
                Kind.IN_FLIGHT if early else Kind.THEIRS_ONLY,
                line.ref,
                0,
                line.amount - left,
                line.unit,
                line,
                left,
                key,
                payment_id,
            )
        )
        return verdict
    verdict.keys.append(ours.key)
    verdict.reference = ours.reference
    if ours.amount != line.amount:
        verdict.differences.append(
            Found(
                Kind.AMOUNT_DIFFERS,
                line.ref,
                ours.amount,
                line.amount,
                line.unit,
                line,
                posting_key=ours.key,
                payment_id=payment_id,
            )
        )
    _judge_fee(verdict, fee, payment_id)
    return verdict


def _judge_fee(verdict: Verdict, fee: Booked | None, payment_id: UUID | None) -> None:
    line = verdict.movement
    if line.fee and fee is None:
        verdict.fee = line.fee
    if line.fee:
        verdict.keys.append(f"fee:{line.ref}")
    if fee is not None and fee.amount != -line.fee:
        verdict.differences.append(
            Found(
                Kind.AMOUNT_DIFFERS,
                f"{line.ref}:fee",
                fee.amount,
                -line.fee,
                line.unit,
                line,
                posting_key=fee.key,
                payment_id=payment_id,
            )
        )


def _judge_own(verdict: Verdict, key: str | None, ours: Booked | None) -> None:
    """What is the provider's or the platform's alone, no member's: booked when it is not yet."""
    line = verdict.movement
    assert key is not None
    net = line.amount - line.fee
    verdict.keys.append(key)
    if ours is None:
        if line.kind == "fee":
            verdict.fee = -net
        else:
            verdict.own = net
    elif ours.amount != net:
        verdict.differences.append(
            Found(Kind.AMOUNT_DIFFERS, line.ref, ours.amount, net, line.unit, line, posting_key=key)
        )


def _unclaimed(
    key: str | None, line: Movement, books: Mapping[str, Booked], claimed: Mapping[str, str]
) -> Booked | None:
    """Return the posting under ``key``, unless it is in another unit or another line has it."""
    one = None if key is None else books.get(key)
    if one is None or one.unit != line.unit or claimed.get(one.key, line.ref) != line.ref:
        return None
    return one


def _payments(
    connection: Connection, platform_id: UUID, provider: str, lines: Sequence[Movement]
) -> dict[str, RowMapping]:
    """Return the payments that lines name, by the reference that names them."""
    refs = {line.object_ref for line in lines if line.object_ref is not None}
    own = {ref: found for ref in refs if (found := own_payment(ref)) is not None}
    rows = (
        connection.execute(
            text(
                "SELECT id, kind, state, capture, settled_at, provider_ref FROM service.payment "
                "WHERE platform_id = :platform_id AND provider = :provider "
                "AND (provider_ref = ANY(:refs) OR id = ANY(:ids))"
            ),
            {
                "platform_id": platform_id,
                "provider": provider,
                "refs": sorted(refs - own.keys()),
                "ids": list(own.values()),
            },
        )
        .mappings()
        .all()
    )
    by_ref = {row["provider_ref"]: row for row in rows if row["provider_ref"] is not None}
    by_id = {row["id"]: row for row in rows}
    return by_ref | {ref: by_id[one] for ref, one in own.items() if one in by_id}


# What a posting moved, and the line that speaks of it, are looked up for each posting by itself: a
# join would be free to begin at the provider's account, through which everything ever went.
_MOVED: Final = """
    SELECT b.key, b.reference, f.unit, f.amount, b.movement_ref
    FROM (SELECT p.platform_id, p.id, p.key, p.reference,
              (SELECT m.movement_ref FROM service.reconciliation_match m
               WHERE m.platform_id = p.platform_id AND m.provider = :provider
                 AND m.posting_key = p.key LIMIT 1) AS movement_ref
          FROM {postings} p) b
    CROSS JOIN LATERAL (
        SELECT t.unit,
            sum(CASE WHEN t.debit_account = a.id THEN t.amount ELSE -t.amount END)::bigint AS amount
        FROM ledger.transfer t JOIN ledger.account a ON a.platform_id = t.platform_id
            AND a.path = :path AND a.unit = t.unit AND a.id IN (t.debit_account, t.credit_account)
        WHERE t.platform_id = b.platform_id AND t.posting_id = b.id GROUP BY t.unit) f
"""
_BY_KEY: Final = text(
    "WITH named AS MATERIALIZED ("  # noqa: S608 - our own words
    " SELECT platform_id, id, key, reference FROM ledger.posting "
    " WHERE platform_id = :platform_id AND key = ANY(:keys)) " + _MOVED.format(postings="named")
)
#: What reconciliation itself books is no payment, so no line speaks of it.
_UNMATCHED: Final = text(
    "WITH recorded AS MATERIALIZED ("  # noqa: S608 - our own words
    " SELECT platform_id, id, key, reference FROM ledger.posting "
    " WHERE platform_id = :platform_id AND recorded_at >= :since AND recorded_at < :until "
    " AND kind NOT IN ('suspense', 'resolution') AND key NOT LIKE 'healed:%' AND key > :after) "
    + _MOVED.format(postings="recorded")
    + "WHERE b.movement_ref IS NULL AND f.amount <> 0 ORDER BY b.key LIMIT :limit"
)


def booked(
    connection: Connection, platform_id: UUID, provider: str, keys: Sequence[str]
) -> dict[str, Booked]:
    """Return, by key, those of our postings that moved what the provider holds."""
    values = {
        "platform_id": platform_id,
        "provider": provider,
        "path": f"provider:{provider}",
        "keys": list(keys),
    }
    return {
        row.key: Booked(row.key, row.amount, row.unit, row.reference, row.movement_ref)
        for row in connection.execute(_BY_KEY, values)
    }


def unmatched(
    connection: Connection,
    platform_id: UUID,
    provider: str,
    since: datetime,
    until: datetime,
    *,
    limit: int,
    after: str = "",
) -> list[Booked]:
    """Return postings of ours recorded in ``[since, until)`` that no line has spoken of yet.

    Up to ``limit`` in the order of their keys, from behind the key ``after``.
    """
    values = {
        "platform_id": platform_id,
        "provider": provider,
        "path": f"provider:{provider}",
        "since": since,
        "until": until,
        "after": after,
        "limit": limit,
    }
    return [
        Booked(row.key, row.amount, row.unit, row.reference, None)
        for row in connection.execute(_UNMATCHED, values)
    ]
