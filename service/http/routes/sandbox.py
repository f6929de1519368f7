"""A sandbox's own clock, and members who act by themselves, so that endings can be rehearsed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from sqlalchemy import Connection, RowMapping
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from ledger.refusals import Refusal
from service import clock
from service.http.auth import Actor, platform_key
from service.http.edge import edge_of, json_response
from service.http.idempotency import Answer, KeyHeader, once, once_in_two
from service.http.jsonbody import StrictRoute
from service.http.moment import moment
from service.http.pages import Cursor, Limit, page, uuid_after
from service.http.problems import documented
from service.http.refusals import ScopeMissing
from service.http.schemas.base import ScriptId
from service.http.schemas.sandbox import (
    ActBody,
    AdvanceBody,
    AdvanceOut,
    ClockOut,
    ScriptBody,
    ScriptOut,
    ScriptPage,
)
from service.ids import encode
from service.platforms import clocks
from service.sandbox import durations, passing, scripts, silence
from service.sandbox.plans import PLANS, Act
from service.sandbox.refusals import LiveTimeIsReal

router = APIRouter(prefix="/v1/sandbox", tags=["Sandbox"], route_class=StrictRoute)

Reader = Annotated[Actor, Depends(platform_key("sandbox:read"))]
Writer = Annotated[Actor, Depends(platform_key("sandbox:write"))]

#: How many events the answer to a move lists.
_LISTED: Final = 100


def _only_sandbox(actor: Actor) -> None:
    if actor.mode == "live":
        raise LiveTimeIsReal(
            "This platform is live: its time is everybody's. Use a key of its sandbox."
        )


def _optional(kind: str, value: UUID | None) -> str | None:
    return None if value is None else encode(kind, value)


@router.get(
    "/clock",
    operation_id="get_sandbox_clock",
    summary="Read the sandbox's clock",
    response_model=ClockOut,
    responses=documented(409),
)
async def get_clock(request: Request, actor: Reader) -> Response:
    """What time it is on this sandbox. It runs as the real time does, and is never behind it."""
    _only_sandbox(actor)

    def work(connection: Connection) -> Response:
        ahead = clocks.ahead(connection, actor.platform_id)
        shown = {"object": "clock", "now": moment(connection, actor), "ahead": durations.say(ahead)}
        return json_response(shown)

    return await edge_of(request).run(actor.platform_id, work)


@router.post(
    "/clock/advance",
    operation_id="advance_sandbox_clock",
    summary="Move the sandbox's clock forward",
    response_model=AdvanceOut,
    responses=documented(400, 409, 413, 415, 422),
)
async def advance_clock(
    request: Request, body: AdvanceBody, actor: Writer, key: KeyHeader = None
) -> Response:
    """Everything that falls due on the way happens at its instant, in order, before this answers.

    Deadlines, payments, what banks and scripted members do. 400 days at most at once; API keys,
    members' tokens and idempotency keys go on ending in real time.
    """
    _only_sandbox(actor)
    edge = edge_of(request)
    by = None if body.by is None else durations.read(body.by)

    def begin(connection: Connection, now: datetime) -> Answer:
        move = passing.begin(connection, actor.platform_id, now, clock.now(), by=by, to=body.to)
        return Answer(None, resume=str(move))

    async def proceed(begun: str) -> None:
        await run_in_threadpool(
            passing.carry_out, edge.desk, actor.platform_id, UUID(begun), clock.now
        )

    def conclude(connection: Connection, begun: str, _now: datetime) -> Answer:
        return Answer(_moved(connection, actor.platform_id, UUID(begun)))

    return await once_in_two(request, edge, actor, key, begin, proceed, conclude)


def _moved(connection: Connection, platform_id: UUID, move_id: UUID) -> dict[str, Any]:
    move = passing.find(connection, platform_id, move_id)
    assert move.reached is not None
    events = passing.fired(connection, platform_id, move, _LISTED + 1)
    # The list of events ends before its 'until'.
    until = move.reached + timedelta(microseconds=1)
    query = urlencode({"order": "asc", "since": _instant(move.since), "until": _instant(until)})
    return {
        "object": "clock_advance",
        "since": move.since,
        "target": move.target,
        "now": move.reached,
        "ahead": durations.say(clocks.ahead(connection, platform_id)),
        "stopped_at": move.reached if move.reached < move.target else None,
        "fired": [_fired(row) for row in events[:_LISTED]],
        "has_more": len(events) > _LISTED,
        "events": f"/v1/events?{query}",
    }


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _fired(row: RowMapping) -> dict[str, Any]:
    return {
        "id": encode("event", row["id"]),
        "type": row["type"],
        "exchange": _optional("exchange", row["exchange_id"]),
        "member": _optional("member", row["member_id"]),
        "sequence": row["sequence"],
        "at": row["at"],
    }


@router.post(
    "/scripts",
    operation_id="create_sandbox_script",
    summary="Let a member act by themselves",
    status_code=201,
    response_model=ScriptOut,
    responses=documented(400, 404, 409, 413, 415, 422),
)
async def create_script(
    request: Request, body: ScriptBody, actor: Writer, key: KeyHeader = None
) -> Response:
    """By a name (`confirms_after`, `stays_silent`, `disputes`…) or by acts of your own, in order.

    Each act waits until it can be done, then as long as it says, then is done as the member would
    have done it, with the same checks. What is refused is kept here with its reason. One whose time
    has passed when a later one can be done is left out.
    """
    _only_sandbox(actor)
    if "members:act" not in actor.scopes:
        raise ScopeMissing("A script acts for a member: members:act is missing.")
    edge = edge_of(request)
    named = body.script if isinstance(body.script, str) else None
    plan = (
        [_act(one) for one in body.script]
        if not isinstance(body.script, str)
        else PLANS[body.script](durations.read(body.after))
    )
    whom = scripts.Whom(body.exchange, body.member, body.side)

    def work(connection: Connection, now: datetime) -> Answer:
        made = scripts.create(connection, actor.platform_id, whom, plan, named, now)
        shown = _whole(connection, actor.platform_id, made, now)
        return Answer(shown, 201, f"/v1/sandbox/scripts/{shown['id']}")

    return await once(request, edge, actor, key, work)


def _act(body: ActBody) -> Act:
    before = None if body.before_deadline is None else durations.read(body.before_deadline)
    return Act(body.do, durations.read(body.after), before, body.method, body.percent)


def _summary(row: RowMapping) -> dict[str, Any]:
    return {
        "id": encode("script", row["id"]),
        "object": "script",
        "name": row["name"],
        "exchange": _optional("exchange", row["exchange_id"]),
        "member": _optional("member", row["member_id"]),
        "side": row["side"],
        "script": row["acts"],
        "created_at": row["created_at"],
        "ended_at": row["ended_at"],
    }


def _whole(
    connection: Connection, platform_id: UUID, script_id: UUID, now: datetime
) -> dict[str, Any]:
    row = scripts.find(connection, platform_id, script_id)
    found = scripts.parts(connection, platform_id, script_id)
    why = silence.reasons(connection, platform_id, found, now)
    return {**_summary(row), "parts": [_part(part, why) for part in found]}


def _part(part: RowMapping, why: Mapping[UUID, Refusal]) -> dict[str, Any]:
    left = part["acts"][part["place"] :] if part["ended_at"] is None else []
    reason = why.get(part["exchange_id"])
    return {
        "exchange": encode("exchange", part["exchange_id"]),
        "side": part["side"],
        "next": left[0] if left else None,
        "next_at": part["due_at"],
        "waits": None if reason is None else {"code": reason.code, "detail": reason.detail},
        "done": part["done"],
        "ended_at": part["ended_at"],
    }


@router.get(
    "/scripts",
    operation_id="list_sandbox_scripts",
    summary="List scripts",
    response_model=ScriptPage,
    responses=documented(400, 409, 422),
)
async def list_scripts(
    request: Request, actor: Reader, limit: Limit = 25, cursor: Cursor = None
) -> Response:
    """Newest first, without what they did."""
    _only_sandbox(actor)
    rows = await edge_of(request).run(
        actor.platform_id,
        lambda c: scripts.page(c, actor.platform_id, limit=limit + 1, after=uuid_after(cursor)),
    )
    return page(request, rows, limit, _summary, lambda row: (row["id"],))


@router.get(
    "/scripts/{script}",
    operation_id="get_sandbox_script",
    summary="Read a script",
    response_model=ScriptOut,
    responses=documented(404, 409),
)
async def get_script(request: Request, script: ScriptId, actor: Reader) -> Response:
    """What it did, with what was refused and why, and what comes next."""
    _only_sandbox(actor)

    def work(connection: Connection) -> Response:
        return json_response(
            _whole(connection, actor.platform_id, script, moment(connection, actor))
        )

    return await edge_of(request).run(actor.platform_id, work)


@router.delete(
    "/scripts/{script}",
    operation_id="stop_sandbox_script",
    summary="Stop a script",
    response_model=ScriptOut,
    responses=documented(404, 409),
)
async def stop_script(request: Request, script: ScriptId, actor: Writer) -> Response:
    """What it did stays done. The same again changes nothing."""
    _only_sandbox(actor)

    def work(connection: Connection) -> Response:
        scripts.stop(connection, actor.platform_id, script, moment(connection, actor))
        shown = _whole(connection, actor.platform_id, script, moment(connection, actor))
        return json_response(shown)

    return await edge_of(request).run(actor.platform_id, work)
