"""Name a helper for a member, and end them: what a helper may do is in :mod:`helping`."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

from ledger import units
from ledger.refusals import Refusal
from service.events import outbox
from service.exchanges import advance, helping, queries, store
from service.exchanges.commands import Decision, EventDraft, Who
from service.exchanges.decide import Rules
from service.exchanges.model import TERMINAL, Exchange
from service.exchanges.refusals import UnknownUnit
from service.ids import encode, uuid7
from service.platforms import helpers, members
from service.platforms.helpers import MOST, MOST_AT_ONCE, Helper, May

#: The longest name and address of a helper, in characters.
LONGEST: Final = 200


class InvalidHelper(Refusal):
    """A helper without a name, a contact or an end in time, or whose limit is none."""

    code = "invalid_helper"


class HelperIsMember(Refusal):
    """The contact is the member's own: nobody is their own helper."""

    code = "helper_is_member"


class AlreadyHelps(Refusal):
    """This person helps the member with this already: what they may do is not widened."""

    code = "already_helps"


class TooManyHelpers(Refusal):
    """The member has as many helpers at work as anybody may have."""

    code = "too_many_helpers"


class HelperOver(Refusal):
    """The helper has ended already."""

    code = "helper_over"


@dataclass(frozen=True, slots=True)
class Draft:
    """Whom somebody names: what :class:`Helper` says. ``limit`` is minor units and their unit.

    ``consent``: how the member said so, where the platform writes it down for them.
    """

    name: str
    email: str | None
    phone: str | None
    may: Collection[May]
    ends_at: datetime
    limit: tuple[int, str] | None = None
    exchange_id: UUID | None = None
    consent: str | None = None
    locale: str = "fr"


def name(
    connection: Connection, platform_id: UUID, who: Who, draft: Draft, now: datetime
) -> Helper:
    """Name a helper of the member ``who``: by themselves, or by the platform with their consent.

    Raises:
        HelperMayNot: a helper names nobody.
        MemberNotFound, MemberErased, ExchangeNotFound
        InvalidHelper, UnknownUnit: it says not who, until when or up to how much.
        HelperIsMember, HelperIsOtherSide: it is one of the two sides.
        AlreadyHelps, TooManyHelpers
    """
    if who.helper_id is not None:
        raise helping.HelperMayNot("A helper names no other: only the member does.")
    assert who.member_id is not None
    found = members.find_many(connection, platform_id, [who.member_id], lock=True)
    member = found.get(who.member_id)
    if member is None:
        raise members.MemberNotFound("No member with this id.")
    if member.erased_at is not None:
        raise members.MemberErased("This member's personal data was erased.")
    made = _checked(connection, platform_id, who, draft, now)
    if helpers.contacts(made.email, made.phone) & helpers.contacts(member.email, member.phone):
        raise HelperIsMember(
            "This is the member's own address: give the helper's own.", pointer="/email"
        )
    known = helpers.at_work(connection, platform_id, [member.id], now)
    for one in known:
        same = helpers.contacts(one.email, one.phone) & helpers.contacts(made.email, made.phone)
        if same and one.exchange_id == made.exchange_id:
            raise AlreadyHelps(
                "This person helps the member with this already: end that first, then name them "
                "anew.",
                helper=encode("helper", one.id),
            )
    if len(known) >= MOST_AT_ONCE:
        raise TooManyHelpers(
            f"A member has {MOST_AT_ONCE} helpers at most: end one first.", most=MOST_AT_ONCE
        )
    if draft.exchange_id is not None:
        exchange = queries.find(connection, platform_id, draft.exchange_id, member.id)
        helping.check_other_side(connection, exchange, made, now)
    helpers.insert(connection, made)
    _tell(connection, "helper.named", made, _named(made), now)
    return made


def _checked(
    connection: Connection, platform_id: UUID, who: Who, draft: Draft, now: datetime
) -> Helper:
    email, phone = (draft.email or "").strip() or None, (draft.phone or "").strip() or None
    called = " ".join(draft.name.split())
    assert who.member_id is not None
    if not 0 < len(called) <= LONGEST:
        raise InvalidHelper("Say who the helper is, by their name.", pointer="/name")
    if not helpers.contacts(email, phone):
        raise InvalidHelper("Give the helper's e-mail address or telephone.", pointer="/email")
    if not now < draft.ends_at <= now + MOST:
        raise InvalidHelper(
            f"Say until when: after now, and {MOST.days} days from now at most. They can be named "
            "anew then.",
            pointer="/ends_at",
        )
    amount, unit = draft.limit or (None, None)
    if amount is not None and amount <= 0:
        raise InvalidHelper("A limit is more than nothing.", pointer="/limit/amount")
    if unit is not None and unit not in units.find_many(connection, platform_id, {unit}):
        raise UnknownUnit(f"The platform knows no unit '{unit}'.", pointer="/limit/unit")
    return Helper(
        platform_id=platform_id,
        id=uuid7(),
        member_id=who.member_id,
        exchange_id=draft.exchange_id,
        may=frozenset({May.LOOK, *draft.may}),
        limit_amount=amount,
        limit_unit=unit,
        named_by="platform" if who.via == "platform" else "member",
        consent=draft.consent,
        named_at=now,
        ends_at=draft.ends_at,
        ended_at=None,
        ended_by=None,
        name=called,
        email=email,
        phone=phone,
        locale=draft.locale,
    )


