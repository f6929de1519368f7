"""How the sandbox provider tells: events queued with what changed, signed, delivered when due."""

from __future__ import annotations

import hashlib
import hmac
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import orjson
from sqlalchemy import Connection, Engine, Row, text

from service import db
from service.ids import uuid7
from service.payments.port import Event, ForgedEvent, Topic
from service.platforms import clocks

#: An event must reach us within this long of its signature.
TOLERANCE: Final = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Tell:
    """A change of an object, to be told of ``times`` over."""

    platform_id: UUID
    ref: str
    kind: str
    times: int = 1
    topic: Topic = Topic.PAYMENT
    account: str | None = None


_TELL: Final = text(
    "INSERT INTO service.sandbox_event "
    "(platform_id, id, object_ref, kind, topic, account, deliver_at, told_at) "
    "SELECT platform_id, id, ref, kind, topic, account, :now, :now "
    "FROM jsonb_to_recordset(CAST(:events AS jsonb)) AS told(platform_id uuid, id uuid, "
    "ref text, kind text, topic text, account text)"
)


def tell_all(connection: Connection, changes: Iterable[Tell], now: datetime) -> None:
    """Queue the events of changes, in their order, in one statement."""
    events = [
        {
            "platform_id": one.platform_id,
            "id": uuid7(),
            "ref": one.ref,
            "kind": one.kind,
            "topic": one.topic,
            "account": one.account,
        }
        for one in changes
        for _ in range(one.times)
    ]
    if events:
        connection.execute(_TELL, {"now": now, "events": orjson.dumps(events).decode()})


def tell(
    connection: Connection,
    platform_id: UUID,
    ref: str,
    kind: str,
    now: datetime,
    *,
    topic: Topic = Topic.PAYMENT,
    account: str | None = None,
) -> None:
    """Queue the event of one change."""
    tell_all(connection, [Tell(platform_id, ref, kind, topic=topic, account=account)], now)


class SandboxTime:
    """What every part of the sandbox provider has: a memory, and what time it is."""

    _engine: Engine
    _clock: Callable[[], datetime]

    def _now(self, connection: Connection, platform_id: UUID) -> datetime:
        """Return what time it is for a platform: the sandbox lives in its customers' time."""
        return clocks.now_at(connection, platform_id, self._clock())


def _body(row: Row[Any]) -> bytes:
    told = {name: getattr(row, name) for name in ("type", "object", "topic", "account")}
    return orjson.dumps({"id": f"sb_{row.id}", **told})


class SandboxEvents(SandboxTime, ABC):
    """The part of the sandbox provider that tells what happened there."""

    _secret: bytes

    @abstractmethod
    def _settle(self, connection: Connection, now: datetime, only: UUID | None) -> None:
        """Let everything happen that is due at ``now``, on one platform or on those without."""

    def tick(
        self,
        deliver: Callable[[Sequence[tuple[UUID, bytes, str]]], None],
        only: UUID | None = None,
    ) -> int:
        """Let due objects settle and deliver due events; return how many events were delivered.

        ``deliver`` gets platforms, bodies and their signatures, as a webhook endpoint would. Events
        are told again after a crash between their delivery and their mark, as real ones are.
        ``only`` keeps to one platform; without it, to those that have no clock of their own.
        """
        with db.transaction(self._engine, db.SYSTEM) as connection:
            now = self._clock() if only is None else self._now(connection, only)
            self._settle(connection, now, only)
            due = connection.execute(
                clocks.swept(
                    "sandbox_event.platform_id",
                    "SELECT platform_id, id, object_ref AS object, kind AS type, topic, account "
                    "FROM service.sandbox_event WHERE deliver_at <= :now "
                    "AND {of_scope} "
                    "ORDER BY deliver_at, id LIMIT 1000",
                ),
                {"now": now, "only": only},
            ).all()
        if due:
            told = [(row.platform_id, body := _body(row), self.sign(body)) for row in due]
            deliver(told)
            with db.transaction(self._engine, db.SYSTEM) as connection:
                connection.execute(
                    text(
                        "UPDATE service.sandbox_event AS e SET deliver_at = NULL FROM "
                        "unnest(CAST(:platforms AS uuid[]), CAST(:ids AS uuid[])) AS d(p, id) "
                        "WHERE e.platform_id = d.p AND e.id = d.id"
                    ),
                    {
                        "platforms": [row.platform_id for row in due],
                        "ids": [row.id for row in due],
                    },
                )
        return len(due)

    def events_since(self, platform_id: UUID, since: datetime) -> Iterable[Event]:
        """List what happened from ``since`` on, oldest first, whether it was delivered or not."""
        with db.transaction(self._engine, db.SYSTEM) as connection:
            rows = connection.execute(
                text(
                    "SELECT id, kind, object_ref, topic, account, told_at "
                    "FROM service.sandbox_event WHERE platform_id = :platform_id "
                    "AND told_at >= :since ORDER BY told_at, id"
                ),
                {"platform_id": platform_id, "since": since},
            ).all()
        return [
            Event(f"sb_{r.id}", r.kind, r.object_ref, Topic(r.topic), r.account, r.told_at)
            for r in rows
        ]

    def sign(self, body: bytes) -> str:
        """Return the signature header of ``body``: ``t=<unix>,v1=<hex HMAC-SHA256>``."""
        at = int(self._clock().timestamp())
        return f"t={at},v1={self._mac(at, body)}"

    def read_event(
        self,
        platform_id: UUID,  # noqa: ARG002 - one secret and one endpoint serve every platform
        endpoint: str,  # noqa: ARG002
        body: bytes,
        signature: str,
    ) -> Event:
        """Verify signature and age, then read what changed."""
        fields = dict(part.partition("=")[::2] for part in signature.split(","))
        at = fields.get("t", "")
        if not at.isdecimal() or not hmac.compare_digest(
            self._mac(int(at), body), fields.get("v1", "")
        ):
            raise ForgedEvent("The event's signature is not the provider's.")
        if abs(self._clock().timestamp() - int(at)) > TOLERANCE.total_seconds():
            raise ForgedEvent("The event's signature is too old.")
        told: dict[str, Any] = orjson.loads(body)
        topic = Topic(told.get("topic", Topic.PAYMENT))
        return Event(told["id"], told["type"], told["object"], topic, told.get("account"))

    def _mac(self, at: int, body: bytes) -> str:
        return hmac.new(self._secret, f"{at}.".encode() + body, hashlib.sha256).hexdigest()
