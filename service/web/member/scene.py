"""What a member's page speaks of, read once: the exchange, who looks at it, and its facts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, RowMapping, text

from ledger import units
from ledger.units import Unit
from service import clock
from service.exchanges import helping, queries
from service.exchanges.commands import Who
from service.exchanges.kinds import LegRole, Role
from service.exchanges.model import TERMINAL, Exchange, Leg
from service.exchanges.queries import next_actions
from service.ids import encode
from service.messages import words
from service.platforms import clocks, helpers, members, platforms
from service.platforms.helpers import Helper
from service.web.member.glance import Glance, glance
from service.web.words import Speech, amount, language, listed, telephone

#: Of how many helpers, at work or not, a page knows the names.
_MOST_HELPERS: Final = 100
_EVENTS: Final = text(
    "SELECT type, data, at FROM service.event "
    "WHERE platform_id = :platform_id AND exchange_id = :exchange_id ORDER BY sequence"
)


@dataclass(frozen=True)
class Scene:
    """An exchange as one of its two members sees it, at ``now`` of the platform.

    ``helper``: who looks and acts for the member, where it is not the member themselves.
    ``address`` is the path of the member's page, ``asked`` the language that they chose there.
    """

    exchange: Exchange
    role: Role
    member: members.Member
    other: members.Member
    platform: str
    sandbox: bool
    units: Mapping[str, Unit]
    payments: Sequence[RowMapping]
    events: Sequence[RowMapping]
    now: datetime
    address: str
    asked: str | None
    helper: Helper | None = None
    #: Where the platform can be called, as people write it.
    phone: str | None = None
    #: The problem that is open about it.
    case: Glance | None = None
    #: Names of those who help the member in this exchange now.
    aided_by: Sequence[str] = ()
    #: Names of the member's helpers, by their public ids; nobody else's are told.
    helpers: Mapping[str, str] = field(default_factory=dict)

    @property
    def who(self) -> Who:
        """Who takes a step on this page."""
        if self.helper is None:
            return Who(self.member.id, "member")
        return Who(self.member.id, helping.HELPER, self.helper.id)

    def may(self, step: str) -> bool:
        """Tell whether a step is for whoever looks to take, as far as the member allows it."""
        return self.helper is None or helping.NEEDS.get(step) in self.helper.may

    @property
    def may_pay(self) -> bool:
        """Whether the way to the provider's page is for whoever looks."""
        return self.role is Role.PAYER and (
            self.helper is None
            or (self.may("fund") and helping.is_within(self.exchange, self.helper))
        )

    @cached_property
    def locale(self) -> str:
        """The language of the page."""
        return language(self.asked, self._home)

    @cached_property
    def own_locale(self) -> str:
        """The language that the page has without being asked for one."""
        return language(None, self._home)

    @property
    def _home(self) -> str:
        return self.member.locale if self.helper is None else self.helper.locale

    @cached_property
    def other_name(self) -> str:
        """The other member's name, made harmless, or words for somebody without one."""
        if self.other.name:
            return words.clean(self.other.name)
        somebody: str = words.catalogue(self.locale, "words")["somebody"]
        return somebody

    @cached_property
    def own_name(self) -> str:
        """The name of the member whose page it is, made harmless, or words for one without."""
        if self.member.name:
            return words.clean(self.member.name)
        somebody: str = words.catalogue(self.locale, "words")["somebody_helped"]
        return somebody

    def helper_name(self, data: Mapping[str, Any]) -> str:
        """Return the name of the helper that an event speaks of, or words for somebody."""
        somebody: str = words.catalogue(self.locale, "words")["somebody_helping"]
        return self.helpers.get(str(data.get("helper")), somebody)

    @cached_property
    def title(self) -> str:
        """What the two call the exchange."""
        return words.clean(str(self.exchange.terms["title"]))

    @cached_property
    def actions(self) -> frozenset[str]:
        """The names of the steps that this member can take now."""
        return frozenset(
            step.name
            for step, _side in next_actions(self.exchange, self.role, self.now)
            if self.may(step.name)
        )

    @property
    def over(self) -> bool:
        """Whether the exchange has ended."""
        return self.exchange.state in TERMINAL

    @property
    def frozen_by_case(self) -> bool:
        """Whether everything that is held waits for the end of a problem."""
        held = list(self.exchange.held_legs)
        return self.case is not None and bool(held) and all(leg.disputed for leg in held)

    @property
    def money(self) -> bool:
        """Whether money is part of it."""
        return any(leg.sort == "money" for leg in self.exchange.legs)

    def link(self, path: str = "", **query: str) -> str:
        """Return an address of this page, in the language that was chosen."""
        if self.asked is not None and self.asked != self.own_locale:
            query = {**query, "lang": self.asked}
        joined = "&".join(f"{name}={value}" for name, value in query.items())
        return f"{self.address}{path}{'?' if joined else ''}{joined}"

    def say_amount(self, minor: int, code: str) -> str:
        """Return an amount in the language of the page."""
        return amount(minor, self.units[code], self.locale)

    def total(self, parts: Iterable[tuple[Leg, int]]) -> str | None:
        """Return the sum of amounts, unit by unit, or None when it is nothing."""
        found: dict[str, int] = {}
        for leg, minor in parts:
            found[leg.unit] = found.get(leg.unit, 0) + minor
        return listed([self.say_amount(m, code) for code, m in found.items() if m], self.locale)

    def instant(self, at: datetime) -> str:
        """Return an instant in the member's own time."""
        return words.instant(at, self.member.time_zone, self.locale)

    def day(self, at: datetime) -> str:
        """Return the day of an instant in the member's own time."""
        return words.day(at, self.member.time_zone, self.locale)

    def checkpoint(self, name: str) -> str:
        """Return a checkpoint as members call it."""
        return words.checkpoint(name, self.locale) or name

    @cached_property
    def say(self) -> Speech:
        """The words of the member's pages, with what they may speak of."""
        current = self.exchange.current
        said = Speech(
            self.locale,
            "member",
            {
                **self._amounts(),
                "other": self.other_name,
                "me": self.own_name,
                "title": self.title,
                "platform": self.platform,
                "phone": self.phone,
                "checkpoint": None if current is None else self.checkpoint(current.name),
            },
        )
        if self.helper is None:
            return said
        # Stands on every page of a helper.
        banner = [said("helping.banner"), said("helping.banner_only")]
        return Speech(said.locale, said.file, {**said.variables, "banner": banner})

    def _amounts(self) -> dict[str, str | None]:
        """``pays``: money; ``gives``: what is no money; ``gets``: both, less the fee."""
        legs = self.exchange.legs
        prices = [leg for leg in legs if leg.role is LegRole.PRICE]
        shares = [(leg, leg.share) for leg in legs if leg.share is not None]
        payer = self.role is Role.PAYER
        return {
            "pays": self.total((leg, leg.held) for leg in prices if leg.sort == "money"),
            "gives": self.total((leg, leg.held) for leg in prices if leg.sort != "money"),
            "deposit": self.total((leg, leg.held) for leg in legs if leg.role is LegRole.DEPOSIT),
            "gets": self.total((leg, leg.amount - leg.payee_fee) for leg in prices),
            "all": self.total((leg, leg.held) for leg in legs if leg.sort == "money"),
            "held": self.total((leg, leg.held) for leg in self.exchange.held_legs),
            "share": self.total(
                (leg, one.to_payer if payer else one.to_payee) for leg, one in shares
            ),
        }


