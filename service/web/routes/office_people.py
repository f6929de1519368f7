"""The office's members, keys and rules."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from fastapi import APIRouter, Request
from sqlalchemy import Connection
from starlette.responses import RedirectResponse, Response

from ledger import accounts, units
from service import clock
from service.exchanges import money
from service.exchanges.kinds import SHAPES
from service.http.pages import encode_cursor, uuid_after
from service.http.refusals import ScopeMissing
from service.http.schemas.base import KeyId, MemberId
from service.ids import decode, encode
from service.messages import words
from service.platforms import helpers, keys, members
from service.platforms.members import Member
from service.platforms.scopes import SCOPES
from service.policies import disputes as weights
from service.policies import reminders, windows
from service.web.forms import fields
from service.web.office.session import PATH, Visit, enter, shown
from service.web.office.telling import Teller
from service.web.render import HEADERS
from service.web.words import listed

router = APIRouter(prefix=PATH, include_in_schema=False)

_PAGE: Final = 50
_KEYS: Final = f"{PATH}/keys"
_LONGEST: Final = 200


@router.get("/members", operation_id="open_office_members")
async def list_members(request: Request) -> Response:
    """The newest first, or the one that the platform calls so."""
    said = request.query_params.get("q", "").strip()[:_LONGEST]
    after = uuid_after(request.query_params.get("cursor"))

    def work(connection: Connection, visit: Visit, _now: datetime) -> Response:
        found = _found(connection, visit, said) if said else None
        if found is None:
            found = members.page(
                connection,
                visit.actor.platform_id,
                limit=_PAGE + 1,
                after=after,
                external_id=said or None,
            )
        listed = found[:_PAGE]
        following = None
        if len(found) > _PAGE:
            following = f"?cursor={encode_cursor(str(listed[-1].id))}"
        return shown(
            connection,
            visit,
            "office_members.html",
            "members",
            rows=[(encode("member", one.id), one) for one in listed],
            following=following,
            said=said,
        )

    return await enter(request, "members:read", work)


def _found(connection: Connection, visit: Visit, said: str) -> list[Member] | None:
    """Return the member whose id of ours was said; None where none was."""
    try:
        member_id = decode("member", said)
    except ValueError:
        return None
    found = members.find_many(connection, visit.actor.platform_id, [member_id])
    return list(found.values())


@router.get("/members/{member}", operation_id="open_office_member")
async def one_member(request: Request, member: MemberId) -> Response:
    """Who it is, and what belongs to them."""

    def work(connection: Connection, visit: Visit, now: datetime) -> Response:
        platform_id = visit.actor.platform_id
        one = members.find(connection, platform_id, member)
        teller = Teller(connection, platform_id, visit.locale)
        named = words.catalogue(visit.locale, "words")["helper_may"]
        path = money.member_account(member)
        found = accounts.balances(connection, platform_id, [path])
        teller.know(balance.unit for balance in found)
        return shown(
            connection,
            visit,
            "office_member.html",
            "members",
            one=one,
            id=encode("member", member),
            created_at=teller.at(one.created_at),
            balances=[teller.amount(balance.balance, balance.unit) for balance in found],
            helpers=[
                {
                    "name": each.name or encode("helper", each.id),
                    "contact": each.email or each.phone or "",
                    "may": listed([named[may] for may in each.listed], visit.locale),
                    "until": teller.at(each.ended_at or each.ends_at),
                    "works": each.works(now),
                }
                for each in helpers.page(connection, platform_id, member, limit=_PAGE)
            ],
        )

    return await enter(request, "members:read", work)


def _keys(
    connection: Connection,
    visit: Visit,
    made: str | None = None,
    error: str | None = None,
) -> Response:
    now = clock.now()
    teller = Teller(connection, visit.actor.platform_id, visit.locale)
    found = keys.page(connection, visit.actor.platform_id, limit=100)
    rows = [
        {
            "id": encode("api_key", one.id),
            "label": one.label,
            "hint": one.hint,
            "scopes": one.scopes,
            "works": one.works(now),
            "mine": one.id == visit.actor.key_id,
            "created_at": teller.at(one.created_at),
            "used_at": teller.at(one.last_used_at),
            "ends_at": teller.at(one.expires_at),
            "rotates": one.works(now) and one.rotated_to is None,
        }
        for one in found
    ]
    return shown(
        connection,
        visit,
        "office_keys.html",
        "keys",
        rows=rows,
        scopes=[one for one in SCOPES if visit.may(one)],
        made=made,
        error=error,
    )


@router.get("/keys", operation_id="open_office_keys")
async def list_keys(request: Request) -> Response:
    """Every key with what it opens; never a key itself."""
    return await enter(request, "keys:read", lambda c, visit, _now: _keys(c, visit))


@router.post("/keys", operation_id="office_make_key")
async def make_key(request: Request) -> Response:
    """Make a key that opens no more than the visitor's own; it is shown on this page alone."""
    said = await fields(request)
    label = said.get("label", "").strip()
    wanted = [one for one in SCOPES if said.get(f"scope:{one}") == "yes"]

    def work(connection: Connection, visit: Visit, _now: datetime) -> Response:
        if not 0 < len(label) <= 100:
            return _keys(connection, visit, error="label")
        if not wanted:
            return _keys(connection, visit, error="scopes")
        if not visit.actor.scopes.issuperset(wanted):
            raise ScopeMissing("A key can give no more than it has.")
        actor = visit.actor
        _, secret = keys.create(
            connection, actor.platform_id, actor.mode, label, wanted, clock.now()
        )
        return _keys(connection, visit, made=secret)

    return await enter(request, "keys:write", work)


