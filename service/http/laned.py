"""``Idempotency-Key`` for a whole batch: claim, act and remember, one statement each.

What :mod:`service.http.idempotency` promises for one request holds for each of a lane's: the answer
is stored in the transaction of the effect, a refusal is not stored, the same key again gets the
first answer, and one that is still running elsewhere is told so.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any, Final, Generic, TypeVar
from uuid import UUID

from fastapi import Request
from sqlalchemy import Connection, RowMapping, text
from starlette.responses import Response

from ledger.refusals import Refusal
from service.http import problems
from service.http.auth import Actor
from service.http.edge import Edge, dumps, request_id
from service.http.idempotency import (
    KEPT,
    RUNNING,
    Answer,
    AnsweredMeanwhile,
    Call,
    call_of,
    replay,
    respond,
)
from service.http.lanes import Kind
from service.http.moment import moment
from service.http.refusals import IdempotencyKeyInUse, IdempotencyKeyReused

Command = TypeVar("Command")


@dataclass(frozen=True, slots=True)
class Job(Generic[Command]):
    """One request of a batch: who asks, under which key, and for what."""

    edge: Edge
    request_id: str
    actor: Actor
    call: Call
    command: Command


#: Answers one outcome for each job, in order; one that is refused leaves no trace.
Decide = Callable[[Connection, UUID, Sequence[Job[Command]], datetime], Sequence[Answer | Refusal]]


def laned(
    name: str,
    decide: Decide[Command],
    subject: Callable[[Command], Hashable] | None = None,
    *,
    concludes: bool = False,
) -> Kind[Job[Command], Response | str]:
    """Return the kind of lane in which ``decide`` acts on many.

    ``subject``: what a command is about, where two about the same one must follow each other.
    ``concludes``: the work was begun in another lane, which kept under its key where to go on.
    """

    def apart(job: Job[Command]) -> Sequence[Hashable]:
        key = (job.actor.name, job.call.key)
        return [key] if subject is None else [key, subject(job.command)]

    return Kind(name, partial(_together, decide, concludes), apart)


async def once_in_lane(
    request: Request,
    edge: Edge,
    actor: Actor,
    key: str | None,
    kind: Kind[Job[Command], Response | str],
    command: Command,
) -> Response:
    """Do ``command`` once for this key, together with whatever of its kind is there."""
    call = await call_of(request, actor, key)
    said = await _run(kind, Job(edge, request_id(request), actor, call, command))
    assert isinstance(said, Response), "a lane whose work goes on has a conclusion"
    return said


async def once_in_two_lanes(
    request: Request,
    edge: Edge,
    actor: Actor,
    key: str | None,
    kinds: tuple[Kind[Job[Command], Response | str], Kind[Job[Command], Response | str]],
    command: Command,
    proceed: Callable[[str], Awaitable[Command]],
) -> Response:
    """Do a command that calls a provider: commit the rows, call, then record the answer.

    The first lane may answer with ``resume`` set; ``proceed`` then makes the call, outside of any
    transaction, and returns the command of the second lane, which records what was answered and
    makes the answer to keep. A replay of a request that died in between goes on from its rows.
    """
    call = await call_of(request, actor, key)
    job = Job(edge, request_id(request), actor, call, command)
    said = await _run(kinds[0], job)
    if isinstance(said, str):
        concluding = replace(job, command=await proceed(said))
        said = await _run(kinds[1], concluding)
    assert isinstance(said, Response), "a conclusion is an answer"
    return said


async def _run(kind: Kind[Job[Command], Response | str], job: Job[Command]) -> Response | str:
    lanes, platform_id = job.edge.lanes, job.actor.platform_id
    try:
        return await lanes.run(kind, platform_id, job)
    except AnsweredMeanwhile:
        try:
            return await lanes.run(kind, platform_id, job)
        except AnsweredMeanwhile as again:
            raise IdempotencyKeyInUse(RUNNING) from again


# Each key is looked up by the index, however many others wait beside it: no plan may read them all.
_CLAIM: Final = text(
    "SELECT pg_try_advisory_xact_lock(hashtextextended(asked.name, 0)) AS free, i.* "
    "FROM unnest(CAST(:names AS text[]), CAST(:actors AS text[]), CAST(:keys AS text[])) "
    "WITH ORDINALITY AS asked(name, actor, key, at) "
    "LEFT JOIN LATERAL (SELECT i.* FROM service.idempotency i "
    " WHERE i.platform_id = :platform_id AND i.actor = asked.actor AND i.key = asked.key "
    " AND i.expires_at > :now LIMIT 1) AS i ON true ORDER BY asked.at"
)
# As one JSON text, which is made in one go; an array of bodies is escaped one by one, in Python.
_REMEMBER: Final = text(
    "INSERT INTO service.idempotency AS i (platform_id, actor, key, fingerprint, status, body, "
    "location, created_at, expires_at) "
    "SELECT :platform_id, said.actor, said.key, decode(said.fingerprint, 'hex'), said.status, "
    "said.body, said.location, :now, :expires_at "
    "FROM json_to_recordset(CAST(:rows AS json)) AS said(actor text, key text, fingerprint text, "
    "status smallint, body text, location text) "
    "ON CONFLICT (platform_id, actor, key) DO UPDATE "
    "SET status = EXCLUDED.status, body = EXCLUDED.body, location = EXCLUDED.location, "
    "fingerprint = EXCLUDED.fingerprint, created_at = EXCLUDED.created_at, "
    "expires_at = EXCLUDED.expires_at "
    # Nobody's finished answer is ever overwritten: a racer that got here is run again and sees it.
    "WHERE i.status IS NULL OR i.expires_at <= EXCLUDED.created_at"
)


def _together(
    decide: Decide[Command],
    concludes: bool,
    connection: Connection,
    platform_id: UUID,
    jobs: Sequence[Job[Command]],
) -> Sequence[Response | str | Exception]:
    outcomes = _claim(connection, platform_id, jobs)
    if concludes:
        outcomes = [None if isinstance(one, str) else one for one in outcomes]
    fresh = [at for at, outcome in enumerate(outcomes) if outcome is None]
    if fresh:
        now = moment(connection, jobs[0].actor, hold=True)
        asked = [jobs[at] for at in fresh]
        decided = decide(connection, platform_id, asked, now)
        acted = _finish(connection, platform_id, asked, decided)
        for at, outcome in zip(fresh, acted, strict=True):
            outcomes[at] = outcome
    return [outcome for outcome in outcomes if outcome is not None]


def _claim(
    connection: Connection, platform_id: UUID, jobs: Sequence[Job[Any]]
) -> list[Response | str | Exception | None]:
    """Hold every key for this transaction; answer what is stored, and None where nothing is."""
    values = {
        "names": [f"{platform_id}|{job.actor.name}|{job.call.key}" for job in jobs],
        "actors": [job.actor.name for job in jobs],
        "keys": [job.call.key for job in jobs],
        "platform_id": platform_id,
        "now": max(job.call.now for job in jobs),
    }
    rows = connection.execute(_CLAIM, values).mappings().all()
    return [_stored(job, row) for job, row in zip(jobs, rows, strict=True)]


def _stored(job: Job[Any], row: RowMapping) -> Response | str | Exception | None:
    if not row["free"] and row["status"] is None:
        return IdempotencyKeyInUse(RUNNING)
    if row["key"] is None:
        return None
    if bytes(row["fingerprint"]) != job.call.fingerprint:
        return IdempotencyKeyReused(
            "This key came with another request before; use a new key for a new request."
        )
    if row["status"] is None:
        return str(row["location"])
    return replay(row)


#: What is kept of an answer: status, body and place; without a status, where the work goes on.
_Kept = tuple[Job[Any], int | None, str | None, str | None]


def _finish(
    connection: Connection,
    platform_id: UUID,
    jobs: Sequence[Job[Any]],
    decided: Sequence[Answer | Refusal],
) -> Sequence[Response | str | Exception]:
    """Store the answers, all in one statement, and return what to say."""
    said: list[Response | str | Exception] = []
    kept: list[_Kept] = []
    refused: list[int] = []
    for job, one in zip(jobs, decided, strict=True):
        if isinstance(one, Refusal):
            refused.append(len(said))
            said.append(one)
            continue
        if one.refusal is not None:
            problem = problems.of_refusal(one.refusal, job.request_id)
            kept.append((job, problem["status"], dumps(problem).decode(), None))
            said.append(problems.respond(problem))
            continue
        if one.resume is not None:
            kept.append((job, None, None, one.resume))
            said.append(one.resume)
            continue
        body = dumps(one.body).decode()
        kept.append((job, one.status, body, one.location))
        said.append(respond(one.status, body, one.location))
    _remember(connection, platform_id, kept)
    if refused:
        # Its own twin may have ended between our look and our lock: then what stood in the way is
        # what was asked for, and a second look finds the answer.
        again = _claim(connection, platform_id, [jobs[at] for at in refused])
        for at, stored in zip(refused, again, strict=True):
            if stored is not None:
                said[at] = stored
    return said


def _remember(
    connection: Connection,
    platform_id: UUID,
    kept: Sequence[_Kept],
) -> None:
    if not kept:
        return
    now = max(job.call.now for job, *_ in kept)
    written = connection.execute(
        _REMEMBER,
        {
            "platform_id": platform_id,
            "rows": dumps(
                [
                    {
                        "actor": job.actor.name,
                        "key": job.call.key,
                        "fingerprint": job.call.fingerprint.hex(),
                        "status": status,
                        "body": body,
                        "location": location,
                    }
                    for job, status, body, location in kept
                ]
            ).decode(),
            "now": now,
            "expires_at": now + KEPT,
        },
    )
    if written.rowcount != len(kept):
        raise AnsweredMeanwhile
