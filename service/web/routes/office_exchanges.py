"""The office's exchanges: the list that is searched, and one with where its money went."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Request
from sqlalchemy import Connection, RowMapping
from starlette.responses import Response

from ledger import accounts
from service.exchanges import money, queries
from service.exchanges.deadlines import deadlines
from service.exchanges.kinds import Kind
from service.exchanges.model import Exchange, State
from service.http.pages import encode_cursor, uuid_after
from service.http.schemas.base import ExchangeId
from service.ids import encode, spoken
from service.messages import words
from service.platforms import helpers
from service.web.office import finding, flow
from service.web.office.session import PATH, Visit, enter, shown
from service.web.office.telling import Teller

router = APIRouter(prefix=f"{PATH}/exchanges", include_in_schema=False)

_ASKED: Final = ("q", "state", "kind")
_LONGEST: Final = 200


@router.get("", operation_id="open_office_exchanges")
async def exchanges(request: Request) -> Response:
    """The newest first; what is searched for is an id, a member, or a word of the title."""
    asked = {name: request.query_params.get(name, "")[:_LONGEST] for name in _ASKED}
    after = uuid_after(request.query_params.get("cursor"))

    def work(connection: Connection, visit: Visit, _now: datetime) -> Response:
        teller = Teller(connection, visit.actor.platform_id, visit.locale)
        found = finding.exchanges(
            connection,
            visit.actor.platform_id,
            asked["q"],
            asked["state"],
            asked["kind"],
            after,
        )
        listed = found[: finding.PAGE]
        teller.know(
            (leg.unit for one in listed for leg in one.legs),
            (member for one in listed for member in (one.payer_id, one.payee_id)),
        )
        following = None
        if len(found) > finding.PAGE:
            cursor = encode_cursor(str(listed[-1].id))
            following = f"?{urlencode({**asked, 'cursor': cursor})}"
        return shown(
            connection,
            visit,
            "office_exchanges.html",
            "exchanges",
            rows=[_row(one, teller) for one in listed],
            following=following,
            asked=asked,
            states=list(State),
            kinds=list(Kind),
        )

    return await enter(request, "exchanges:read", work)


def _row(one: Exchange, teller: Teller) -> dict[str, Any]:
    return {
        "id": encode("exchange", one.id),
        "title": one.terms["title"],
        "kind": one.kind,
        "state": one.state,
        "payer": teller.member(one.payer_id),
        "payee": teller.member(one.payee_id),
        "amounts": [teller.amount(leg.amount, leg.unit) for leg in one.legs],
        "at": teller.at(one.proposed_at),
        "case": one.case_id is not None,
    }


@router.get("/{exchange}", operation_id="open_office_exchange")
async def exchange(request: Request, exchange: ExchangeId) -> Response:
    """One exchange: its money drawn, what was agreed, and what happens next by when."""

    def work(connection: Connection, visit: Visit, _now: datetime) -> Response:
        platform_id = visit.actor.platform_id
        one = queries.find(connection, platform_id, exchange)
        posted = accounts.postings(connection, platform_id, money.reference(one.id))
        teller = Teller(connection, platform_id, visit.locale)
        teller.know(
            {leg.unit for leg in one.legs}
            | {moved.unit for posting in posted for moved in posting.transfers},
            (one.payer_id, one.payee_id),
        )
        names = {
            helper.id: words.clean(helper.name or "")
            for member_id in (one.payer_id, one.payee_id)
            for helper in helpers.page(connection, platform_id, member_id, limit=100)
        }
        drawn = flow.draw(
            posted, money.member_account(one.payer_id), money.member_account(one.payee_id)
        )
        return shown(
            connection,
            visit,
            "office_exchange.html",
            "exchanges",
            one={
                **_row(one, teller),
                "external_id": one.external_id,
                "spoken": spoken(one.id),
                "agreed_at": teller.at(one.agreed_at),
                "funded_at": teller.at(one.funded_at),
                "closed_at": teller.at(one.closed_at),
                "case_id": None if one.case_id is None else encode("case", one.case_id),
                "terms_hash": one.terms_hash,
            },
            given=[
                {
                    "at": teller.at(row["at"]),
                    "member": teller.member(row["member_id"]),
                    "word": row["word"],
                    "named": words.checkpoint(row["checkpoint"], visit.locale),
                    "method": row["method"],
                    "hand": _hand(visit, row, names),
                }
                for row in queries.confirmations(connection, platform_id, one.id)
            ],
            deadlines=[(line.step, teller.at(line.due_at)) for line in deadlines(one)],
            flow=drawn,
            names=_names(one, drawn, teller),
            amounts=[teller.amount(arrow.amount, arrow.unit) for arrow in drawn.arrows],
            legs=[
                {
                    "role": leg.role,
                    "state": leg.state,
                    "amount": teller.amount(leg.amount, leg.unit),
                    "disputed": leg.disputed,
                }
                for leg in one.legs
            ],
        )

    return await enter(request, "exchanges:read", work)


def _hand(visit: Visit, row: RowMapping, names: Mapping[UUID, str]) -> str:
    """Return whose hand gave a word, where it was not the member's own."""
    if row["helper_id"] is not None:
        return visit.say("hands.helper", name=names.get(row["helper_id"], ""))
    if row["operator"] is not None:
        return visit.say("hands.desk", name=words.clean(row["operator"]))
    return visit.say(f"hands.{row['via']}") if visit.say.has(f"hands.{row['via']}") else row["via"]


def _names(one: Exchange, drawn: flow.Flow, teller: Teller) -> dict[str, str | None]:
    """Return what each account is called where it belongs to somebody; others by their sort."""
    people = {
        money.member_account(member): teller.member(member)
        for member in (one.payer_id, one.payee_id)
    }
    return {box.path: people.get(box.path) for box in drawn.boxes}
