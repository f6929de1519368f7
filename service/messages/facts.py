"""What a message can speak of: the facts of its event, and of its exchange as it stands."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection

from ledger import units
from ledger.units import Unit
from service.exchanges import queries
from service.exchanges.deadlines import deadlines, decide_by
from service.exchanges.kinds import LegRole, Role, shows_code
from service.exchanges.model import Exchange
from service.messages import case_facts, helper_facts, words
from service.messages.compose import Recipient
from service.platforms import members, platforms

#: The deadlines by which a member has to do something.
_TASKS: Final = ("agree_by", "fund_by", "payment_by", "confirm_by")


def recipient_of(one: members.Member) -> Recipient:
    """Return a member as the recipient of messages."""
    locale = one.locale if one.locale in words.LOCALES else words.LOCALES[0]
    return Recipient(one.name, one.email, one.phone, locale, one.time_zone)


def variables(
    connection: Connection,
    platform_id: UUID,
    member_id: UUID,
    exchange_id: UUID | None,
    facts: Mapping[str, Any],
) -> tuple[Recipient, dict[str, Any]]:
    """Return whom a message is for, and every variable that its template may use.

    ``name``, ``other`` and ``title`` are people's own words, made harmless. ``paid`` is what the
    payer pays in all, ``gets`` what the payee gets of it, ``share`` what an ended exchange gave
    this member, ``amount`` what the event speaks of; all in the member's language, or None.

    Raises:
        MemberNotFound, ExchangeNotFound
    """
    member = members.find(connection, platform_id, member_id)
    recipient = recipient_of(member)
    found: dict[str, Any] = {
        "name": words.clean(member.name) if member.name else None,
        "platform": words.clean(platforms.find(connection, platform_id).name),
        "amount": _amount(connection, platform_id, facts, recipient.locale),
        "title": None,
        "other": words.catalogue(recipient.locale, "words")["somebody"],
        "role": None,
        "paid": None,
        "gets": None,
        "share": None,
        "due": None,
        "checkpoint": None,
        "holds_code": False,
        "enters_code": False,
        "confirmed": False,
        "task": None,
        **_goods(recipient.locale, {}),
        **case_facts.NOTHING,
        **helper_facts.NOTHING,
    }
    if exchange_id is not None:
        exchange = queries.find(connection, platform_id, exchange_id, member_id)
        found |= of_exchange(connection, exchange, member_id, recipient, facts)
        if case_facts.case_id_of(facts) is not None:
            found |= case_facts.of_case(connection, exchange, member_id, recipient, facts)
    # What was done was done at the checkpoint of then, not at the one that comes now.
    done_at = words.checkpoint(facts.get("checkpoint"), recipient.locale)
    found |= helper_facts.of_event(connection, platform_id, recipient, facts, done_at)
    return recipient, found


def of_exchange(
    connection: Connection,
    exchange: Exchange,
    member_id: UUID,
    recipient: Recipient,
    facts: Mapping[str, Any],
) -> dict[str, Any]:
    """Return what can be said of ``exchange`` to one of its two members."""
    role, locale = exchange.role_of(member_id), recipient.locale
    assert role is not None
    other = members.find(connection, exchange.platform_id, exchange.member(role.other))
    all_units = units.find_many(
        connection, exchange.platform_id, {leg.unit for leg in exchange.legs}
    )
    due = due_at(exchange, facts)
    point = _checkpoint(exchange, facts)
    name = words.checkpoint(point, locale)
    somebody = words.catalogue(locale, "words")["somebody"]
    return {
        "title": words.clean(str(exchange.terms["title"])),
        "other": words.clean(other.name) if other.name else somebody,
        "role": role.value,
        "paid": words.several(_paid(exchange), all_units, locale),
        "gets": words.several(_gets(exchange), all_units, locale),
        "share": words.several(_share(exchange, role), all_units, locale),
        "due": None if due is None else words.instant(due, recipient.time_zone, locale),
        "checkpoint": name,
        "holds_code": point is not None and shows_code(exchange.kind, point) is role,
        "enters_code": point is not None and shows_code(exchange.kind, point) is role.other,
        "confirmed": exchange.current is not None
        and exchange.current.confirmed_by(role) is not None,
        "task": _task(exchange, facts, name, locale),
        **_goods(locale, all_units),
    }


def _goods(locale: str, used: Mapping[str, Unit]) -> dict[str, str]:
    """Return what is paid, in a word: nobody calls the hours of a community money."""
    kind = "units" if any(unit.community for unit in used.values()) else "money"
    said: str = words.catalogue(locale, "words")["goods"][kind]
    return {"goods": said, "Goods": said[0].upper() + said[1:]}


def due_at(exchange: Exchange, facts: Mapping[str, Any]) -> datetime | None:
    """Return by when the member has to act: as the event says, or as the exchange stands."""
    told = facts.get("due_at")
    if told is not None:
        return datetime.fromisoformat(told)
    ends = [line.due_at for line in deadlines(exchange) if line.name in _TASKS]
    return min(ends, default=decide_by(exchange))


def _task(exchange: Exchange, facts: Mapping[str, Any], checkpoint: str | None, locale: str) -> str:
    running = (line.name for line in deadlines(exchange) if line.name in _TASKS)
    about = facts.get("about") or next(running, "other")
    tasks = words.catalogue(locale, "words")["tasks"]
    return words.fill(tasks.get(about, tasks["other"]), {"checkpoint": checkpoint})


def _checkpoint(exchange: Exchange, facts: Mapping[str, Any]) -> str | None:
    """Return the checkpoint that comes now; once all are met, the one the event names."""
    if exchange.current is not None:
        return exchange.current.name
    told: str | None = facts.get("checkpoint")
    return told


def _amount(
    connection: Connection, platform_id: UUID, facts: Mapping[str, Any], locale: str
) -> str | None:
    minor, code = facts.get("amount"), facts.get("unit")
    if minor is None or code is None:
        return None
    return words.amount(minor, units.get(connection, platform_id, code), locale)


def _sum(parts: list[tuple[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for code, minor in parts:
        total[code] = total.get(code, 0) + minor
    return total


def _paid(exchange: Exchange) -> dict[str, int]:
    return _sum([(leg.unit, leg.held) for leg in exchange.legs])


def _gets(exchange: Exchange) -> dict[str, int]:
    prices = [leg for leg in exchange.legs if leg.role is LegRole.PRICE]
    return _sum([(leg.unit, leg.amount - leg.payee_fee) for leg in prices])


def _share(exchange: Exchange, role: Role) -> dict[str, int]:
    shares = [(leg.unit, leg.share) for leg in exchange.legs if leg.share is not None]
    return _sum(
        [(code, one.to_payer if role is Role.PAYER else one.to_payee) for code, one in shares]
    )
