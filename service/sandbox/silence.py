"""Why a script does not act: what stands in the way of its next act, as a member would be told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, RowMapping

from ledger.refusals import Refusal
from service.exchanges import store
from service.exchanges.deadlines import deadlines
from service.exchanges.decide import check
from service.exchanges.kinds import Role
from service.exchanges.model import Exchange
from service.exchanges.steps import BY_NAME
from service.sandbox import acts
from service.sandbox.plans import DISPUTE
from service.sandbox.refusals import CannotDispute, NoDeadline


def reasons(
    connection: Connection, platform_id: UUID, parts: Iterable[RowMapping], now: datetime
) -> dict[UUID, Refusal]:
    """Return, by exchange, why the act at which a script's part stands is not done.

    Parts that have done all of theirs, and those that only wait for their time, are left out.
    """
    silent = [
        part for part in parts if part["due_at"] is None and part["place"] < len(part["acts"])
    ]
    exchanges = store.load(
        connection, platform_id, [part["exchange_id"] for part in silent], lock=False
    )
    found = {}
    for part in silent:
        exchange = exchanges[part["exchange_id"]]
        act = part["acts"][part["place"]]
        reason = _reason(connection, exchange, Role(part["side"]), act, now)
        if reason is not None:
            found[exchange.id] = reason
    return found


def _reason(
    connection: Connection, exchange: Exchange, side: Role, act: Mapping[str, Any], now: datetime
) -> Refusal | None:
    if act["do"] == DISPUTE:
        if side is not Role.PAYER:
            return CannotDispute("Only a payer asks their bank for money back: script the payer.")
        if not acts.is_collected(connection, exchange):
            return CannotDispute("No payment of this exchange was collected that a bank can take.")
        return None
    step = BY_NAME.get(act["do"])
    refusal = None if step is None else check(exchange, step, side, now)
    if refusal is not None or act.get("before_deadline") is None:
        return refusal
    if all(line.name == "remind_at" for line in deadlines(exchange)):
        return NoDeadline("The exchange has no deadline now; send 'after' instead.")
    return None
