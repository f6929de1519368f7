"""The queue as its page shows it: what waits, what comes first, and what narrows it down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode
from uuid import UUID

from sqlalchemy import Connection, text

from disputes.model import Cause, Stage
from disputes.queue import Filters, Sort, Ticket, Whose
from disputes.reasons import REASONS, SILENCE
from ledger import units
from service import clock
from service.ids import decode, encode
from service.messages.words import clean
from service.platforms import clocks
from service.web.desk.tongue import Purse, Tongue, midnight

#: How many cases stand on a page.
PAGE: Final = 50
DUE: Final = ("today", "week")
STAGES: Final = tuple(one for one in Stage if one is not Stage.CLOSED)
REASON_CODES: Final = (*REASONS, SILENCE.code)
_PLATFORMS: Final = text("SELECT id, name, mode FROM service.platform WHERE id = ANY(:ids)")
_SERVED: Final = text(
    "SELECT p.id, p.name, p.mode FROM service.platform AS p WHERE p.id IN "
    "(SELECT s.platform_id FROM disputes.pool_platform AS s JOIN disputes.pool_member AS m "
    "ON m.pool_id = s.pool_id WHERE m.mediator_id = :mediator_id) ORDER BY p.name, p.mode"
)


@dataclass(frozen=True, slots=True)
class Asked:
    """What the page's form asks for, as it was chosen; what cannot be read asks for nothing."""

    whose: Whose = Whose.MINE
    sort: Sort = Sort.DUE
    due: str = ""
    stage: str = ""
    cause: str = ""
    reason: str = ""
    gentle: bool = False
    platform: str = ""

    @property
    def is_narrow(self) -> bool:
        """Tell whether something is left out."""
        return self != replace(Asked(), whose=self.whose, sort=self.sort)

    @property
    def query(self) -> str:
        """Return the same as the query of an address."""
        plain = Asked()
        said = {
            name: str(value) if value is not True else "1"
            for name in self.__slots__
            if (value := getattr(self, name)) != getattr(plain, name)
        }
        return urlencode(said)

    def filters(self, now: datetime) -> Filters:
        """Return what it means at ``now``."""
        until = {"today": midnight(now), "week": midnight(now) + timedelta(days=6)}.get(self.due)
        return Filters(
            whose=self.whose,
            platform_id=decode("platform", self.platform) if self.platform else None,
            stages=frozenset({Stage(self.stage)} if self.stage else ()),
            causes=frozenset({Cause(self.cause)} if self.cause else ()),
            reasons=frozenset({self.reason} if self.reason else ()),
            gentle=True if self.gentle else None,
            due_before=until,
        )


def asked(query: Mapping[str, str], *, supervises: bool) -> Asked:
    """Return what the query of an address asks for."""
    whose = query.get("whose", "")
    open_to = set(Whose) if supervises else {Whose.MINE}
    platform = query.get("platform", "")
    try:
        decode("platform", platform)
    except ValueError:
        platform = ""
    return Asked(
        whose=Whose(whose) if whose in open_to else Whose.MINE,
        sort=Sort(query["sort"]) if query.get("sort", "") in set(Sort) else Sort.DUE,
        due=query.get("due", "") if query.get("due", "") in DUE else "",
        stage=query.get("stage", "") if query.get("stage", "") in set(STAGES) else "",
        cause=query.get("cause", "") if query.get("cause", "") in set(Cause) else "",
        reason=query.get("reason", "") if query.get("reason", "") in REASON_CODES else "",
        gentle=bool(query.get("gentle")),
        platform=platform,
    )


@dataclass(frozen=True, slots=True)
class Row:
    """A case as a line of the queue."""

    address: str
    #: What it is about, on one's own; else why there is a case.
    title: str
    reason: str | None
    amount: str
    kind: str
    stage: str
    platform: str
    is_trial: bool
    due: str
    left: str
    is_late: bool
    is_soon: bool
    part: str | None
    cause: str
    gentle: bool


@dataclass(frozen=True, slots=True)
class Houses:
    """The platforms that a page speaks of: names, times, and units of value."""

    named: Mapping[UUID, Mapping[str, Any]]
    times: Mapping[UUID, datetime]
    purses: Mapping[UUID, Purse]


def houses(connection: Connection, tickets: Sequence[Ticket], locale: str) -> Houses:
    """Return what is to be known of the tickets' platforms."""
    ids = sorted({one.platform_id for one in tickets})
    rows = connection.execute(_PLATFORMS, {"ids": ids}).mappings()
    named = {row["id"]: dict(row) for row in rows}
    codes: dict[UUID, set[str]] = {one: set() for one in ids}
    for one in tickets:
        codes[one.platform_id].add(one.unit)
        for line in (one.file or {}).get("lines", ()):
            codes[one.platform_id].add(line["unit"])
    now = clock.now()
    return Houses(
        named,
        {one: clocks.now_at(connection, one, now) for one in ids},
        {one: Purse(locale, units.find_many(connection, one, codes[one])) for one in ids},
    )


def served(connection: Connection, mediator_id: UUID) -> list[tuple[str, str, bool]]:
    """Return the platforms that somebody serves: id, name, whether it is a trial."""
    rows = connection.execute(_SERVED, {"mediator_id": mediator_id})
    return [(encode("platform", row.id), clean(row.name), row.mode == "sandbox") for row in rows]


def row(ticket: Ticket, around: Houses, tongue: Tongue) -> Row:
    """Return a ticket as the page shows it."""
    platform = around.named[ticket.platform_id]
    now = around.times[ticket.platform_id]
    left = ticket.due_at - now
    reason, file = tongue.word("reasons", ticket.reason), ticket.file
    return Row(
        address=f"/desk/cases/{encode('case', ticket.case_id)}",
        title=reason if file is None else clean(file["agreed"]["terms"]["title"]),
        reason=None if file is None else reason,
        amount=around.purses[ticket.platform_id].say(ticket.amount, ticket.unit),
        kind=tongue.word("kinds", ticket.kind),
        stage=tongue.word("stages", ticket.stage),
        platform=clean(platform["name"]),
        is_trial=platform["mode"] == "sandbox",
        due=tongue.instant(ticket.due_at),
        left=tongue.left(ticket.due_at, now),
        is_late=left < timedelta(0),
        is_soon=timedelta(0) <= left < timedelta(days=1),
        part=ticket.part,
        cause=tongue.word("causes", ticket.cause),
        gentle=ticket.gentle,
    )
