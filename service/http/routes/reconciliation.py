"""The provider's books beside ours: runs, differences, who resolves them; and what is held."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import date, datetime
from functools import partial
from tempfile import SpooledTemporaryFile
from typing import IO, Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from sqlalchemy import Connection, RowMapping
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from service import db
from service.exchanges import held_text
from service.http.auth import Actor, platform_key
from service.http.edge import Edge, edge_of, json_response
from service.http.idempotency import Answer, KeyHeader, once
from service.http.jsonbody import StrictRoute
from service.http.moment import moment_of
from service.http.pages import Cursor, Limit, decode_cursor, page, uuid_after
from service.http.problems import documented
from service.http.schemas.base import DifferenceId
from service.http.schemas.reconciliation import (
    DifferenceKind,
    DifferenceOut,
    DifferencePage,
    HeldOut,
    ResolveBody,
    RunPage,
    StateOut,
)
from service.ids import encode
from service.payments import resolutions, stops
from service.payments.resolutions import Resolution

router = APIRouter(prefix="/v1", tags=["Reconciliation"], route_class=StrictRoute)

Reader = Annotated[Actor, Depends(platform_key("books:read"))]
Writer = Annotated[Actor, Depends(platform_key("books:write"))]

#: A statement is written here first, so that no snapshot waits for a slow reader; more than this
#: goes to a file without a name.
_IN_MEMORY: Final = 1 << 20
_CHUNK: Final = 1 << 16


def _encoded(kind: str, value: UUID | None) -> str | None:
    return None if value is None else encode(kind, value)


def _run(row: RowMapping) -> dict[str, Any]:
    shown = {name: value for name, value in row.items() if name != "platform_id"}
    return {"object": "reconciliation_run", **shown}


def _difference(row: RowMapping) -> dict[str, Any]:
    as_is = ("provider", "day", "kind", "ours", "theirs", "unit", "description")
    ended = ("found_at", "resolved_at", "resolution", "reason", "resolved_by")
    return {
        "id": encode("difference", row["id"]),
        "object": "difference",
        **{name: row[name] for name in as_is},
        "movement": row["movement_ref"],
        "movement_kind": row["movement"],
        "payment": _encoded("payment", row["payment_id"]),
        "posting": row["posting_key"],
        "in_suspense": row["suspended"] and row["resolved_at"] is None,
        **{name: row[name] for name in ended},
        "member": _encoded("member", row["member_id"]),
        "reversed_by": _encoded("difference", row["reversed_by"]),
    }


@router.get(
    "/reconciliation",
    operation_id="get_reconciliation",
    summary="Read whether the books and the providers' agree",
    response_model=StateOut,
    responses=documented(),
)
async def get_reconciliation(request: Request, actor: Reader) -> Response:
    """While a difference is open no payout leaves: what has left cannot be called back."""

    def work(connection: Connection) -> dict[str, Any]:
        since, why = stops.standing(connection, actor.platform_id) or (None, None)
        return {
            "object": "reconciliation",
            "payouts_stopped_since": since,
            "payouts_stopped_because": why,
            "open_differences": resolutions.count_open(connection, actor.platform_id),
        }

    return json_response(await edge_of(request).run(actor.platform_id, work))


@router.get(
    "/reconciliation/runs",
    operation_id="list_reconciliation_runs",
    summary="List the days that were reconciled",
    response_model=RunPage,
    responses=documented(400, 422),
)
async def list_runs(
    request: Request, actor: Reader, limit: Limit = 25, cursor: Cursor = None
) -> Response:
    """Newest day first. A day is compared once it is over in UTC, and again on demand."""
    position = decode_cursor(cursor, date.fromisoformat, str)
    after = None if position is None else (position[0], position[1])
    rows = await edge_of(request).run(
        actor.platform_id,
        lambda c: resolutions.runs(c, actor.platform_id, limit=limit + 1, after=after),
    )
    return page(request, rows, limit, _run, lambda row: (row["day"], row["provider"]))


@router.get(
    "/reconciliation/differences",
    operation_id="list_differences",
    summary="List differences between the books and a provider's",
    response_model=DifferencePage,
    responses=documented(400, 422),
)
async def list_differences(
    request: Request,
    actor: Reader,
    open_: Annotated[bool | None, Query(alias="open", description="true: not resolved.")] = None,
    kind: Annotated[DifferenceKind | None, Query()] = None,
    limit: Limit = 25,
    cursor: Cursor = None,
) -> Response:
    """Newest first."""
    rows = await edge_of(request).run(
        actor.platform_id,
        lambda c: resolutions.page(
            c,
            actor.platform_id,
            limit=limit + 1,
            after=uuid_after(cursor),
            open_=open_,
            kind=kind,
        ),
    )
    return page(request, rows, limit, _difference, lambda row: (row["id"],))


@router.get(
    "/reconciliation/differences/{difference}",
    operation_id="get_difference",
    summary="Read a difference",
    response_model=DifferenceOut,
    responses=documented(404),
)
async def get_difference(request: Request, difference: DifferenceId, actor: Reader) -> Response:
    """What each side's books say, and what it was found to be."""
    row = await edge_of(request).run(
        actor.platform_id, lambda c: resolutions.find(c, actor.platform_id, difference)
    )
    return json_response(_difference(row))


