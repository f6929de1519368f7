"""``Idempotency-Key``: the same request again gives the same answer and does nothing twice.

draft-ietf-httpapi-idempotency-key-header-07: missing 400, another request under the same key 422,
still running 409. The answer is stored in the transaction of the effect, so both commit or neither
does. A refusal changes nothing and is not stored: mended or tried later, the key works again.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, Final, TypeVar

from fastapi import Header, Request
from sqlalchemy import Connection, RowMapping, text
from starlette.responses import Response

from ledger.refusals import Refusal
from service import clock, db
from service.http import problems
from service.http.auth import Actor, Operator
from service.http.edge import Edge, dumps, request_id
from service.http.mediator_auth import Neutral
from service.http.moment import moment
from service.http.refusals import (
    IdempotencyKeyInUse,
    IdempotencyKeyInvalid,
    IdempotencyKeyMissing,
    IdempotencyKeyReused,
)

#: How long an answer is kept.
KEPT: Final = timedelta(days=30)
_KEY: Final = re.compile(r"[!#-~]{1,255}")

#: The header, for the signatures of routes.
KeyHeader = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="Any text of 1 to 255 printable characters that is new for each thing you "
        "want done, such as a UUID. Required. Kept 30 days.",
        examples=["8e03978e-40d5-43dd-bc93-6894a57f9324"],
    ),
]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a use case answers: a body and a status; ``resume`` means that a call is to follow.

    ``kept`` is what replays show instead of ``body``, where that holds a secret shown once.
    """

    body: Any
    status: int = 200
    location: str | None = None
    refusal: Refusal | None = None
    resume: str | None = None
    kept: Any = None


def check_key(key: str | None) -> str:
    """Return the bare key; RFC 8941's quoted string and a bare token are both taken.

    Raises:
        IdempotencyKeyMissing, IdempotencyKeyInvalid
    """
    if key is None:
        raise IdempotencyKeyMissing(
            "Send an Idempotency-Key header: a new UUID for each thing you want done."
        )
    bare = key[1:-1] if len(key) >= 2 and key[0] == key[-1] == '"' else key
    if not _KEY.fullmatch(bare):
        raise IdempotencyKeyInvalid(
            "The key has 1 to 255 printable ASCII characters, without spaces and quotes."
        )
    return bare


_CLAIM: Final = text(
    "SELECT pg_try_advisory_xact_lock(hashtextextended(:name, 0)) AS free, i.* FROM (SELECT 1) one "
    "LEFT JOIN service.idempotency i ON i.platform_id = :platform_id AND i.actor = :actor "
    "AND i.key = :key AND i.expires_at > :now"
)
_REMEMBER: Final = text(
    "INSERT INTO service.idempotency AS i (platform_id, actor, key, fingerprint, status, body, "
    "location, created_at, expires_at) VALUES (:platform_id, :actor, :key, :fingerprint, :status, "
    ":body, :location, :now, :expires_at) ON CONFLICT (platform_id, actor, key) DO UPDATE "
    "SET status = EXCLUDED.status, body = EXCLUDED.body, location = EXCLUDED.location, "
    "fingerprint = EXCLUDED.fingerprint, created_at = EXCLUDED.created_at, "
    "expires_at = EXCLUDED.expires_at "
    # Nobody's finished answer is ever overwritten: a racer that got here is run again and sees it.
    "WHERE i.status IS NULL OR i.expires_at <= EXCLUDED.created_at"
)


Work = Callable[[Connection, datetime], Answer]
T = TypeVar("T")

RUNNING: Final = "The first request with this key is still running; send it again in a moment."


@dataclass(frozen=True, slots=True)
class Call:
    """One request under its key. ``now`` is real time: in that, keys end."""

    actor: Actor | Operator | Neutral
    key: str
    fingerprint: bytes
    now: datetime

    def claim(self, connection: Connection) -> RowMapping | None:
        """Hold the key for this transaction; return what is stored under it, if anything."""
        row = (
            connection.execute(
                _CLAIM,
                {
                    "name": f"{self.actor.platform_id}|{self.actor.name}|{self.key}",
                    "platform_id": self.actor.platform_id,
                    "actor": self.actor.name,
                    "key": self.key,
                    "now": self.now,
                },
            )
            .mappings()
            .one()
        )
        if not row["free"] and row["status"] is None:
            raise IdempotencyKeyInUse(RUNNING)
        if row["key"] is None:
            return None
        if bytes(row["fingerprint"]) != self.fingerprint:
            raise IdempotencyKeyReused(
                "This key came with another request before; use a new key for a new request."
            )
        return row

    def remember(
        self, connection: Connection, status: int | None, body: str | None, location: str | None
    ) -> None:
        """Store the answer; without a status, that the work goes on under ``location``."""
        written = connection.execute(
            _REMEMBER,
            {
                "platform_id": self.actor.platform_id,
                "actor": self.actor.name,
                "key": self.key,
                "fingerprint": self.fingerprint,
                "status": status,
                "body": body,
                "location": location,
                "now": self.now,
                "expires_at": self.now + KEPT,
            },
        )
        if written.rowcount != 1:
            raise AnsweredMeanwhile

    def act(self, connection: Connection, work: Work) -> Answer:
        """Run ``work``; if it is refused, make sure that it was not its own twin that stood there.

        The first request may end between our look and our lock. Then what it made is in the way of
        this one, which would be told that its own doing is taken; a second look finds the answer.
        """
        try:
            return work(connection, moment(connection, self.actor, hold=True))
        except Refusal:
            if self.claim(connection) is not None:
                raise AnsweredMeanwhile from None
            raise


