"""The sandbox provider's chargebacks: a bank that takes money back on demand, to rehearse it.

What a payer's bank would do by itself is done here on demand. This is the memory of a company
elsewhere (``service.sandbox_*``): nothing of ours refers to it, and it is never reached from inside
one of our transactions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final, Literal
from uuid import UUID

import orjson
from sqlalchemy import Connection, RowMapping, text

from service import db
from service.ids import uuid7
from service.payments.port import (
    Dispute,
    DisputeStatus,
    Evidence,
    Movement,
    ProviderRefused,
    Status,
    Topic,
    Warned,
)
from service.payments.sandbox_events import SandboxTime, tell
from service.platforms.clocks import swept

#: Minor units that the sandbox takes for every chargeback, won or lost.
DISPUTE_FEE: Final = 1_500
#: How long there is to answer.
ANSWER_WITHIN: Final = timedelta(days=7)

Kind = Literal["dispute", "inquiry", "warning"]
Outcome = Literal["won", "lost", "escalated"]

_OPEN: Final = frozenset(
    {DisputeStatus.WARNING, DisputeStatus.NEEDS_RESPONSE, DisputeStatus.UNDER_REVIEW}
)
#: Words in the free text of an answer that decide a rehearsed dispute at once.
WINNING: Final = "winning_evidence"
LOSING: Final = "losing_evidence"
#: Where a dispute stands after each outcome.
_AFTER: Final[dict[Outcome, frozenset[DisputeStatus]]] = {
    "won": frozenset({DisputeStatus.WON, DisputeStatus.CLOSED}),
    "lost": frozenset({DisputeStatus.LOST}),
    "escalated": _OPEN - {DisputeStatus.WARNING},
}


def contest(
    connection: Connection,
    platform_id: UUID,
    collect_ref: str,
    kind: Kind,
    amount: int | None,
    reason: str,
    key: str,
    now: datetime,
) -> str:
    """Let the payer's bank contest a collection, and tell of it; return the object's reference.

    ``amount``: minor units; None is all that was collected and not contested before. A dispute
    takes them at once, with the fee; an inquiry and a warning take nothing. The same ``key`` again
    answers the same object.

    Raises:
        ProviderRefused: nothing was collected, not as much is left, or the key came with something
            else before.
    """
    left, unit = _left(connection, platform_id, collect_ref)
    digest = hashlib.sha256(f"{collect_ref}|{key}".encode()).hexdigest()[:32]
    ref = f"sb_{'warning' if kind == 'warning' else 'dispute'}_{digest}"
    first = _made_before(connection, platform_id, ref)
    if first is not None:
        if first.reason != reason or amount not in {None, first.amount}:
            raise ProviderRefused("key_reused", "This key came with something else before.")
        return ref
    wanted = left if amount is None else amount
    if not 0 < wanted <= left:
        raise ProviderRefused("not_disputable", f"The bank can take back 1 to {left} of this.")
    connection.execute(
        text(
            "INSERT INTO service.sandbox_dispute "
            "(platform_id, ref, kind, collect_ref, status, amount, unit, reason, due_by) VALUES "
            "(:platform_id, :ref, :kind, :collect_ref, :status, :amount, :unit, :reason, :due_by)"
        ),
        {
            "platform_id": platform_id,
            "ref": ref,
            "kind": "warning" if kind == "warning" else "dispute",
            "collect_ref": collect_ref,
            "status": DisputeStatus.WARNING,
            "amount": wanted,
            "unit": unit,
            "reason": reason,
            "due_by": None if kind == "warning" else now + ANSWER_WITHIN,
        },
    )
    if kind == "dispute":
        _take(connection, _read(connection, platform_id, ref, "dispute"), now)
    topic = Topic.WARNING if kind == "warning" else Topic.DISPUTE
    tell(connection, platform_id, ref, f"{topic}.created", now, topic=topic)
    return ref


def _made_before(connection: Connection, platform_id: UUID, ref: str) -> Any:
    query = text(
        "SELECT amount, reason FROM service.sandbox_dispute "
        "WHERE platform_id = :platform_id AND ref = :ref"
    )
    return connection.execute(query, {"platform_id": platform_id, "ref": ref}).one_or_none()


def close(
    connection: Connection, platform_id: UUID, ref: str, outcome: Outcome, now: datetime
) -> Dispute:
    """Let the bank decide: ``won`` gives back what it took, ``lost`` keeps it; and tell of it.

    ``escalated`` makes an inquiry a dispute. An inquiry that is won is closed; one that is lost has
    been escalated first. The same outcome again changes nothing.

    Raises:
        ProviderRefused: there is no such dispute, or it is decided.
    """
    row = _read(connection, platform_id, ref, "dispute")
    inquiry = row["status"] == DisputeStatus.WARNING
    if row["status"] in _AFTER[outcome]:
        return _dispute(row)
    if row["status"] not in _OPEN:
        raise ProviderRefused("dispute_decided", "The bank has decided otherwise.")
    if outcome == "won" and inquiry:
        _write(connection, row, status=DisputeStatus.CLOSED)
    elif outcome == "won":
        back = {"ref": f"{ref}_reinstated", "amount": row["amount"], "fee": 0, "at": _said(now)}
        moved = [*row["movements"], back]
        _write(connection, row, status=DisputeStatus.WON, movements=moved)
    else:
        if inquiry:
            _take(connection, row, now)
        if outcome == "lost":
            _write(connection, row, status=DisputeStatus.LOST)
    word = "updated" if outcome == "escalated" else "closed"
    tell(connection, platform_id, ref, f"dispute.{word}", now, topic=Topic.DISPUTE)
    return _dispute(_read(connection, platform_id, ref, "dispute"))


_LAPSED: Final = swept(
    "sandbox_dispute.platform_id",
    "SELECT platform_id, ref FROM service.sandbox_dispute "
    "WHERE {of_scope} "
    "AND kind = 'dispute' AND due_by <= :now AND (status = 'needs_response' "
    "OR status = 'warning' AND evidence IS NULL) "
    "ORDER BY due_by, ref LIMIT 1000 FOR UPDATE SKIP LOCKED",
)


def lapse(connection: Connection, now: datetime, only: UUID | None) -> None:
    """Decide what nobody answered in time: for the payer; an inquiry becomes a dispute first.

    On one platform, or on all that have no clock of their own.
    """
    for row in connection.execute(_LAPSED, {"now": now, "only": only}).all():
        close(connection, row.platform_id, row.ref, "lost", now)


def _left(connection: Connection, platform_id: UUID, collect_ref: str) -> tuple[int, str]:
    row = connection.execute(
        text(
            "SELECT o.unit, o.status, coalesce(o.captured, o.amount) - coalesce(("
            "  SELECT sum(d.amount) FROM service.sandbox_dispute d "
            "  WHERE d.platform_id = o.platform_id AND d.collect_ref = o.ref "
            "  AND d.kind = 'dispute' AND d.status NOT IN ('won', 'closed')), 0) AS rest "
            "FROM service.sandbox_object o WHERE o.platform_id = :platform_id "
            "AND o.ref = :ref AND o.kind = 'collect' FOR UPDATE OF o"
        ),
        {"platform_id": platform_id, "ref": collect_ref},
    ).one_or_none()
    if row is None or row.status != Status.SUCCEEDED:
        raise ProviderRefused("not_disputable", "Nothing was collected that could be contested.")
    return int(row.rest), row.unit


def contested(
    connection: Connection, platform_id: UUID, collect_ref: str | None
) -> tuple[bool, int]:
    """Tell whether the bank contests a collection now, and how much of it was lost to the payer.

    Minor units. While it is contested nothing of it can be refunded, as with a real provider.
    """
    row = connection.execute(
        text(
            "SELECT coalesce(bool_or(status IN ('needs_response', 'under_review')), false) AS now, "
            "coalesce(sum(amount) FILTER (WHERE status = 'lost'), 0) AS lost "
            "FROM service.sandbox_dispute WHERE platform_id = :platform_id "
            "AND collect_ref = :ref AND kind = 'dispute'"
        ),
        {"platform_id": platform_id, "ref": collect_ref},
    ).one()
    return row.now, int(row.lost)


def _take(connection: Connection, row: RowMapping, now: datetime) -> None:
    taken = {
        "ref": f"{row['ref']}_withdrawn",
        "amount": -row["amount"],
        "fee": DISPUTE_FEE,
        "at": _said(now),
    }
    _write(
        connection,
        row,
        status=DisputeStatus.NEEDS_RESPONSE,
        movements=[*row["movements"], taken],
        due_by=now + ANSWER_WITHIN,
        evidence=None,  # what answered an inquiry does not answer the dispute
    )


def _said(at: datetime) -> str:
    return at.isoformat()


def _write(connection: Connection, row: RowMapping, **values: Any) -> None:
    said = {
        name: orjson.dumps(value).decode() if name in {"movements", "evidence"} else value
        for name, value in values.items()
    }
    columns = ", ".join(
        f"{name} = CAST(:{name} AS jsonb)"
        if name in {"movements", "evidence"}
        else f"{name} = :{name}"
        for name in said
    )
    connection.execute(
        text(
            f"UPDATE service.sandbox_dispute SET {columns} "  # noqa: S608 - our own names
            "WHERE platform_id = :platform_id AND ref = :ref"
        ),
        {**said, "platform_id": row["platform_id"], "ref": row["ref"]},
    )


def _read(connection: Connection, platform_id: UUID, ref: str, kind: str) -> RowMapping:
    row = (
        connection.execute(
            text(
                "SELECT * FROM service.sandbox_dispute "
                "WHERE platform_id = :platform_id AND ref = :ref AND kind = :kind FOR UPDATE"
            ),
            {"platform_id": platform_id, "ref": ref, "kind": kind},
        )
        .mappings()
        .one_or_none()
    )
    if row is None:
        raise ProviderRefused("unknown_object", f"The sandbox knows no such {kind}.")
    return row


def lines(row: RowMapping) -> tuple[Movement, ...]:
    """Return what a row of ``service.sandbox_dispute`` moved in the sandbox's books."""
    return tuple(
        Movement(
            ref=line["ref"],
            kind="dispute",
            object_ref=row["ref"],
            amount=line["amount"],
            fee=line["fee"],
            unit=row["unit"],
            at=datetime.fromisoformat(line["at"]),
        )
        for line in row["movements"]
    )


