"""Neutrals are told by mail that a case has come to them, and until when it waits.

Not what it is about: mail is read by others, and the desk asks who one is. A case that they took
from the queue themselves is no news. A sandbox writes to nobody.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final
from uuid import UUID

import structlog
from sqlalchemy import Engine, RowMapping, text

from service import db
from service.exchanges.desk import at_once
from service.ids import encode
from service.messages import words
from service.messages.channels import Channels
from service.messages.compose import Recipient, Written, assembled
from service.messages.port import Envelope, Fate, Outcome
from service.messages.send import BATCH, LADDER, LEASE, ROUNDS
from service.operations import metrics

_log = structlog.get_logger(__name__)

_SENDER: Final = "Tierce"
_ZONE: Final = "Europe/Paris"
_EMAIL: Final = "email"

_FIND: Final = text(
    "INSERT INTO service.mediator_mail (platform_id, assignment_id, due_at) "
    "SELECT a.platform_id, a.id, :now FROM disputes.assignment AS a "
    "WHERE a.ended_at IS NULL AND a.how = 'draw' "
    "AND (CAST(:only AS uuid) IS NULL OR a.platform_id = :only) "
    "AND NOT EXISTS (SELECT FROM service.mediator_mail AS m "
    "WHERE m.platform_id = a.platform_id AND m.assignment_id = a.id) ON CONFLICT DO NOTHING"
)
_CLAIM: Final = text(
    """
    UPDATE service.mediator_mail AS m SET due_at = :until, attempts = m.attempts + 1
    FROM (SELECT platform_id, assignment_id FROM service.mediator_mail WHERE due_at <= :now
          AND (CAST(:only AS uuid) IS NULL OR platform_id = :only)
          ORDER BY due_at LIMIT :limit FOR UPDATE SKIP LOCKED) AS due,
         disputes.assignment AS a, disputes.case AS c, disputes.mediator AS n,
         service.platform AS p
    WHERE m.platform_id = due.platform_id AND m.assignment_id = due.assignment_id
      AND a.platform_id = m.platform_id AND a.id = m.assignment_id
      AND c.platform_id = a.platform_id AND c.id = a.case_id
      AND n.id = a.mediator_id AND p.id = m.platform_id
    RETURNING m.platform_id, m.assignment_id, m.attempts, a.part, a.ended_at, c.due_at AS ends_at,
              n.name, n.email, n.languages, p.mode
    """
)
# Whoever took it after this one's lease was over has the say.
_RECORD: Final = text(
    "UPDATE service.mediator_mail SET state = :state, reason = :reason, due_at = :due_at, "
    "sent_at = :sent_at WHERE platform_id = :platform_id AND assignment_id = :assignment_id "
    "AND attempts = :attempts AND state = 'waiting'"
)


def run(engine: Engine, channels: Channels, now: datetime, only: UUID | None = None) -> int:
    """Tell whoever was drawn since the last time; return how many mails were tried."""
    with db.transaction(engine, db.SYSTEM) as connection:
        connection.execute(_FIND, {"now": now, "only": only})
    tried = 0
    for _ in range(ROUNDS):
        with db.transaction(engine, db.SYSTEM) as connection:
            values = {"now": now, "until": now + LEASE, "limit": BATCH, "only": only}
            claimed = connection.execute(_CLAIM, values).mappings().all()
        tried += sum(at_once(partial(_one, engine, channels, now), claimed))
        if len(claimed) < BATCH:
            break
    return tried


def _one(engine: Engine, channels: Channels, now: datetime, mail: RowMapping) -> int:
    reason = _why_not(channels, mail)
    if reason is not None:
        _record(engine, mail, "suppressed", reason)
        return 0
    db.outside_transaction()
    outcome = channels.real[_EMAIL].send(_envelope(channels, mail))
    metrics.messages.labels(_EMAIL, outcome.fate.value).inc()
    if outcome.fate is Fate.SENT:
        _record(engine, mail, "sent", sent_at=now)
    elif outcome.fate is Fate.LATER and mail["attempts"] <= len(LADDER):
        wait: timedelta = LADDER[mail["attempts"] - 1]
        _record(engine, mail, "waiting", outcome.reason, due_at=now + wait)
    else:
        _refused(engine, mail, outcome)
    return 1


def _why_not(channels: Channels, mail: RowMapping) -> str | None:
    if mail["mode"] == "sandbox":
        return "sandbox"
    if mail["ended_at"] is not None:
        return "over"
    return None if _EMAIL in channels.real else "no_channel"


def _refused(engine: Engine, mail: RowMapping, outcome: Outcome) -> None:
    """The case goes to somebody else when its clock runs out; an operator sees why in the log."""
    _log.error("mediator_not_told", assignment=str(mail["assignment_id"]), reason=outcome.reason)
    _record(engine, mail, "failed", outcome.reason or "refused")


def _record(
    engine: Engine,
    mail: RowMapping,
    state: str,
    reason: str | None = None,
    *,
    due_at: datetime | None = None,
    sent_at: datetime | None = None,
) -> None:
    named = {name: mail[name] for name in ("platform_id", "assignment_id", "attempts")}
    values = {**named, "state": state, "reason": reason, "due_at": due_at, "sent_at": sent_at}
    with db.transaction(engine, mail["platform_id"]) as connection:
        connection.execute(_RECORD, values)


def _envelope(channels: Channels, mail: RowMapping) -> Envelope:
    locale = next((one for one in words.LOCALES if one in mail["languages"]), words.LOCALES[0])
    recipient = Recipient(mail["name"], mail["email"], None, locale, _ZONE)
    # The same at each attempt, so that what arrives twice is known to be one.
    reference = f"{encode('message', mail['assignment_id'])}.0"
    written = _written(locale, mail, channels.public_url)
    return Envelope(reference, mail["email"], recipient, _SENDER, written)


def _written(locale: str, mail: RowMapping, public_url: str) -> Written:
    said = words.catalogue(locale, "mediators")
    common = words.catalogue(locale, "words")
    name = words.clean(mail["name"])
    facts: dict[str, Any] = {"name": name, "due": words.instant(mail["ends_at"], _ZONE, locale)}
    return assembled(
        {
            "locale": locale,
            "subject": said["subject"],
            "greeting": words.fill(common["greeting"], facts),
            "paragraphs": [said[mail["part"]], words.fill(said["due"], facts), said["decline"]],
            "button": said["button"],
            "url": f"{public_url.rstrip('/')}/desk",
            "link": words.fill(common["link"], {"button": said["button"]}),
            "careful": said["careful"],
            "footer": said["footer"],
        }
    )
