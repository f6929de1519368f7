"""The page on which a member names helpers, and what a helper reads of the limits set to them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from sqlalchemy import Connection

from ledger import units
from ledger.units import Unit
from service.exchanges.helpers import LONGEST, Draft
from service.ids import encode
from service.messages import words
from service.platforms import helpers
from service.platforms.helpers import MOST, Helper, May
from service.web.member.problem import minor_of
from service.web.member.scene import Scene
from service.web.words import Speech, amount, listed

#: How long somebody can be named for, in days.
DAYS: Final = (7, 30, 90, 180, MOST.days)
_EMAIL: Final = re.compile(r"[^@\s]{1,100}@[^@\s]{1,100}\.[^@\s.]{2,60}")
_PHONE: Final = re.compile(r"\+[0-9]{6,15}")
#: How a telephone of the country is dialled from elsewhere, where it is written with a 0.
_AT_HOME: Final = {"FR": "+33"}


@dataclass(frozen=True, slots=True)
class Line:
    """A helper as the member reads it. ``ends`` is where a press ends them, None once they have."""

    name: str
    contact: str
    said: Sequence[str]
    ends: str | None


def speech(scene: Scene) -> Speech:
    """Return the words of these pages, with what a member's page may speak of."""
    return Speech(scene.locale, "helper", scene.say.variables)


def lines(connection: Connection, scene: Scene) -> list[Line]:
    """Return the helpers of the member whose page it is, those at work first."""
    platform_id = scene.exchange.platform_id
    found = helpers.page(connection, platform_id, scene.member.id, limit=20)
    known = units.find_many(
        connection, platform_id, {one.limit_unit for one in found if one.limit_unit}
    )
    say = speech(scene)
    return [
        Line(
            words.clean(one.name or say("nobody")),
            words.clean(one.email or one.phone or ""),
            limits(one, say, known, scene.member.time_zone)
            if one.works(scene.now)
            else [_over(scene, one)],
            scene.link(f"/helpers/{encode('helper', one.id)}/end")
            if one.works(scene.now)
            else None,
        )
        for one in sorted(found, key=lambda one: not one.works(scene.now))
    ]


def _over(scene: Scene, one: Helper) -> str:
    at = min(one.ended_at or one.ends_at, one.ends_at)
    return speech(scene)("over", day=scene.day(at))


def limits(one: Helper, say: Speech, known: Mapping[str, Unit], zone: str) -> list[str]:
    """Return what a helper may do, up to how much, for what and until when, each in a sentence."""
    named = words.catalogue(say.locale, "words")["helper_may"]
    found = [say("may", allowed=listed([named[may] for may in one.listed], say.locale))]
    if one.limit_amount is not None and one.limit_unit is not None:
        said = amount(one.limit_amount, known[one.limit_unit], say.locale)
        found.append(say("limit", amount=said))
    found.append(say("of_all" if one.exchange_id is None else "of_one"))
    found.append(say("until", day=words.day(one.ends_at, zone, say.locale)))
    return found


def draft(scene: Scene, form: Mapping[str, str]) -> Draft | str:
    """Return whom a form names, or the name of the words for what is wrong with it."""
    name = " ".join(form.get("name", "").split())
    if not 0 < len(name) <= LONGEST:
        return "name"
    contact = _contact(scene, form.get("contact", ""))
    if contact is None:
        return "contact"
    days = form.get("days", "")
    if days not in {str(one) for one in DAYS}:
        return "days"
    may = [one for one in May if form.get(f"may:{one}") == "yes"]
    if not may:
        return "may"
    limit = _limit(scene, form)
    if limit == "limit":
        return "limit"
    assert not isinstance(limit, str)
    email, phone = contact
    return Draft(
        name=name,
        email=email,
        phone=phone,
        may=may,
        # A minute less: the longest is counted from when it is written down.
        ends_at=scene.now + timedelta(days=int(days)) - timedelta(minutes=1),
        limit=limit,
        exchange_id=None if form.get("of") == "all" else scene.exchange.id,
        locale=scene.locale,
    )


def _contact(scene: Scene, said: str) -> tuple[str | None, str | None] | None:
    """Return the e-mail address or the telephone that somebody wrote; None if it is neither."""
    bare = said.strip()
    if _EMAIL.fullmatch(bare):
        return bare, None
    digits = re.sub(r"[\s.()-]", "", bare)
    abroad = _AT_HOME.get(scene.member.country)
    if abroad is not None and digits.startswith("0") and not digits.startswith("00"):
        digits = f"{abroad}{digits[1:]}"
    return (None, digits) if _PHONE.fullmatch(digits) else None


def _limit(scene: Scene, form: Mapping[str, str]) -> tuple[int, str] | str | None:
    said = form.get("limit", "").strip()
    if not said:
        return None
    unit = scene.units.get(form.get("unit", ""))
    minor = None if unit is None else minor_of(said, unit)
    return "limit" if unit is None or not minor else (minor, unit.code)
