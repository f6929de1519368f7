"""What a member's page speaks of, read once: the exchange, who looks at it, and its facts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, RowMapping, text

from ledger import units
from ledger.units import Unit
from service import clock
from service.exchanges import queries
from service.exchanges.kinds import LegRole, Role
from service.exchanges.model import TERMINAL, Exchange, Leg
from service.exchanges.queries import next_actions
from service.messages import words
from service.platforms import clocks, members, platforms
from service.web.words import Speech, amount, language, listed

_EVENTS: Final = text(
    "SELECT type, data, at FROM service.event "
    "WHERE platform_id = :platform_id AND exchange_id = :exchange_id ORDER BY sequence"
)


@dataclass(frozen=True)
class Scene:
    """An exchange as one of its two members sees it, at ``now`` of the platform.

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

    @cached_property
    def locale(self) -> str:
        """The language of the page."""
        return language(self.asked, self.member.locale)

    @cached_property
    def own_locale(self) -> str:
        """The language that the page has without being asked for one."""
        return language(None, self.member.locale)

    @cached_property
    def other_name(self) -> str:
        """The other member's name, made harmless, or words for somebody without one."""
        if self.other.name:
            return words.clean(self.other.name)
        somebody: str = words.catalogue(self.locale, "words")["somebody"]
        return somebody

    @cached_property
    def title(self) -> str:
        """What the two call the exchange."""
        return words.clean(str(self.exchange.terms["title"]))

    @cached_property
    def actions(self) -> frozenset[str]:
        """The names of the steps that this member can take now."""
        return frozenset(
            step.name for step, _side in next_actions(self.exchange, self.role, self.now)
        )

    @property
    def over(self) -> bool:
        """Whether the exchange has ended."""
        return self.exchange.state in TERMINAL

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
        return Speech(
            self.locale,
            "member",
            {
                **self._amounts(),
                "other": self.other_name,
                "title": self.title,
                "platform": self.platform,
                "checkpoint": None if current is None else self.checkpoint(current.name),
            },
        )

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
) -> Scene:
    """Return the scene of a member's page.

    Raises:
        ExchangeNotFound, MemberNotFound
    """
    exchange = queries.find(connection, platform_id, exchange_id, member_id)
    role = exchange.role_of(member_id)
    assert role is not None
    people = members.find_many(connection, platform_id, [exchange.payer_id, exchange.payee_id])
    platform = platforms.find(connection, platform_id)
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
        now=clocks.now_at(connection, platform_id, clock.now()),
        address=address,
        asked=asked,
    )