class AnsweredMeanwhile(Exception):
    """The first request under the key ended while this one ran: undo this one, look again."""


async def _run(edge: Edge, scope: db.Scope, whole: Callable[[Connection], T]) -> T:
    try:
        return await edge.run(scope, whole)
    except AnsweredMeanwhile:
        try:
            return await edge.run(scope, whole)
        except AnsweredMeanwhile as again:
            raise IdempotencyKeyInUse(RUNNING) from again


def replace_kept(connection: Connection, actor: Actor, location: str, body: Any) -> None:
    """Let replays of what made a member show ``body``: what was erased is erased there too."""
    connection.execute(
        text(
            "UPDATE service.idempotency SET body = :body "
            "WHERE platform_id = :platform_id AND location = :location "
            "AND location LIKE '/v1/members/%'"  # as the index has it
        ),
        {
            "platform_id": actor.platform_id,
            "location": location,
            "body": dumps(body).decode(),
        },
    )


async def once(
    request: Request,
    edge: Edge,
    actor: Actor | Operator | Neutral,
    key: str | None,
    work: Work,
    said: bytes | None = None,
) -> Response:
    """Run ``work`` once for this key: one transaction claims, acts and remembers.

    ``said``: what tells the request from another one, where its body was a stream that is gone.
    """
    call = await call_of(request, actor, key, said)

    def whole(connection: Connection) -> Response:
        stored = call.claim(connection)
        if stored is not None:
            return replay(stored)
        answer = call.act(connection, work)
        return _finish(request, call, connection, answer)

    return await _run(edge, actor.scope, whole)


async def once_in_two(
    request: Request,
    edge: Edge,
    actor: Actor,
    key: str | None,
    work: Work,
    proceed: Callable[[str], Any],
    conclude: Callable[[Connection, str, datetime], Answer],
) -> Response:
    """Run a command that calls a provider: commit the rows, call, then record the answer.

    ``work`` answers with ``resume`` set; ``proceed`` (outside of any transaction, awaited) makes
    the call; ``conclude`` makes the answer to keep. A replay of a request that died in between
    goes on from its rows.
    """
    call = await call_of(request, actor, key)

    def first(connection: Connection) -> Response | str:
        stored = call.claim(connection)
        if stored is not None:
            return stored["location"] if stored["status"] is None else replay(stored)
        answer = call.act(connection, work)
        if answer.resume is None:
            return _finish(request, call, connection, answer)
        call.remember(connection, None, None, answer.resume)
        return answer.resume

    begun = await _run(edge, actor.platform_id, first)
    if isinstance(begun, Response):
        return begun
    await proceed(begun)

    def last(connection: Connection) -> Response:
        stored = call.claim(connection)
        if stored is not None and stored["status"] is not None:
            return replay(stored)
        now = moment(connection, actor)
        return _finish(request, call, connection, conclude(connection, begun, now))

    return await _run(edge, actor.platform_id, last)


async def call_of(
    request: Request,
    actor: Actor | Operator | Neutral,
    key: str | None,
    said: bytes | None = None,
) -> Call:
    body = await request.body() if said is None else said
    line = f"{request.method} {request.scope['path']}\n".encode()
    return Call(actor, check_key(key), hashlib.sha256(line + body).digest(), clock.now())


def _finish(request: Request, call: Call, connection: Connection, answer: Answer) -> Response:
    if answer.refusal is not None:
        body = problems.of_refusal(answer.refusal, request_id(request))
        call.remember(connection, body["status"], dumps(body).decode(), None)
        return problems.respond(body)
    said = dumps(answer.body).decode()
    kept = said if answer.kept is None else dumps(answer.kept).decode()
    call.remember(connection, answer.status, kept, answer.location)
    return respond(answer.status, said, answer.location)


def replay(stored: RowMapping) -> Response:
    response = respond(stored["status"], stored["body"], stored["location"])
    response.headers["Idempotent-Replayed"] = "true"
    return response


def respond(status: int, body: str, location: str | None) -> Response:
    headers = {"Location": location} if location else None
    media = problems.MEDIA_TYPE if status >= 400 else "application/json"
    return Response(body, status, headers, media)
