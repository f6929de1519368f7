"""The statement of what is held, as one JSON document or as CSV, written while it is read."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from io import StringIO
from typing import Any, Final
from uuid import UUID

import orjson
from sqlalchemy import Connection

from service.exchanges.held import Line, Party, Section, Total, statement, totals_of
from service.ids import encode

#: The columns of the CSV file, in this order; one line an account, then one a unit.
COLUMNS: Final = (
    "section",
    "account",
    "unit",
    "decimals",
    "amount",
    "exchange",
    "exchange_external_id",
    "exchange_kind",
    "exchange_state",
    "leg",
    "leg_role",
    "payer",
    "payer_external_id",
    "payee",
    "payee_external_id",
    "member",
    "member_external_id",
    "payment",
    "payment_kind",
    "payment_state",
    "since",
    "blocked_at_bank",
    "default_step",
    "default_at",
    "default_to_payer",
    "default_to_payee",
    "default_to_fees",
    "default_with_bank",
    "default_outcome",
)
#: A spreadsheet takes text that begins so for a formula; what others named is made plain text.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
_OPTIONS: Final = orjson.OPT_UTC_Z


def as_json(connection: Connection, platform_id: UUID, at: datetime) -> Iterator[bytes]:
    """Yield one JSON document: ``lines``, then ``totals`` by unit; amounts are minor units."""
    totals = totals_of(connection, platform_id)
    head = {"object": "held", "platform": encode("platform", platform_id), "at": at}
    yield orjson.dumps(head, option=_OPTIONS)[:-1] + b',"lines":['
    first = True
    for line in _counted(statement(connection, platform_id), totals):
        yield (b"" if first else b",") + orjson.dumps(shown(line), option=_OPTIONS)
        first = False
    yield b'],"totals":' + orjson.dumps([_total(one) for one in totals.values()]) + b"}\n"


def as_csv(connection: Connection, platform_id: UUID, at: datetime) -> Iterator[bytes]:
    """Yield CSV (RFC 4180) with a header: a line an account, then the totals of each unit.

    ``at`` is the ``since`` of the totals.
    """
    totals = totals_of(connection, platform_id)
    text = StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="")

    def written() -> bytes:
        part = text.getvalue().encode()
        text.seek(0)
        text.truncate()
        return part

    writer.writeheader()
    for line in _counted(statement(connection, platform_id), totals):
        writer.writerow(_row(shown(line), totals[line.unit].decimals))
        yield written()
    for total in totals.values():
        writer.writerows(_total_rows(total, at))
    yield written()


FORMATS: Final[dict[str, Callable[[Connection, UUID, datetime], Iterator[bytes]]]] = {
    "csv": as_csv,
    "json": as_json,
}


def _counted(lines: Iterable[Line], totals: dict[str, Total]) -> Iterator[Line]:
    for line in lines:
        totals[line.unit].add(line)
        yield line


def _party(party: Party | None) -> dict[str, Any] | None:
    if party is None:
        return None
    return {"id": encode("member", party.id), "external_id": party.external_id}


def shown(line: Line) -> dict[str, Any]:
    """Return the JSON form of a line; what does not apply to its section is null."""
    exchange, leg, default = line.exchange, line.leg, line.default
    return {
        "section": line.section,
        "account": _account(line),
        "unit": line.unit,
        "amount": line.amount,
        "exchange": None
        if exchange is None
        else {
            "id": encode("exchange", exchange.id),
            "external_id": exchange.external_id,
            "kind": exchange.kind,
            "state": exchange.state,
        },
        "leg": None if leg is None else {"id": encode("leg", leg.id), "role": leg.role},
        "payer": _party(line.payer),
        "payee": _party(line.payee),
        "member": _party(line.member),
        "payment": None
        if line.payment_id is None
        else {
            "id": encode("payment", line.payment_id),
            "kind": line.payment_kind,
            "state": line.payment_state,
        },
        "since": line.since,
        "blocked_at_bank": line.blocked if line.section is Section.HOLD else None,
        "default": None
        if default is None
        else {
            "step": default.step,
            "at": default.due_at,
            "outcome": default.outcome,
            "to_payer": default.to_payer,
            "to_payee": default.to_payee,
            "to_fees": default.to_fees,
            "with_bank": default.with_bank,
        },
    }


def _account(line: Line) -> str:
    """Return the account's path with public ids, as everywhere else in the API."""
    section = line.section
    if section is Section.HOLD and line.leg is not None:
        return f"{section}:{encode('leg', line.leg.id)}"
    if section is Section.MEMBER and line.member is not None:
        return f"{section}:{encode('member', line.member.id)}"
    if section is Section.TRANSIT and line.payment_id is not None:
        return f"{section}:{encode('payment', line.payment_id)}"
    if section is Section.RECEIVABLE and line.exchange is not None:
        return f"{section}:{encode('exchange', line.exchange.id)}"
    return line.account


def _total(total: Total) -> dict[str, Any]:
    return {
        "unit": total.unit,
        "decimals": total.decimals,
        "sections": {section.value: amount for section, amount in total.sections.items()},
        "total": total.total,
        "default_to_payers": total.default_to_payers,
        "default_to_payees": total.default_to_payees,
        "default_to_fees": total.default_to_fees,
    }


def _row(line: dict[str, Any], decimals: int) -> dict[str, Any]:
    """Flatten a line's JSON form: ``{"leg": {"id": …, "role": …}}`` is ``leg`` and ``leg_role``."""
    row: dict[str, Any] = {"decimals": decimals}
    for name, value in line.items():
        if isinstance(value, dict):
            for part, inner in value.items():
                row[name if part == "id" else f"{name}_{part}"] = _cell(inner)
        elif value is not None:
            row[name] = _cell(value)
    return row


def _cell(value: object) -> object:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds").replace("+00:00", "Z")
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value


def _total_rows(total: Total, at: datetime) -> Iterator[dict[str, Any]]:
    """Yield the sums of a unit, one line a section; ``total_of_unit`` at the end is zero."""
    same = {"unit": total.unit, "decimals": total.decimals, "since": _cell(at)}
    for section, amount in total.sections.items():
        row = {**same, "section": f"total:{section}", "amount": amount}
        if section is Section.HOLD:
            row |= {
                "default_to_payer": total.default_to_payers,
                "default_to_payee": total.default_to_payees,
                "default_to_fees": total.default_to_fees,
            }
        yield row
    yield {**same, "section": "total_of_unit", "amount": total.total}
