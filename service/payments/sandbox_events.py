"""How the sandbox provider tells: events queued with what changed, signed, delivered when due."""

from __future__ import annotations

import hashlib
import hmac
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import orjson
from sqlalchemy import Connection, Engine, text

from service import db
from service.ids import uuid7
from service.payments.port import Event, ForgedEvent, Topic
from service.platforms import clocks

#: An event must reach us within this long of its signature.
TOLERANCE: Final = timedelta(minutes=5)


def tell(
    connection: Connection,
    platform_id: UUID,
    ref: str,
    kind: str,
    now: datetime,
    *,
    times: int = 1,
    topic: Topic = Topic.PAYMENT,
    account: str | None = None,
) -> None:
    """Queue the events of a change, ``times`` over."""
    connection.execute(
        text(
            "INSERT INTO service.sandbox_event "
            "(platform_id, id, object_ref, kind, topic, account, deliver_at, told_at) "
            "SELECT :platform_id, id, :ref, :kind, :topic, :account, :now, :now "
            "FROM unnest(CAST(:ids AS uuid[])) AS id"
        ),
        {
            "platform_id": platform_id,
            "ref": ref,
            "kind": kind,
            "topic": topic,
            "account": account,
            "now": now,
            "ids": [uuid7() for _ in range(times)],
        },
    )


class SandboxTime:
    """What every part of the sandbox provider has: a memory, and what time it is."""

    _engine: Engine
    _clock: Callable[[], datetime]

    def _now(self, connection: Connection, platform_id: UUID) -> datetime:
        """Return what time it is for a platform: the sandbox lives in its customers' time."""
        return clocks.now_at(connection, platform_id, self._clock())


class SandboxEvents(SandboxTime, ABC):
    """The part of the sandbox provider that tells what happened there."""

    _secret: bytes

    @abstractmethod
    def _settle(self, connection: Connection, now: datetime, only: UUID | None) -> None:
        """Let everything happen that is due at ``now``, on one platform or on those without."""

    def tick(self, deliver: Callable[[UUID, bytes, str], None], only: UUID | None = None) -> int:
        """Let due objects settle and deliver due events; return how many events were delivered.

        ``deliver`` gets the platform, the body and its signature, as a webhook endpoint would. An
        event is told again after a crash between its delivery and its mark, as real ones are.
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
        for row in due:
            told = {name: getattr(row, name) for name in ("type", "object", "topic", "account")}
            body = orjson.dumps({"id": f"sb_{row.id}", **told})
            deliver(row.platform_id, body, self.sign(body))
            with db.transaction(self._engine, db.SYSTEM) as connection:
                connection.execute(
                    text(
                        "UPDATE service.sandbox_event SET deliver_at = NULL "
                        "WHERE platform_id = :platform_id AND id = :id"
                    ),
                    {"platform_id": row.platform_id, "id": row.id},
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
