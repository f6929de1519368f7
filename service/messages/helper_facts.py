"""What a message can speak of when somebody else's hands are at work: helpers, and the desk."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection

from ledger import units
from service.ids import decode
from service.messages import case_facts, words
from service.messages.compose import Recipient
from service.platforms import helpers, members, platforms
from service.platforms.helpers import Helper

#: What every message has of it, where its template uses it. ``deed``: what was done, in words;
#: ``through``: whoever took the event's step was a helper, or the desk; ``helped``: whom the
#: recipient helps; ``allowed``, ``limit`` and ``until``: what the helper may do.
NOTHING: Final[Mapping[str, Any]] = {
    "helper": None,
    "deed": None,
    "through": None,
    "allowed": None,
    "limit": None,
    "until": None,
    "helped": None,
}


def of_event(
    connection: Connection,
    platform_id: UUID,
    recipient: Recipient,
    facts: Mapping[str, Any],
    checkpoint: str | None,
) -> dict[str, Any]:
    """Return what can be said of the hand that acted, to a member."""
    said = words.catalogue(recipient.locale, "words")
    found: dict[str, Any] = {}
    told = facts.get("helper")
    if told is not None:
        helper = helpers.find(connection, platform_id, decode("helper", told))
        found |= _limits(connection, helper, recipient.locale, recipient.time_zone)
    if facts.get("assisted", facts.get("by")) == facts.get("by"):
        found["through"] = "helper" if told is not None else facts.get("via")
    step = facts.get("step")
    if step is not None:
        found["deed"] = words.fill(said["deeds"][step], {"checkpoint": checkpoint})
    return found


def variables(
    connection: Connection, platform_id: UUID, helper_id: UUID, now: datetime
) -> tuple[Recipient, dict[str, Any]] | None:
    """Return whom a message to a helper is for, and what it can say; None once they have ended."""
    helper = helpers.find(connection, platform_id, helper_id)
    if not helper.works(now) or helper.name is None:
        return None
    locale = helper.locale if helper.locale in words.LOCALES else words.LOCALES[0]
    member = members.find(connection, platform_id, helper.member_id)
    recipient = Recipient(helper.name, helper.email, helper.phone, locale, member.time_zone)
    somebody = words.catalogue(locale, "words")["somebody_helped"]
    found = {
        **dict.fromkeys(("amount", "title", "role", "paid", "gets", "share", "due", "checkpoint")),
        **case_facts.NOTHING,
        **NOTHING,
        **_limits(connection, helper, locale, member.time_zone),
        "name": words.clean(helper.name),
        "platform": words.clean(platforms.find(connection, platform_id).name),
        "other": words.catalogue(locale, "words")["somebody"],
        "helped": words.clean(member.name) if member.name else somebody,
        "holds_code": False,
        "enters_code": False,
        "confirmed": False,
        "goods": "",
        "Goods": "",
    }
    return recipient, found


def _limits(connection: Connection, helper: Helper, locale: str, zone: str) -> dict[str, Any]:
    said = words.catalogue(locale, "words")
    limit = None
    if helper.limit_amount is not None and helper.limit_unit is not None:
        unit = units.get(connection, helper.platform_id, helper.limit_unit)
        limit = words.amount(helper.limit_amount, unit, locale)
    return {
        "helper": words.clean(helper.name) if helper.name else said["somebody_helping"],
        "allowed": said["comma"].join(said["helper_may"][one] for one in helper.listed),
        "limit": limit,
        "until": words.day(helper.ends_at, zone, locale),
    }
