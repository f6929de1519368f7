"""The books: units, balances, statements, postings."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request
from sqlalchemy import Connection
from starlette.responses import Response

from ledger import accounts, units
from ledger.accounts import Balance, Line
from ledger.units import Unit
from service.http import presenters
from service.http.auth import Actor, platform_key
from service.http.edge import edge_of, json_response
from service.http.idempotency import Answer, KeyHeader, once
from service.http.jsonbody import StrictRoute
from service.http.pages import Cursor, Limit, decode_cursor, page, whole
from service.http.paths import internal
from service.http.problems import documented
from service.http.refusals import UnitNotFound
from service.http.schemas.base import Instant, UnitCode
from service.http.schemas.platforms import (
    BalanceList,
    PostingList,
    StatementPage,
    UnitBody,
    UnitList,
    UnitOut,
)

router = APIRouter(prefix="/v1", tags=["Books"], route_class=StrictRoute)

Reader = Annotated[Actor, Depends(platform_key("books:read"))]
#: Accounts of the platform itself; members' and holds' are many, and have addresses of their own.
OWN: tuple[str, ...] = ("platform", "provider", "receivable", "expense", "suspense")


def balances_of(found: Sequence[Balance], at: datetime | None) -> Response:
    """Return the response of a list of balances."""
    return json_response({"data": [presenters.balance(one) for one in found], "at": at})


def known_unit(connection: Connection, platform_id: UUID, code: str) -> Unit:
    """Return the unit that an address names.

    Raises:
        UnitNotFound
    """
    found = units.find_many(connection, platform_id, [code]).get(code)
    if found is None:
        raise UnitNotFound(f"'{code}' is neither an ISO 4217 currency nor a unit of this platform.")
    return found


def statement_page(
    request: Request,
    connection: Connection,
    platform_id: UUID,
    path: str,
    unit: str,
    limit: int,
    cursor: str | None,
) -> Response:
    """Return a page of an account's statement."""
    position = decode_cursor(cursor, whole, whole)
    after = None if position is None else (position[0], position[1])
    found = accounts.statement(connection, platform_id, path, unit, limit=limit + 1, after=after)

    def before(line: Line) -> tuple[int, int]:
        return line.transfer_id, line.balance - line.amount

    return page(request, found, limit, presenters.line, before)


@router.post(
    "/units",
    operation_id="define_unit",
    summary="Define a unit of the community",
    status_code=201,
    response_model=UnitOut,
    responses=documented(400, 409, 413, 415, 422),
)
async def define_unit(
    request: Request,
    body: UnitBody,
    actor: Annotated[Actor, Depends(platform_key("units:write"))],
    key: KeyHeader = None,
) -> Response:
    """Hours, points, a local currency: held and released as money is, with no provider."""

    def work(connection: Connection, _now: datetime) -> Answer:
        made = units.define(connection, actor.platform_id, **body.model_dump())
        return Answer(presenters.unit(made), 201, f"/v1/units/{made.code}")

    return await once(request, edge_of(request), actor, key, work)


@router.get(
    "/units",
    operation_id="list_units",
    summary="List the community's units",
    response_model=UnitList,
    responses=documented(),
)
async def list_units(request: Request, actor: Reader) -> Response:
    """The platform's own; the currencies of ISO 4217 are known without being listed."""
    found = await edge_of(request).run(
        actor.platform_id, lambda c: units.community(c, actor.platform_id)
    )
    return json_response({"data": [presenters.unit(one) for one in found]})


@router.get(
    "/units/{unit}",
    operation_id="get_unit",
    summary="Read a unit",
    response_model=UnitOut,
    responses=documented(404, 422),
)
async def get_unit(
    request: Request, unit: Annotated[str, Path(max_length=12)], actor: Reader
) -> Response:
    """How many decimals it has: one of it is 10^exponent minor units."""
    found = await edge_of(request).run(
        actor.platform_id, lambda c: known_unit(c, actor.platform_id, unit)
    )
    return json_response(presenters.unit(found))


@router.get(
    "/balances",
    operation_id="list_balances",
    summary="Read the platform's own balances",
    response_model=BalanceList,
    responses=documented(422),
)
async def list_balances(request: Request, actor: Reader, at: Instant | None = None) -> Response:
    """Fees earned, what the providers hold (below zero: they owe it), what is unexplained."""

    def work(connection: Connection) -> Response:
        found = accounts.balances(connection, actor.platform_id, at=at, kinds=OWN)
        return balances_of(found, at)

    return await edge_of(request).run(actor.platform_id, work)


@router.get(
    "/accounts/{account}/statement",
    operation_id="get_statement",
    summary="Read the statement of an account",
    response_model=StatementPage,
    responses=documented(400, 404, 422),
)
async def statement(
    request: Request,
    account: Annotated[str, Path(max_length=300, examples=["platform:fees"])],
    unit: UnitCode,
    actor: Reader,
    limit: Limit = 25,
    cursor: Cursor = None,
) -> Response:
    """Newest first, with the balance after each line. An account never used has none."""
    return await edge_of(request).run(
        actor.platform_id,
        lambda c: statement_page(
            request, c, actor.platform_id, internal(account), unit, limit, cursor
        ),
    )


@router.get(
    "/postings",
    operation_id="list_postings",
    summary="List the postings under a reference",
    response_model=PostingList,
    responses=documented(422),
)
async def list_postings(
    request: Request,
    actor: Reader,
    reference: Annotated[str, Query(max_length=200, examples=["exchange:0193…"])],
) -> Response:
    """Oldest first."""
    found = await edge_of(request).run(
        actor.platform_id, lambda c: accounts.postings(c, actor.platform_id, internal(reference))
    )
    return json_response({"data": [presenters.posting(one) for one in found]})