def read(
    connection: Connection,
    platform_id: UUID,
    exchange_id: UUID,
    member_id: UUID,
    address: str,
    asked: str | None,
    helper_id: UUID | None = None,
) -> Scene:
    """Return the scene of a member's page, or of a helper's who looks at it for them.

    Raises:
        ExchangeNotFound, MemberNotFound
    """
    exchange = queries.find(connection, platform_id, exchange_id, member_id)
    role = exchange.role_of(member_id)
    assert role is not None
    people = members.find_many(connection, platform_id, [exchange.payer_id, exchange.payee_id])
    platform = platforms.find(connection, platform_id)
    now = clocks.now_at(connection, platform_id, clock.now())
    named = helpers.page(connection, platform_id, member_id, limit=_MOST_HELPERS)
    facts: dict[str, Any] = {"platform_id": platform_id, "exchange_id": exchange_id}
    return Scene(
        exchange=exchange,
        role=role,
        member=people[member_id],
        other=people[exchange.member(role.other)],
        platform=words.clean(platform.name),
        sandbox=platform.mode == "sandbox",
        units=units.find_many(connection, platform_id, {leg.unit for leg in exchange.legs}),
        payments=queries.payments(connection, platform_id, exchange_id),
        events=connection.execute(_EVENTS, facts).mappings().all(),
        now=now,
        address=address,
        asked=asked,
        aided_by=[
            words.clean(one.name)
            for one in named
            if one.name and one.works(now) and one.covers(exchange_id)
        ],
        case=None
        if exchange.case_id is None
        else glance(connection, platform_id, exchange.case_id, role, now),
        phone=None if platform.phone is None else telephone(platform.phone),
        helper=None if helper_id is None else helpers.find(connection, platform_id, helper_id),
        helpers={encode("helper", one.id): words.clean(one.name) for one in named if one.name},
    )