@router.post(
    "/reconciliation/differences/{difference}/resolve",
    operation_id="resolve_difference",
    summary="Say what a difference was",
    response_model=DifferenceOut,
    responses=documented(400, 404, 409, 413, 415, 422),
)
async def resolve_difference(
    request: Request,
    difference: DifferenceId,
    body: ResolveBody,
    actor: Writer,
    key: KeyHeader = None,
) -> Response:
    """For good. The amount leaves suspense; after the last open difference payouts leave again."""
    edge = edge_of(request)
    by = _encoded("api_key", actor.key_id) or actor.name

    def work(connection: Connection, now: datetime) -> Answer:
        row = resolutions.resolve(
            connection,
            actor.platform_id,
            difference,
            Resolution(body.resolution),
            body.reason,
            by,
            now,
            body.member,
            body.reversed_by,
        )
        return Answer(_difference(row))

    response = await once(request, edge, actor, key, work)
    edge.wake()
    return response


@router.get(
    "/held",
    operation_id="get_held",
    summary="Read what is held, for whom, and what each hold would pay",
    response_model=HeldOut,
    responses=documented(),
)
async def get_held(request: Request, actor: Reader) -> Response:
    """Every account that is not empty, as of one instant: all lines of a unit sum to zero.

    `default` is what a hold pays if nobody does anything more.
    """
    return await _statement(edge_of(request), actor, "json")


@router.get(
    "/held.csv",
    operation_id="get_held_csv",
    summary="Read what is held, as a table",
    response_class=Response,
    responses={
        200: {
            "description": "RFC 4180, with a header line.",
            "content": {"text/csv": {"schema": {"type": "string"}}},
        },
        **documented(),
    },
)
async def get_held_csv(request: Request, actor: Reader) -> Response:
    """The same lines, then the sums of each unit."""
    return await _statement(edge_of(request), actor, "csv")


async def _statement(edge: Edge, actor: Actor, form: str) -> Response:
    now = await moment_of(edge, actor)
    file = await run_in_threadpool(partial(_written, edge, actor.platform_id, form, now))
    return StreamingResponse(
        _parts(file),
        media_type="text/csv" if form == "csv" else "application/json",
        headers={
            "Content-Length": str(_length(file)),
            "Content-Disposition": f'inline; filename="held-{now.date()}.{form}"',
        },
    )


def _written(edge: Edge, platform_id: UUID, form: str, now: datetime) -> IO[bytes]:
    """Write the statement as of one instant; nothing of it is in memory but a part."""
    still = edge.desk.engine.execution_options(isolation_level="REPEATABLE READ")
    file = SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - closed by who has sent it
    try:
        with db.transaction(still, platform_id) as connection:
            parts: Iterator[bytes] = held_text.FORMATS[form](connection, platform_id, now)
            file.writelines(parts)
    except BaseException:
        file.close()
        raise
    return file


def _length(file: IO[bytes]) -> int:
    length = file.tell()
    file.seek(0)
    return length


async def _parts(file: IO[bytes]) -> AsyncIterator[bytes]:
    with file:
        while part := await run_in_threadpool(file.read, _CHUNK):
            yield part
