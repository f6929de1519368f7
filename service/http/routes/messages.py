"""Messages to members, how they want them, and the one-tap links in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from sqlalchemy import Connection, RowMapping
from starlette.responses import Response

from service import clock
from service.http.auth import Actor, platform_key
from service.http.edge import edge_of, json_response
from service.http.idempotency import Answer, KeyHeader, once
from service.http.jsonbody import StrictRoute
from service.http.pages import Cursor, Limit, page, uuid_after
from service.http.problems import documented
from service.http.schemas.base import ExchangeId, LinkId, MemberId, MessageId
from service.http.schemas.messages import (
    LinkOut,
    LinkPage,
    LinksRevoked,
    MessageOut,
    MessagePage,
    PreferencesBody,
    PreferencesOut,
    State,
    WrittenMessage,
)
from service.ids import encode
from service.messages import addresses, links, store
from service.messages.addresses import Preference
from service.platforms import members

router = APIRouter(prefix="/v1", tags=["Messages"], route_class=StrictRoute)

Reader = Annotated[Actor, Depends(platform_key("messages:read"))]
Writer = Annotated[Actor, Depends(platform_key("messages:write"))]


def _message(row: Mapping[str, Any]) -> dict[str, Any]:
    exchange_id = row["exchange_id"]
    return {
        "id": encode("message", row["id"]),
        "object": "message",
        "member": encode("member", row["member_id"]),
        "exchange": None if exchange_id is None else encode("exchange", exchange_id),
        "event": encode("event", row["event_id"]),
        "template": row["template"],
        "helper": None if row["helper_id"] is None else encode("helper", row["helper_id"]),
        "category": row["category"],
        "channel": row["channel"],
        "state": row["state"],
        "reason": row["reason"],
        "attempts": row["attempts"],
        "resends": row["resends"],
        "created_at": row["made_at"],
        "due_at": row["due_at"],
        "sent_at": row["sent_at"],
    }


def _link(row: Mapping[str, Any]) -> dict[str, Any]:
    exchange_id, helper_id = row["exchange_id"], row["helper_id"]
    return {
        "id": encode("link", row["id"]),
        "object": "link",
        "member": encode("member", row["member_id"]),
        "exchange": None if exchange_id is None else encode("exchange", exchange_id),
        "helper": None if helper_id is None else encode("helper", helper_id),
        "purpose": row["purpose"],
        "created_at": row["created_at"],
        "expires_at": row["expires_at"],
        "revoked_at": row["revoked_at"],
        "last_used_at": row["last_used_at"],
    }


@router.get(
    "/messages",
    operation_id="list_messages",
    summary="List messages to members",
    response_model=MessagePage,
    responses=documented(400, 422),
)
async def list_messages(
    request: Request,
    actor: Reader,
    limit: Limit = 25,
    cursor: Cursor = None,
    member: MemberId | None = None,
    exchange: ExchangeId | None = None,
    state: Annotated[list[State] | None, Query(max_length=7)] = None,
) -> Response:
    """Newest first. `state=bounced&state=suppressed&state=failed`: whom to reach yourself."""
    found = await edge_of(request).run(
        actor.platform_id,
        lambda c: store.page(
            c,
            actor.platform_id,
            limit=limit + 1,
            after=uuid_after(cursor),
            member_id=member,
            exchange_id=exchange,
            states=state,
        ),
    )
    return page(request, found, limit, lambda row: _message(dict(row)), _position)


def _position(row: RowMapping) -> tuple[str]:
    return (str(row["id"]),)


@router.get(
    "/messages/{message}",
    operation_id="get_message",
    summary="Read a message to a member",
    response_model=WrittenMessage,
    responses=documented(404),
)
async def get_message(request: Request, message: MessageId, actor: Reader) -> Response:
    """With what was written. The token of its link is in the member's own copy alone."""
    row, written = await edge_of(request).run(
        actor.platform_id, lambda c: store.find(c, actor.platform_id, message)
    )
    shown = {
        "recipient": None if written is None else written["recipient"],
        "subject": None if written is None else written["subject"],
        "text": None if written is None else written["plain"],
        "html": None if written is None else written["html"],
    }
    return json_response(_message(dict(row)) | shown)


