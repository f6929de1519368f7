"""Events: what happened, to be read by cursor without missing or repeating anything."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from sqlalchemy import RowMapping
from starlette.responses import Response

from service.events import outbox
from service.http import presenters
from service.http.auth import Actor, platform_key
from service.http.edge import edge_of, json_response
from service.http.jsonbody import StrictRoute
from service.http.pages import Cursor, Limit, decode_cursor, encode_cursor, page
from service.http.problems import documented
from service.http.schemas.base import EventId, ExchangeId, Instant, MemberId
from service.http.schemas.platforms import EventOut, EventPage

router = APIRouter(prefix="/v1/events", tags=["Events"], route_class=StrictRoute)

Reader = Annotated[Actor, Depends(platform_key("events:read"))]
_XID: int = 2**64


def _transaction(value: object) -> str:
    if not isinstance(value, str) or not value.isascii() or not value.isdecimal():
        raise ValueError("not a transaction id")
    if len(value) > 20 or int(value) >= _XID:
        raise ValueError("not a transaction id")
    return value


@router.get(
    "",
    operation_id="list_events",
    summary="List events",
    response_model=EventPage,
    responses=documented(400, 422),
)
async def list_events(
    request: Request,
    actor: Reader,
    limit: Limit = 25,
    cursor: Cursor = None,
    order: Annotated[
        Literal["asc", "desc"], Query(description="asc follows the feed as it grows.")
    ] = "desc",
    exchange: ExchangeId | None = None,
    member: Annotated[MemberId | None, Query(description="Of their exchanges too.")] = None,
    type: Annotated[list[str] | None, Query(max_length=20)] = None,  # noqa: A002 - its name
    since: Instant | None = None,
    until: Instant | None = None,
) -> Response:
    """To follow the feed: `order=asc`, and next time `cursor` = the `feed_cursor` of this answer.

    So every event is seen once, in the order of commits; of one exchange, `sequence` is the order.
    """
    position = decode_cursor(cursor, _transaction, UUID)
    after = None if position is None else (position[0], position[1])
    found = await edge_of(request).run(
        actor.platform_id,
        lambda c: outbox.page(
            c,
            actor.platform_id,
            limit=limit + 1,
            order=order,
            after=after,
            exchange_id=exchange,
            member_id=member,
            types=type,
            since=since,
            until=until,
        ),
    )

    def where(row: RowMapping) -> tuple[str, str]:
        return row["tx"], str(row["id"])

    # Where a follower goes on from, also at the end of what there is.
    feed = encode_cursor(*where(found[:limit][-1])) if found else cursor
    return page(
        request,
        found,
        limit,
        lambda row: presenters.event(dict(row)),
        where,
        feed_cursor=feed if order == "asc" else None,
    )


@router.get(
    "/{event}",
    operation_id="get_event",
    summary="Read an event",
    response_model=EventOut,
    responses=documented(404),
)
async def get_event(request: Request, event: EventId, actor: Reader) -> Response:
    """As it was when it happened."""
    row = await edge_of(request).run(
        actor.platform_id, lambda c: outbox.find(c, actor.platform_id, event)
    )
    return json_response(presenters.event(dict(row)))
