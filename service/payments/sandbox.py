"""The sandbox provider: no money, but every way in which a real provider behaves and misbehaves.

It answers ``pending`` first and settles later by an event, takes the same request twice as one, and
fails on demand: by the payment method of a collection, or by the last four digits of the amount of
a refund or payout. Its memory (``service.sandbox_*``) stands for a company elsewhere, so it opens
transactions of its own and must never be called inside one of ours.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from operator import attrgetter
from typing import Any, Final
from uuid import UUID

import orjson
from sqlalchemy import Connection, Engine, RowMapping, text

from service import db
from service.payments.measured import measured
from service.payments.port import Object, ProviderRefused, Request, Status
from service.payments.sandbox_accounts import SandboxAccounts, expire
from service.payments.sandbox_books import SandboxBooks
from service.payments.sandbox_disputes import SandboxDisputes, contested, lapse
from service.payments.sandbox_events import SandboxEvents, Tell, tell, tell_all
from service.payments.sandbox_scripts import METHODS, block_lasts, script_of
from service.platforms.clocks import swept

_COLUMNS: Final = (
    "ref, kind, status, amount, unit, failure, request, capture, captured, capture_before, "
    "becomes_at"
)
_INSERT: Final = text(
    "INSERT INTO service.sandbox_object (platform_id, ref, kind, request_key, request, amount, "  # noqa: S608 - our own names
    "unit, status, becomes, becomes_at, failure, of_ref, capture, capture_before) VALUES "
    "(:platform_id, :ref, :kind, :key, CAST(:request AS jsonb), :amount, :unit, :status, :becomes, "
    ":becomes_at, :failure, :of_ref, :capture, :capture_before) "
    f"ON CONFLICT (platform_id, request_key) DO NOTHING RETURNING {_COLUMNS}"
)
# A block ends by itself: what has become authorised will become canceled.
_MOVE: Final = swept(
    "sandbox_object.platform_id",
    "UPDATE service.sandbox_object SET status = becomes, "
    "settled_at = CASE WHEN becomes <> 'authorised' THEN CAST(:now AS timestamptz) END, "
    "becomes = CASE becomes WHEN 'authorised' THEN 'canceled' END, "
    "becomes_at = CASE becomes WHEN 'authorised' THEN capture_before END "
    "WHERE (platform_id, ref) IN (SELECT platform_id, ref FROM service.sandbox_object "
    "  WHERE becomes_at <= :now AND {of_scope} "
    "  AND (CAST(:ref AS text) IS NULL OR ref = :ref) "
    "  ORDER BY becomes_at LIMIT 1000 FOR UPDATE SKIP LOCKED) "
    "RETURNING platform_id, ref, kind, status, CAST(request->>'tellings' AS integer) AS tellings",
)


@measured
class Sandbox(SandboxEvents, SandboxAccounts, SandboxDisputes, SandboxBooks):
    """A :class:`service.payments.port.Provider` for platforms in sandbox mode."""

    name = "sandbox"
    needs_account = False

    def __init__(self, engine: Engine, secret: str, clock: Callable[[], datetime]) -> None:
        """Keep memory in ``engine``'s database, sign events with ``secret``, live by ``clock``."""
        self._engine = engine
        self._secret = secret.encode()
        self._clock = clock

    def accepts_method(self, method: str | None) -> bool:
        """Only the scripted methods exist; none means the default, which succeeds."""
        return method is None or method in METHODS

    def submit(self, request: Request) -> Object:
        """Take a request once; the same key again answers the object it made."""
        script = script_of(request)
        asked = {
            "amount": request.amount,
            "unit": request.unit,
            "method": request.method,
            "of": request.collect_ref or request.payout_ref,
            "tellings": script.tellings,
            "save": request.save_method,
        }
        ref = f"sb_{request.kind}_{request.payment_id.hex}"
        blocks = request.capture == "manual"
        becomes = script.becomes
        if blocks and becomes is Status.SUCCEEDED:
            becomes = Status.AUTHORISED
        with db.transaction(self._engine, db.SYSTEM) as connection:
            now = self._now(connection, request.platform_id)
            if request.kind in {"refund", "reversal"}:
                self._check_back(connection, request, ref)
            made = connection.execute(
                _INSERT,
                {
                    "platform_id": request.platform_id,
                    "ref": ref,
                    "kind": request.kind,
                    "key": str(request.payment_id),
                    "request": orjson.dumps(asked).decode(),
                    "amount": request.amount,
                    "unit": request.unit,
                    "status": Status.PENDING if becomes else Status.REQUIRES_ACTION,
                    "becomes": becomes,
                    "becomes_at": now + script.after if becomes else None,
                    "failure": script.failure,
                    "of_ref": asked["of"],
                    "capture": request.capture,
                    "capture_before": now + block_lasts(request) if blocks else None,
                },
            ).mappings()
            row = made.one_or_none() or self._read(connection, request.platform_id, ref)
        if row["request"] != asked:
            raise ProviderRefused("key_reused", "This key came with another request before.")
        return self._object(row)

    def _check_back(self, connection: Connection, request: Request, ref: str) -> None:
        """Refuse to give, or call, back more than there was, as a real provider does."""
        row = connection.execute(
            text(
                "SELECT c.unit, c.status, coalesce(c.captured, c.amount) AS there, "
                "coalesce((SELECT sum(r.amount) "
                "  FROM service.sandbox_object r WHERE r.platform_id = c.platform_id "
                "  AND r.of_ref = c.ref AND r.kind = :kind AND r.ref <> :ref "
                "  AND r.status <> 'failed'), 0) AS given "
                "FROM service.sandbox_object c "
                "WHERE c.platform_id = :platform_id AND c.ref = :of_ref FOR UPDATE OF c"
            ),
            {
                "platform_id": request.platform_id,
                "of_ref": request.collect_ref or request.payout_ref,
                "ref": ref,
                "kind": request.kind,
            },
        ).one_or_none()
        if row is None or row.status != Status.SUCCEEDED or row.unit != request.unit:
            raise ProviderRefused("not_refundable", "There is no such payment to give back.")
        now_contested, lost = contested(connection, request.platform_id, request.collect_ref)
        if now_contested:
            raise ProviderRefused("charged_back", "The payer's bank contests this payment.")
        if row.given + lost + request.amount > row.there:
            raise ProviderRefused("over_refund", "More than the payment would go back.")

    def capture(
        self,
        platform_id: UUID,
        payment_id: UUID,  # noqa: ARG002 - one capture ends a block, with any key
        ref: str,
        amount: int,
    ) -> Object:
        """Take a part or all of a block; the rest is free again."""
        with db.transaction(self._engine, db.SYSTEM) as connection:
            now = self._now(connection, platform_id)
            self._move(connection, now, platform_id, ref)
            changed = connection.execute(
                text(
                    "UPDATE service.sandbox_object SET status = 'succeeded', captured = :amount, "
                    "becomes = NULL, becomes_at = NULL, settled_at = :now "
                    "WHERE platform_id = :platform_id AND ref = :ref "
                    "AND status = 'authorised' AND amount >= :amount"
                ),
                {
                    "platform_id": platform_id,
                    "ref": ref,
                    "amount": amount,
                    "now": now,
                },
            )
            if changed.rowcount:
                tell(connection, platform_id, ref, "collect.captured", now)
            row = self._read(connection, platform_id, ref)
        if row["status"] == Status.AUTHORISED:
            raise ProviderRefused("over_capture", "More than is blocked would be taken.")
        return self._object(row)

    def cancel(self, platform_id: UUID, ref: str) -> Object:
        """Call a collection back unless it is settled already."""
        with db.transaction(self._engine, db.SYSTEM) as connection:
            now = self._now(connection, platform_id)
            self._move(connection, now, platform_id, ref)
            changed = connection.execute(
                text(
                    "UPDATE service.sandbox_object SET status = 'canceled', becomes = NULL, "
                    "becomes_at = NULL, settled_at = :now "
                    "WHERE platform_id = :platform_id AND ref = :ref "
                    "AND status IN ('pending', 'requires_action', 'authorised')"
                ),
                {"platform_id": platform_id, "ref": ref, "now": now},
            )
            if changed.rowcount:
                tell(connection, platform_id, ref, "collect.canceled", now)
            return self._object(self._read(connection, platform_id, ref))

    def retrieve(self, platform_id: UUID, ref: str) -> Object:
        """Read an object as it is now."""
        with db.transaction(self._engine, db.SYSTEM) as connection:
            now = self._now(connection, platform_id)
            row = self._read(connection, platform_id, ref)
            if row["becomes_at"] is not None and row["becomes_at"] <= now:
                self._move(connection, now, platform_id, ref)
                row = self._read(connection, platform_id, ref)
        return self._object(row)

    def act(self, platform_id: UUID, ref: str, *, succeed: bool) -> Object:
        """Do what the payer does on a real provider's page: pass the check, or fail it."""
        with db.transaction(self._engine, db.SYSTEM) as connection:
            now = self._now(connection, platform_id)
            changed = connection.execute(
                text(
                    "UPDATE service.sandbox_object SET failure = :failure, status = CASE "
                    " WHEN NOT :succeed THEN 'failed' "
                    " WHEN capture = 'manual' THEN 'authorised' ELSE 'succeeded' END, "
                    "becomes = CASE WHEN :succeed AND capture = 'manual' THEN 'canceled' END, "
                    "becomes_at = CASE WHEN :succeed AND capture = 'manual' "
                    " THEN capture_before END, settled_at = CASE "
                    " WHEN :succeed AND capture = 'manual' THEN NULL "
                    " ELSE CAST(:now AS timestamptz) END "
                    "WHERE platform_id = :platform_id AND ref = :ref "
                    "AND status = 'requires_action'"
                ),
                {
                    "platform_id": platform_id,
                    "ref": ref,
                    "succeed": succeed,
                    "failure": None if succeed else "authentication_failed",
                    "now": now,
                },
            )
            row = self._read(connection, platform_id, ref)
            if changed.rowcount:
                tell(connection, platform_id, ref, f"collect.{row['status']}", now)
            return self._object(row)

    def _settle(self, connection: Connection, now: datetime, only: UUID | None) -> None:
        self._move(connection, now, only, None)
        expire(connection, now, only)
        self._lapse(connection, now, only)

    def _lapse(self, connection: Connection, now: datetime, only: UUID | None) -> None:
        """Let banks decide what nobody answered in time."""
        lapse(connection, now, only)

    def _move(
        self, connection: Connection, now: datetime, only: UUID | None, ref: str | None
    ) -> None:
        moved = connection.execute(_MOVE, {"now": now, "only": only, "ref": ref}).all()
        changes = (
            Tell(row.platform_id, row.ref, f"{row.kind}.{row.status}", row.tellings)
            for row in sorted(moved, key=attrgetter("ref"))
        )
        tell_all(connection, changes, now)

    def _read(self, connection: Connection, platform_id: UUID, ref: str) -> RowMapping:
        row = (
            connection.execute(
                text(
                    f"SELECT {_COLUMNS} FROM service.sandbox_object "  # noqa: S608 - our own names
                    "WHERE platform_id = :platform_id AND ref = :ref"
                ),
                {"platform_id": platform_id, "ref": ref},
            )
            .mappings()
            .one_or_none()
        )
        if row is None:
            raise ProviderRefused("unknown_object", "The sandbox knows no such object.")
        return row

    def _object(self, row: RowMapping) -> Object:
        status = Status(row["status"])
        action: dict[str, Any] | None = None
        if status is Status.REQUIRES_ACTION:
            action = {"type": "sandbox_action", "ref": row["ref"]}
        return Object(
            ref=row["ref"],
            kind=row["kind"],
            status=status,
            amount=row["amount"],
            unit=row["unit"],
            failure=row["failure"] if status is Status.FAILED else None,
            next_action=action,
            captured=_taken(row),
            capture_before=row["capture_before"],
            saved_method=row["request"]["method"] if row["request"].get("save") else None,
            method_kind="card" if row["kind"] == "collect" else None,
        )


def _taken(row: RowMapping) -> int | None:
    """Return what a collection brought in, once it did."""
    if row["kind"] != "collect" or row["status"] != Status.SUCCEEDED:
        return None
    amount: int = row["amount"] if row["captured"] is None else row["captured"]
    return amount
