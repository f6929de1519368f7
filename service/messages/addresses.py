"""Where a member can be reached, what they chose, and which of their addresses do not work."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, select, text

from ledger.refusals import Refusal
from service.messages.compose import Recipient
from service.messages.rules import Category
from service.messages.tables import bounce, message_preference
from service.platforms import members

#: The channels that lead to a person.
CHANNELS: Final = ("email", "sms")


class NoPhone(Refusal):
    """SMS was chosen by a member of whom no telephone number is known."""

    code = "no_phone"


@dataclass(frozen=True, slots=True)
class Preference:
    """By which channel a member wants what they must do, and what happened (or ``none``)."""

    steps: str = "email"
    news: str = "email"

    def of(self, category: Category) -> str:
        """Return the channel chosen for a category."""
        return self.steps if category is Category.STEPS else self.news


def preference(connection: Connection, platform_id: UUID, member_id: UUID) -> Preference:
    """Return what a member chose; e-mail where they chose nothing."""
    row = connection.execute(
        select(message_preference.c.steps, message_preference.c.news).where(
            message_preference.c.platform_id == platform_id,
            message_preference.c.member_id == member_id,
        )
    ).one_or_none()
    return Preference() if row is None else Preference(row.steps, row.news)


_PREFER: Final = text(
    "INSERT INTO service.message_preference (platform_id, member_id, steps, news, changed_at) "
    "VALUES (:platform_id, :member_id, :steps, :news, :now) "
    "ON CONFLICT (platform_id, member_id) DO UPDATE SET steps = EXCLUDED.steps, "
    "news = EXCLUDED.news, changed_at = EXCLUDED.changed_at"
)


def prefer(
    connection: Connection, platform_id: UUID, member_id: UUID, wanted: Preference, now: datetime
) -> None:
    """Record what a member chose.

    Raises:
        MemberNotFound, MemberErased
        NoPhone: SMS, without a number to send it to.
    """
    member = members.find(connection, platform_id, member_id)
    if member.erased_at is not None:
        raise members.MemberErased("This member's personal data was erased.")
    if "sms" in {wanted.steps, wanted.news} and member.phone is None:
        raise NoPhone(
            "No telephone number is known of this member; send their phone first, or choose email.",
            pointer="/steps" if wanted.steps == "sms" else "/news",
        )
    connection.execute(
        _PREFER,
        {
            "platform_id": platform_id,
            "member_id": member_id,
            "steps": wanted.steps,
            "news": wanted.news,
            "now": now,
        },
    )


def fingerprint(address: str) -> bytes:
    """Return what stands for an address where the address itself is not to be kept."""
    return hashlib.sha256(address.strip().lower().encode()).digest()


def bad(connection: Connection, platform_id: UUID, member_id: UUID) -> dict[str, bytes]:
    """Return the fingerprints of a member's addresses that bounced, by channel."""
    rows = connection.execute(
        select(bounce.c.channel, bounce.c.address).where(
            bounce.c.platform_id == platform_id, bounce.c.member_id == member_id
        )
    )
    return {row.channel: bytes(row.address) for row in rows}


_MARK: Final = text(
    "INSERT INTO service.bounce (platform_id, member_id, channel, address, reason, bounced_at) "
    "VALUES (:platform_id, :member_id, :channel, :address, :reason, :now) "
    "ON CONFLICT (platform_id, member_id, channel) DO UPDATE SET address = EXCLUDED.address, "
    "reason = EXCLUDED.reason, bounced_at = EXCLUDED.bounced_at"
)


def mark_bad(
    connection: Connection,
    platform_id: UUID,
    member_id: UUID,
    channel: str,
    reason: str,
    now: datetime,
    address: str,
) -> None:
    """Remember that an address of a member takes no messages."""
    connection.execute(
        _MARK,
        {
            "platform_id": platform_id,
            "member_id": member_id,
            "channel": channel,
            "address": fingerprint(address),
            "reason": reason,
            "now": now,
        },
    )


def forgive(connection: Connection, platform_id: UUID, member_id: UUID) -> None:
    """Try a member's addresses again, whatever bounced before."""
    connection.execute(
        bounce.delete().where(bounce.c.platform_id == platform_id, bounce.c.member_id == member_id)
    )


def address_of(recipient: Recipient, channel: str) -> str | None:
    """Return where a recipient is reached by a channel, if anywhere."""
    return recipient.email if channel == "email" else recipient.phone