def _dispute(row: RowMapping) -> Dispute:
    return Dispute(
        ref=row["ref"],
        collect_ref=row["collect_ref"],
        status=DisputeStatus(row["status"]),
        amount=row["amount"],
        unit=row["unit"],
        reason=row["reason"],
        due_by=row["due_by"],
        evidence_submitted=row["evidence"] is not None,
        movements=lines(row),
    )


def _verdict(said: Mapping[str, str]) -> Outcome | None:
    """Return what an answer rehearses, if its words say so."""
    words = said.get("uncategorized_text", "")
    if WINNING in words:
        return "won"
    return "lost" if LOSING in words else None


class SandboxDisputes(SandboxTime):
    """The part of the sandbox provider that is about chargebacks and early warnings."""

    def retrieve_dispute(self, platform_id: UUID, ref: str) -> Dispute:
        """Read a chargeback."""
        with db.transaction(self._engine, db.SYSTEM) as connection:
            return _dispute(_read(connection, platform_id, ref, "dispute"))

    def retrieve_warning(self, platform_id: UUID, ref: str) -> Warned:
        """Read an early fraud warning."""
        with db.transaction(self._engine, db.SYSTEM) as connection:
            row = _read(connection, platform_id, ref, "warning")
        return Warned(row["ref"], row["collect_ref"], row["reason"], actionable=True)

    def submit_evidence(self, platform_id: UUID, ref: str, evidence: Evidence) -> Dispute:
        """Answer a chargeback; the same answer again changes nothing, another is refused.

        :data:`WINNING` or :data:`LOSING` in its free text decides at once what may be decided.
        """
        said = dict(evidence.fields)
        with db.transaction(self._engine, db.SYSTEM) as connection:
            now = self._now(connection, platform_id)
            row = _read(connection, platform_id, ref, "dispute")
            again = row["evidence"] == said
            late = row["due_by"] is not None and row["due_by"] <= now
            disputed = row["status"] == DisputeStatus.NEEDS_RESPONSE
            if not again and (late or not (disputed or row["status"] == DisputeStatus.WARNING)):
                raise ProviderRefused("evidence_refused", "It is too late, or was answered before.")
            if not again:
                status = DisputeStatus.UNDER_REVIEW if disputed else DisputeStatus.WARNING
                _write(connection, row, evidence=said, status=status)
                tell(connection, platform_id, ref, "dispute.updated", now, topic=Topic.DISPUTE)
                verdict = _verdict(said)
                if verdict is not None and (disputed or verdict == "won"):
                    close(connection, platform_id, ref, verdict, now)
            return _dispute(_read(connection, platform_id, ref, "dispute"))

    def contest(
        self,
        platform_id: UUID,
        collect_ref: str,
        kind: Kind,
        amount: int | None = None,
        reason: str = "general",
        key: str | None = None,
    ) -> str:
        """Do what a payer's bank would do by itself: see :func:`contest`."""
        once = uuid7().hex if key is None else key
        with db.transaction(self._engine, db.SYSTEM) as connection:
            now = self._now(connection, platform_id)
            return contest(connection, platform_id, collect_ref, kind, amount, reason, once, now)

    def close_dispute(self, platform_id: UUID, ref: str, outcome: Outcome) -> Dispute:
        """Let the bank decide: see :func:`close`."""
        with db.transaction(self._engine, db.SYSTEM) as connection:
            return close(connection, platform_id, ref, outcome, self._now(connection, platform_id))
