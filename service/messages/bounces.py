"""Mail that comes back: which message it was, and whether its address is to be used again.

Each mail leaves with a return path of its own (VERP), ``bounces+<message>.<sending>-<seal>@…``, so
that what comes back to it names the message without trusting what it says inside. The seal keeps
strangers from marking addresses as bad. Only reports of a failed delivery count (RFC 3464,
``Action: failed``); delays and out-of-office answers do not.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from email import message_from_bytes, policy
from email.message import Message
from email.utils import getaddresses
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, RowMapping, text

from ledger.refusals import Refusal
from service.events import outbox
from service.ids import PREFIXES, decode, encode
from service.messages.addresses import mark_bad
from service.platforms import clocks

_SEAL_BYTES: Final = 10
_LOCAL: Final = re.compile(
    r"(?P<sent>(?P<message>[0-9a-hjkmnp-tv-z]{26})\.(?P<sending>[0-9]{1,6}))-(?P<seal>[a-z2-7]{16})",
    re.ASCII,
)
_LONGEST_REASON: Final = 200
#: An enhanced status code (RFC 3463), else the code of an SMTP reply.
_CODES: Final = (
    re.compile(r"\b[245]\.[0-9]{1,3}\.[0-9]{1,3}\b", re.ASCII),
    re.compile(r"\b[45][0-9]{2}\b", re.ASCII),
)


class NotABounce(Refusal):
    """The mail is no report of a failed delivery of ours; nothing was recorded."""

    code = "not_a_bounce"


class ReturnPath:
    """Makes and reads the return paths of one instance."""

    def __init__(self, address: str, secret: str) -> None:
        """Take the plain address that mail comes back to, and the instance's secret."""
        self._local, _, self._domain = address.rpartition("@")
        self._key = hmac.digest(secret.encode(), b"tierce return path", hashlib.sha256)

    def of(self, message: str, sending: int) -> str:
        """Return the return path of a message, by its public id and how often it was sent anew."""
        bare = message.removeprefix(f"{PREFIXES['message']}_")
        sent = f"{bare}.{sending}"
        return f"{self._local}+{sent}-{self._seal(sent)}@{self._domain}"

    def read(self, address: str) -> tuple[UUID, int] | None:
        """Return whose return path this is, the message and its sending; None: not one of ours."""
        local, _, domain = address.lower().rpartition("@")
        found = _LOCAL.fullmatch(local.removeprefix(f"{self._local.lower()}+"))
        if found is None or domain != self._domain.lower():
            return None
        if not hmac.compare_digest(found["seal"], self._seal(found["sent"])):
            return None
        message_id = decode("message", f"{PREFIXES['message']}_{found['message']}")
        return message_id, int(found["sending"])

    def _seal(self, sent: str) -> str:
        mac = hmac.digest(self._key, sent.encode(), hashlib.sha256)[:_SEAL_BYTES]
        return base64.b32encode(mac).decode().lower()


@dataclass(frozen=True, slots=True)
class Report:
    """A failed delivery: of which message, why, and whether the address itself is at fault.

    ``sending``: how often the message had been sent anew when this mail left.
    """

    message_id: UUID
    sending: int
    reason: str
    bad_address: bool


def read(raw: bytes, path: ReturnPath) -> Report:
    """Return what a mail that came back reports.

    Raises:
        NotABounce: it is not to a return path of ours, or reports no failed delivery.
    """
    mail = message_from_bytes(raw, policy=policy.default)
    found = next((one for one in map(path.read, _to(mail)) if one is not None), None)
    if found is None:
        raise NotABounce("The mail is not addressed to a return path of this instance.")
    for status in _statuses(mail):
        if str(status.get("Action", "")).strip().lower() == "failed":
            code = str(status.get("Status", "")).strip()
            said = str(status.get("Diagnostic-Code", "")) or code or "failed"
            # 5.7.x is the other server's opinion of us, not of the address (RFC 3463).
            bad = not code.startswith(("5.7", "4."))
            return Report(*found, " ".join(said.split())[:_LONGEST_REASON], bad)
    raise NotABounce("The mail reports no delivery that failed.")


def _to(mail: Message) -> Iterable[str]:
    """Every address the mail was for, as mail servers name it."""
    names = ("Delivered-To", "X-Original-To", "Envelope-To", "To")
    headers = [str(value) for name in names for value in mail.get_all(name, [])]
    return [address for _name, address in getaddresses(headers)]


def _statuses(mail: Message) -> Iterable[Message]:
    """The groups of fields of each ``message/delivery-status`` part, the first of which is ours."""
    for part in mail.walk():
        if part.get_content_type() == "message/delivery-status":
            groups = part.get_payload()
            if isinstance(groups, list):
                yield from (group for group in groups if isinstance(group, Message))


_FIND: Final = text(
    "SELECT m.platform_id, m.id, m.member_id, m.exchange_id, m.template, m.channel, m.state, "
    "m.resends, m.helper_id, t.recipient, p.erased_at IS NOT NULL AS erased "
    "FROM service.message AS m "
    "JOIN service.member AS p ON p.platform_id = m.platform_id AND p.id = m.member_id "
    "LEFT JOIN service.message_text AS t ON t.platform_id = m.platform_id AND t.message_id = m.id "
    "WHERE m.id = :id FOR UPDATE OF m"
)
_BOUNCED: Final = text(
    "UPDATE service.message SET state = 'bounced', reason = :reason, due_at = NULL "
    "WHERE platform_id = :platform_id AND id = :id"
)


def record(connection: Connection, report: Report, now: datetime) -> bool:
    """Record, in the system's scope, that a message came back; return whether that is news.

    It is no news of a message that was sent anew since. The address that is not used again is the
    one that the mail went to, not what the member has by now.

    Raises:
        NotABounce: no such message, or it was never sent by mail.
    """
    found = connection.execute(_FIND, {"id": report.message_id}).mappings().one_or_none()
    if found is not None and found["resends"] > report.sending:
        return False
    if found is None or found["channel"] != "email":
        raise NotABounce("No mail with this return path was sent from here.")
    if found["state"] == "bounced":
        return False
    # What a server says may name the address.
    reason = "erased" if found["erased"] else report.reason
    connection.execute(
        _BOUNCED, {"platform_id": found["platform_id"], "id": found["id"], "reason": reason}
    )
    tell(connection, found, report.reason, clocks.now_at(connection, found["platform_id"], now))
    # What a helper's address does says nothing of the member's.
    if report.bad_address and found["recipient"] is not None and found["helper_id"] is None:
        mark_bad(
            connection,
            found["platform_id"],
            found["member_id"],
            "email",
            report.reason,
            now,
            found["recipient"],
        )
    return True


def tell(connection: Connection, message: RowMapping, reason: str, at: datetime) -> None:
    """Tell the platform, by an event, that a message did not reach its member.

    Events outlive members, so the server's words, which may name an address, are left out: the
    event has its code, and the words are read from the message.
    """
    exchange_id = message["exchange_id"]
    code = next((said[0] for one in _CODES if (said := one.search(reason))), "refused")
    told = outbox.NewEvent(
        "message.bounced",
        {
            "message": encode("message", message["id"]),
            "member": encode("member", message["member_id"]),
            "exchange": None if exchange_id is None else encode("exchange", exchange_id),
            "template": message["template"],
            "reason": code,
        },
        member_id=message["member_id"],
    )
    outbox.append(connection, message["platform_id"], [told], at)