def _named(made: Helper) -> dict[str, Any]:
    exchange_id = made.exchange_id
    limit = {"amount": made.limit_amount, "unit": made.limit_unit}
    return {
        "may": [str(one) for one in made.listed],
        "of_exchange": None if exchange_id is None else encode("exchange", exchange_id),
        "limit": None if made.limit_amount is None else limit,
        "ends_at": made.ends_at,
        "named_by": made.named_by,
    }


def end(
    connection: Connection, platform_id: UUID, who: Who, helper_id: UUID, now: datetime
) -> Helper:
    """End a helper of the member ``who`` at once.

    Raises:
        HelperMayNot: a helper ends nobody.
        HelperNotFound: the member has no such helper.
        HelperOver: they have ended already.
    """
    if who.helper_id is not None:
        raise helping.HelperMayNot("A helper ends nobody: only the member does.")
    assert who.member_id is not None
    found = helpers.find(connection, platform_id, helper_id)
    if found.member_id != who.member_id:
        raise helpers.HelperNotFound("No helper with this id.")
    by = "platform" if who.via == "platform" else "member"
    if now >= found.ends_at or not helpers.end(
        connection, platform_id, who.member_id, helper_id, by, now
    ):
        raise HelperOver("This help has ended already.")
    _tell(connection, "helper.ended", found, {"ended_by": by}, now)
    return helpers.find(connection, platform_id, helper_id)


def show_code(
    connection: Connection, platform_id: UUID, exchange_id: UUID, who: Who, rules: Rules
) -> tuple[str, str, bool]:
    """Return the hand-over code of the side that gives something up, as ``queries`` does.

    Whoever has seen it can give both words with it: of a helper, that is told once for each
    checkpoint.

    Raises:
        CodeNotYours, StepNotAllowed, and of a helper what :func:`helping.check` says.
    """
    assert who.member_id is not None
    if who.helper_id is None:
        exchange = queries.find(connection, platform_id, exchange_id, who.member_id)
        return queries.hand_over_code(exchange, who.member_id, rules.codes)
    before = store.load(connection, platform_id, [exchange_id], lock=True)
    exchange = before[exchange_id]
    helping.check(connection, exchange, who, helping.NEEDS["show_code"], "show_code", rules.now)
    found = queries.hand_over_code(exchange, who.member_id, rules.codes)
    role = exchange.role_of(who.member_id)
    assert role is not None
    told = helping.assisted(who, role, "show_code", checkpoint=found[0])
    if not _was_told(connection, exchange, told):
        advance.write(connection, platform_id, before, [Decision(exchange, [told])], rules.now)
    return found


_TOLD: Final = text(
    "SELECT EXISTS (SELECT FROM service.event WHERE platform_id = :platform_id "
    "AND exchange_id = :exchange_id AND type = :type AND data @> :data)"
).bindparams(bindparam("data", type_=JSONB))


def _was_told(connection: Connection, exchange: Exchange, told: EventDraft) -> bool:
    values = {"platform_id": exchange.platform_id, "exchange_id": exchange.id, "type": told.type}
    return bool(connection.scalar(_TOLD, {**values, "data": dict(told.data)}))


def exchanges_of(connection: Connection, helper: Helper) -> list[Exchange]:
    """Return the exchanges that a helper can see: the one, or those of the member, newest first."""
    filters = queries.Filters(member_id=helper.member_id)
    if helper.exchange_id is not None:
        return [queries.find(connection, helper.platform_id, helper.exchange_id, helper.member_id)]
    found = queries.page(connection, helper.platform_id, filters, limit=50)
    return sorted(found, key=lambda one: one.state in TERMINAL)


def _tell(
    connection: Connection, type_: str, one: Helper, more: dict[str, Any], now: datetime
) -> None:
    facts = {
        "member": encode("member", one.member_id),
        "helper": encode("helper", one.id),
        **more,
    }
    event = outbox.NewEvent(type_, facts, member_id=one.member_id)
    outbox.append(connection, one.platform_id, [event], now)