@router.post("/keys/{api_key}/rotate", operation_id="office_rotate_key")
async def rotate_key(request: Request, api_key: KeyId) -> Response:
    """Replace a key; the old one works a while longer."""

    def work(connection: Connection, visit: Visit, _now: datetime) -> Response:
        actor = visit.actor
        old = keys.find(connection, actor.platform_id, api_key)
        if not actor.scopes.issuperset(old.scopes):
            raise ScopeMissing("A key can give no more than it has.")
        _, secret = keys.rotate(connection, actor.platform_id, api_key, actor.mode, clock.now())
        return _keys(connection, visit, made=secret)

    return await enter(request, "keys:write", work)


@router.post("/keys/{api_key}/revoke", operation_id="office_revoke_key")
async def revoke_key(request: Request, api_key: KeyId) -> Response:
    """End a key at once; twice is once."""

    def work(connection: Connection, visit: Visit, _now: datetime) -> Response:
        keys.revoke(connection, visit.actor.platform_id, api_key, clock.now())
        return RedirectResponse(_KEYS, 303, HEADERS)

    return await enter(request, "keys:write", work)


@router.get("/rules", operation_id="open_office_rules")
async def rules(request: Request) -> Response:
    """What holds for every exchange: how long each side has, and when more people look."""

    def work(connection: Connection, visit: Visit, _now: datetime) -> Response:
        teller = Teller(connection, visit.actor.platform_id, visit.locale)
        own = units.community(connection, visit.actor.platform_id)
        return shown(
            connection,
            visit,
            "office_rules.html",
            "rules",
            windows=windows.WINDOWS,
            days={
                "escalate": windows.ESCALATE_AFTER.days,
                "decide": windows.DECIDE_BY.days,
                "refund": windows.REFUND_AFTER.days,
            },
            reminders=[int(one.total_seconds() // 3600) for one in reminders.BEFORE],
            second_from=weights.SECOND_FROM,
            panel_from=weights.PANEL_FROM,
            shapes=SHAPES,
            units=[(one, teller.amount(one.credit_limit, one.code)) for one in own],
        )

    return await enter(request, "books:read", work)
