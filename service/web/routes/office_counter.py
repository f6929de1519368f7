"""The counter: a person without a telephone brings the slip, and somebody enters its code.

Nobody at the counter knows a code: it is on the paper that the other side gave away in person.
What is entered is a member's step like any other, and a wrong code counts as one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from fastapi import APIRouter, Request
from sqlalchemy import Connection
from starlette.responses import RedirectResponse, Response

from ledger.refusals import Refusal
from service import clock
from service.exchanges import helping, queries
from service.exchanges.advance import advance
from service.exchanges.commands import Command, Who
from service.exchanges.decide import Rules
from service.exchanges.kinds import LegRole, Role, shows_code
from service.exchanges.model import Checkpoint, Exchange, LegState
from service.http.edge import edge_of
from service.http.schemas.base import CheckpointName, ExchangeId
from service.ids import encode, spoken
from service.messages import words
from service.platforms import clocks, keys
from service.web.forms import fields
from service.web.office import finding
from service.web.office.session import PATH, Visit, enter, shown
from service.web.office.telling import Teller
from service.web.render import HEADERS

COUNTER: Final = f"{PATH}/counter"
#: Whoever enters a code acts for a member.
SCOPE: Final = "members:act"
_LONGEST: Final = 100

router = APIRouter(prefix=COUNTER, include_in_schema=False)


@dataclass(frozen=True, slots=True)
class Slip:
    """The exchange of a slip as the counter sees it: who gave the paper, and who brings it."""

    exchange: Exchange
    point: Checkpoint
    holder: Role

    @property
    def bringer(self) -> Role:
        """The side whose step it is to enter the code."""
        return self.holder.other


def _slip(exchange: Exchange) -> Slip | None:
    """Return what a code can be entered for now; None where there is nothing."""
    point = exchange.current
    if point is None or point.code is None or exchange.closed_at is not None:
        return None
    return Slip(exchange, point, shows_code(exchange.kind, point.name))


@router.get("", operation_id="open_office_counter")
async def find(request: Request) -> Response:
    """Ask for the number on the slip."""
    said = request.query_params.get("q", "").strip()[:_LONGEST]

    def work(connection: Connection, visit: Visit, _now: datetime) -> Response:
        found = []
        if said:
            key = (connection, visit.actor.platform_id, said, "", "", None)
            found = finding.exchanges(*key)[:10]
        if len(found) == 1:
            return _page(connection, visit, found[0])
        teller = Teller(connection, visit.actor.platform_id, visit.locale)
        teller.know((), (one for each in found for one in (each.payer_id, each.payee_id)))
        rows = [
            (encode("exchange", one.id), one.terms["title"], teller.member(one.payer_id),
             teller.member(one.payee_id))
            for one in found
        ]  # fmt: skip
        return shown(
            connection, visit, "office_counter.html", "counter", said=said, rows=rows, slip=None
        )

    return await enter(request, SCOPE, work)


@router.get("/{exchange}", operation_id="open_office_counter_slip")
async def look(request: Request, exchange: ExchangeId) -> Response:
    """Show who has to stand there, and ask for the code."""

    def work(connection: Connection, visit: Visit, _now: datetime) -> Response:
        return _page(connection, visit, queries.find(connection, visit.actor.platform_id, exchange))

    return await enter(request, SCOPE, work)


def _page(
    connection: Connection,
    visit: Visit,
    exchange: Exchange,
    error: str | None = None,
    form: dict[str, str] | None = None,
    **facts: Any,
) -> Response:
    teller = Teller(connection, visit.actor.platform_id, visit.locale)
    teller.know({leg.unit for leg in exchange.legs}, (exchange.payer_id, exchange.payee_id))
    found = _slip(exchange)
    slip: dict[str, Any] = {
        "id": encode("exchange", exchange.id),
        "number": spoken(exchange.id),
        "title": words.clean(str(exchange.terms["title"])),
        "open": found is not None,
    }
    if found is not None:
        code = found.point.code
        slip |= {
            "checkpoint": found.point.name,
            "named": words.checkpoint(found.point.name, visit.locale),
            "bringer": teller.member(exchange.member(found.bringer)),
            "holder": teller.member(exchange.member(found.holder)),
            "locked": code is not None and code.locked_at is not None,
            "moves": _moves(found, teller),
        }
    answer = shown(
        connection,
        visit,
        "office_counter.html",
        "counter",
        said="",
        rows=[],
        slip=slip,
        entered=form or {},
        wrong=error,
        error=None if error is None else visit.say(f"counter.{error}", **facts),
    )
    answer.status_code = 200 if error is None else 409
    return answer


def _moves(slip: Slip, teller: Teller) -> list[tuple[str, str]]:
    """Return what the code moves: to whom, and how much."""
    found = []
    for leg in slip.exchange.legs:
        if leg.checkpoint != slip.point.name or leg.state is not LegState.HELD or leg.disputed:
            continue
        to = Role.PAYER if leg.role is LegRole.DEPOSIT else Role.PAYEE
        minor = leg.held if leg.role is LegRole.DEPOSIT else leg.amount - leg.payee_fee
        found.append((teller.member(slip.exchange.member(to)), teller.amount(minor, leg.unit)))
    return found


@router.post("/{exchange}", operation_id="enter_code_at_office_counter")
async def enter_code(request: Request, exchange: ExchangeId) -> Response:
    """Enter the code for the member who stands there; a second press shows the receipt again."""
    edge, form = edge_of(request), await fields(request)
    operator = " ".join(form.get("operator", "").split())

    def work(connection: Connection, visit: Visit, now: datetime) -> Response:
        platform_id = visit.actor.platform_id
        one = queries.find(connection, platform_id, exchange)
        wanted = form.get("checkpoint", "")
        receipt = f"{COUNTER}/{encode('exchange', exchange)}/{wanted}"
        if _given(connection, one, wanted):
            return RedirectResponse(receipt, 303, HEADERS)
        slip = _slip(one)
        if slip is None or wanted != slip.point.name:
            return _page(connection, visit, one, "changed")
        code = form.get("code", "").strip()
        if not code:
            return _page(connection, visit, one, "code_missing", form)
        if not 0 < len(operator) <= _LONGEST:
            return _page(connection, visit, one, "operator_missing", form)
        if form.get("seen") != "yes":
            return _page(connection, visit, one, "seen_missing", form)
        who = Who(
            one.member(slip.bringer),
            helping.DESK,
            operator=f"{operator} · {_key_label(connection, visit)}",
        )
        command = Command(one.id, "enter_code", who, checkpoint=wanted, code=code)
        clocks.hold(connection, platform_id)
        # A wrong code is a fact to keep: it is told, and its transaction commits.
        (outcome,) = advance(connection, platform_id, [command], Rules(now, edge.codes))
        refusal = outcome if isinstance(outcome, Refusal) else outcome.refusal
        if refusal is None:
            return RedirectResponse(receipt, 303, HEADERS)
        after = queries.find(connection, platform_id, exchange)
        left = refusal.facts.get("tries_left")
        name = refusal.code if visit.say.has(f"counter.{refusal.code}") else "refused"
        name = "code_locked" if left == 0 else name
        return _page(connection, visit, after, name, {**form, "code": ""}, left=left)

    answer = await enter(request, SCOPE, work)
    edge.wake()
    return answer


def _key_label(connection: Connection, visit: Visit) -> str:
    """Return what the platform calls the key that was brought: what is typed proves nothing."""
    assert visit.actor.key_id is not None
    return keys.find(connection, visit.actor.platform_id, visit.actor.key_id).label


def _given(connection: Connection, exchange: Exchange, checkpoint: str) -> dict[str, Any] | None:
    """Return the word that was given for a checkpoint at the desk, by who brought the slip."""
    found = queries.confirmations(connection, exchange.platform_id, exchange.id)
    for row in reversed(found):
        if row["checkpoint"] == checkpoint and row["via"] == helping.DESK:
            bringer = shows_code(exchange.kind, checkpoint).other
            if row["role"] == bringer:
                return dict(row)
    return None


@router.get("/{exchange}/{checkpoint}", operation_id="open_office_counter_receipt")
async def receipt(request: Request, exchange: ExchangeId, checkpoint: CheckpointName) -> Response:
    """Show what was done, for printing: it may be all that the member has of it."""

    def work(connection: Connection, visit: Visit, _now: datetime) -> Response:
        platform_id = visit.actor.platform_id
        one = queries.find(connection, platform_id, exchange)
        given = _given(connection, one, checkpoint)
        if given is None:
            return RedirectResponse(COUNTER, 303, HEADERS)
        teller = Teller(connection, platform_id, visit.locale)
        bringer = one.role_of(given["member_id"])
        assert bringer is not None
        teller.know({leg.unit for leg in one.legs}, (one.payer_id, one.payee_id))
        return shown(
            connection,
            visit,
            "office_counter_receipt.html",
            "counter",
            title=words.clean(str(one.terms["title"])),
            number=spoken(one.id),
            id=encode("exchange", one.id),
            fact=encode("confirmation", given["id"]),
            named=words.checkpoint(checkpoint, visit.locale),
            member=teller.member(given["member_id"]),
            other=teller.member(one.member(bringer.other)),
            operator=given["operator"],
            at=teller.at(given["at"]),
            printed=teller.at(clock.now()),
            over=one.closed_at is not None,
        )

    return await enter(request, SCOPE, work)
