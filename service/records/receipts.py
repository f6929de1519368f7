"""The receipt of an exchange: a signed proof of what was agreed, what happened and who got what."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, text

from ledger import units
from ledger.refusals import Refusal
from ledger.units import Unit
from service.exchanges import queries
from service.exchanges.model import Exchange, Leg
from service.ids import encode
from service.platforms import members, platforms
from service.records import decisions, signed
from service.records.signed import instant
from service.sealing import Sealer


class NoReceipt(Refusal):
    """The exchange has not ended, or ended before it was agreed."""

    code = "no_receipt"


#: What was opened after the exchange had ended is not what its receipt proves.
_CASES: Final = text(
    "SELECT id FROM disputes.case WHERE platform_id = :platform_id AND subject_id = :exchange_id "
    "AND opened_at <= :closed_at ORDER BY id"
)


def receipt(
    connection: Connection,
    sealer: Sealer,
    platform_id: UUID,
    exchange_id: UUID,
    issuer: str,
    now: datetime,
    member_id: UUID | None = None,
) -> str:
    """Return the signed receipt of an exchange that has ended; ``member_id``: for them alone.

    Raises:
        ExchangeNotFound: there is none, or it is none of this member's business.
        NoReceipt
        SigningKeyUnreadable
    """
    exchange = queries.find(connection, platform_id, exchange_id, member_id)
    if exchange.closed_at is None or exchange.agreed_at is None:
        raise NoReceipt(
            "A receipt tells of an exchange that was agreed and has ended.", state=exchange.state
        )
    found = signed.stored(connection, platform_id, "receipt", exchange_id)
    if found is not None:
        return found
    said = _document(connection, sealer, exchange, exchange.closed_at, issuer, now)
    return signed.sign(connection, sealer, platform_id, "receipt", exchange_id, said, now)


def _document(
    connection: Connection,
    sealer: Sealer,
    exchange: Exchange,
    closed_at: datetime,
    issuer: str,
    now: datetime,
) -> dict[str, Any]:
    platform_id = exchange.platform_id
    people = members.find_many(connection, platform_id, [exchange.payer_id, exchange.payee_id])
    used = units.find_many(connection, platform_id, {leg.unit for leg in exchange.legs})
    words = queries.confirmations(connection, platform_id, exchange.id)
    return {
        "type": "receipt",
        "version": 1,
        "issuer": issuer,
        "mode": platforms.find(connection, platform_id).mode,
        "platform": encode("platform", platform_id),
        "exchange": encode("exchange", exchange.id),
        "kind": exchange.kind,
        "state": exchange.state,
        "terms_sha256": exchange.terms_hash,
        "agreed_at": instant(exchange.agreed_at or closed_at),
        "funded_at": None if exchange.funded_at is None else instant(exchange.funded_at),
        "closed_at": instant(closed_at),
        "payer": _party(exchange.payer_id, people),
        "payee": _party(exchange.payee_id, people),
        "legs": [_leg(leg, used[leg.unit]) for leg in exchange.legs],
        "confirmations": [
            {
                "checkpoint": row["checkpoint"],
                "by": row["role"],
                "word": row["word"],
                "method": row["method"],
                "via": row["via"],
                "at": instant(row["at"]),
            }
            for row in words
        ],
        "cases": _cases(connection, sealer, exchange, closed_at, issuer, now),
    }


def _party(member_id: UUID, people: dict[UUID, members.Member]) -> dict[str, Any]:
    return {"member": encode("member", member_id), "name": people[member_id].name}


def _leg(leg: Leg, unit: Unit) -> dict[str, Any]:
    share = leg.share
    return {
        "leg": encode("leg", leg.id),
        "role": leg.role,
        "checkpoint": leg.checkpoint,
        "unit": leg.unit,
        "decimals": unit.exponent,
        "amount": leg.amount,
        "payer_fee": leg.payer_fee,
        "payee_fee": leg.payee_fee,
        # Without a share nothing of it was ever held.
        "to_payer": None if share is None else share.to_payer,
        "to_payee": None if share is None else share.to_payee,
        "to_fees": None if share is None else share.to_fees,
    }


def _cases(
    connection: Connection,
    sealer: Sealer,
    exchange: Exchange,
    closed_at: datetime,
    issuer: str,
    now: datetime,
) -> list[dict[str, str | None]]:
    values = {
        "platform_id": exchange.platform_id,
        "exchange_id": exchange.id,
        "closed_at": closed_at,
    }
    found: list[dict[str, str | None]] = []
    for case_id in connection.scalars(_CASES, values).all():
        known = decisions.read(connection, exchange.platform_id, case_id, issuer)
        if known.case.closed_at is None:
            raise NoReceipt("A case on this exchange is still open.", case=encode("case", case_id))
        made = decisions.signed_decision(connection, sealer, known, now)
        digest = hashlib.sha256(made.encode()).hexdigest()
        found.append(
            {"case": encode("case", case_id), "outcome": known.case.outcome, "sha256": digest}
        )
    return found