@router.post(
    "/messages/{message}/resend",
    operation_id="resend_message",
    summary="Send a message again",
    response_model=MessageOut,
    responses=documented(400, 404, 409),
)
async def resend_message(
    request: Request, message: MessageId, actor: Writer, key: KeyHeader = None
) -> Response:
    """Written anew, with a new link; also to an address that bounced before."""

    def work(connection: Connection, _now: datetime) -> Answer:
        row = store.resend(connection, actor.platform_id, message, clock.now())
        return Answer(_message(dict(row)))

    edge = edge_of(request)
    return await once(request, edge, actor, key, work)


@router.get(
    "/members/{member}/message-preferences",
    operation_id="get_message_preferences",
    summary="Read how a member wants messages",
    response_model=PreferencesOut,
    responses=documented(404),
)
async def get_preferences(request: Request, member: MemberId, actor: Reader) -> Response:
    """E-mail for everything, where nothing else was chosen."""

    def work(connection: Connection) -> Response:
        members.find(connection, actor.platform_id, member)
        chosen = addresses.preference(connection, actor.platform_id, member)
        return json_response(_preferences(member, chosen))

    return await edge_of(request).run(actor.platform_id, work)


def _preferences(member: MemberId, chosen: Preference) -> dict[str, Any]:
    return {
        "object": "message_preferences",
        "member": encode("member", member),
        "steps": chosen.steps,
        "news": chosen.news,
    }


@router.patch(
    "/members/{member}/message-preferences",
    operation_id="change_message_preferences",
    summary="Choose how a member gets messages",
    response_model=PreferencesOut,
    responses=documented(400, 404, 409, 413, 415, 422),
)
async def change_preferences(
    request: Request, member: MemberId, body: PreferencesBody, actor: Writer
) -> Response:
    """What a member must do (`steps`) cannot be switched off; what happened (`news`) can."""
    changes = body.model_dump(exclude_none=True)

    def work(connection: Connection) -> Response:
        members.find(connection, actor.platform_id, member)
        before = addresses.preference(connection, actor.platform_id, member)
        chosen = replace(before, **changes)
        addresses.prefer(connection, actor.platform_id, member, chosen, clock.now())
        return json_response(_preferences(member, chosen))

    return await edge_of(request).run(actor.platform_id, work)


@router.get(
    "/members/{member}/links",
    operation_id="list_member_links",
    summary="List a member's one-tap links",
    response_model=LinkPage,
    responses=documented(400, 404, 422),
)
async def list_links(
    request: Request,
    member: MemberId,
    actor: Reader,
    limit: Limit = 25,
    cursor: Cursor = None,
) -> Response:
    """Newest first, without their tokens."""
    found = await edge_of(request).run(
        actor.platform_id,
        lambda c: links.page(
            c, actor.platform_id, member, limit=limit + 1, after=uuid_after(cursor)
        ),
    )
    return page(request, found, limit, lambda row: _link(dict(row)), _position)


@router.post(
    "/members/{member}/links/{link}/revoke",
    operation_id="revoke_member_link",
    summary="End a one-tap link",
    response_model=LinkOut,
    responses=documented(400, 404, 409),
)
async def revoke_link(
    request: Request, member: MemberId, link: LinkId, actor: Writer, key: KeyHeader = None
) -> Response:
    """At once, and for good."""

    def work(connection: Connection, now: datetime) -> Answer:
        row = links.revoke(connection, actor.platform_id, member, link, now)
        return Answer(_link(dict(row)))

    return await once(request, edge_of(request), actor, key, work)


@router.post(
    "/members/{member}/links/revoke",
    operation_id="revoke_member_links",
    summary="End every one-tap link of a member",
    response_model=LinksRevoked,
    responses=documented(400, 404, 409),
)
async def revoke_links(
    request: Request, member: MemberId, actor: Writer, key: KeyHeader = None
) -> Response:
    """For a member whose mail somebody else may have read."""

    def work(connection: Connection, now: datetime) -> Answer:
        count = links.revoke_all(connection, actor.platform_id, member, now)
        return Answer({"member": encode("member", member), "links": count})

    return await once(request, edge_of(request), actor, key, work)
