"""A story as it stands: who has what to do, where it is, and what the clock would bring."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import Connection

from disputes import assignments
from disputes.model import Case
from service.exchanges import cases, queries
from service.exchanges.deadlines import deadlines
from service.exchanges.kinds import Role
from service.exchanges.model import Exchange
from service.ids import encode
from service.web.landing.place import Place
from service.web.member import scene, where
from service.web.member.history import Happened, history
from service.web.member.path import Stop, stops
from service.web.member.todo import todo
from service.web.words import Speech

#: How many stories the landing page lists.
LISTED: Final = 6
#: Whoever may be silent in a case has this long at least: a move that brings something.
_MOVES: Final = (timedelta(days=1), timedelta(days=3), timedelta(days=8))


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody to be: ``who`` names them in the address; ``turn`` says that it is theirs."""

    who: str
    name: str
    part: str
    lines: list[str]
    turn: bool


@dataclass(frozen=True, slots=True)
class Move:
    """A move of the clock: what the button says and what it sends."""

    label: str
    value: str


@dataclass(frozen=True, slots=True)
class Story:
    """Everything the page of a story shows, in words."""

    id: str
    title: str
    money: list[str]
    path: list[Stop]
    people: list[Person]
    history: list[Happened]
    now: str
    next_due: str | None
    moves: list[Move]
    #: Changes when the story does; None when it is over.
    waits: str | None


def listed(connection: Connection, place: Place) -> list[tuple[str, str, str]]:
    """Return the newest stories: their id, title and state."""
    found = queries.page(connection, place.platform_id, queries.Filters(), limit=LISTED)
    return [(encode("exchange", one.id), str(one.terms["title"]), str(one.state)) for one in found]


def story(connection: Connection, place: Place, exchange_id: UUID, say: Speech) -> Story:
    """Return a story as it stands.

    Raises:
        ExchangeNotFound: there is none on the landing page's platform.
    """
    exchange = queries.find(connection, place.platform_id, exchange_id)
    sides = {
        role: scene.read(
            connection,
            place.platform_id,
            exchange_id,
            exchange.member(role),
            "",
            say.locale,
        )
        for role in (Role.PAYER, Role.PAYEE)
    }
    payer = sides[Role.PAYER]
    case = _case(connection, place, exchange)
    people = [_member(say, role, one, case) for role, one in sides.items()]
    people += _neutrals(connection, place, case, say)
    people.append(Person("office", say("people.office"), say("people.office_part"), [], False))
    due = _next_due(exchange, case)
    moves = [] if due is None else [Move(say("clock.next"), "next")]
    moves += [Move(say(f"clock.days_{move.days}"), f"{move.days}") for move in _MOVES]
    return Story(
        id=encode("exchange", exchange.id),
        title=payer.title,
        money=where.answer(payer),
        path=stops(payer),
        people=people,
        history=history(payer)[:8],
        now=payer.instant(payer.now),
        next_due=None if due is None else payer.instant(due),
        moves=moves,
        waits=None if payer.over else f"{exchange.version}.{0 if case is None else case.version}",
    )


def _case(connection: Connection, place: Place, exchange: Exchange) -> Case | None:
    if exchange.case_id is None:
        return None
    return cases.find(connection, place.platform_id, exchange.case_id)


def _member(say: Speech, role: Role, seen: scene.Scene, case: Case | None) -> Person:
    task = todo(seen)
    lines = task.lines if case is None else [say("people.in_case")]
    mine = bool(task.code_of or any(one.main for one in task.buttons))
    return Person(
        role.value,
        seen.member.name or role.value,
        say(f"people.{role.value}_part"),
        lines,
        (mine or case is not None) and not seen.over,
    )


def _neutrals(
    connection: Connection, place: Place, case: Case | None, say: Speech
) -> Sequence[Person]:
    """Return those who are called now; nobody while there is no case, or nobody is called yet."""
    if case is None:
        return []
    names = {id_: name for name, id_ in place.neutrals.items()}
    return [
        Person(
            str(given.mediator_id),
            names[given.mediator_id],
            say(f"people.{given.part}_part"),
            [say(f"people.{given.part}")],
            True,
        )
        for given in assignments.of_case(connection, place.platform_id, case.id)
        if given.ended_at is None and given.mediator_id in names
    ]


def next_due(connection: Connection, place: Place, exchange_id: UUID) -> datetime | None:
    """Return when something happens by itself in a story, or None."""
    exchange = queries.find(connection, place.platform_id, exchange_id)
    return _next_due(exchange, _case(connection, place, exchange))


def _next_due(exchange: Exchange, case: Case | None) -> datetime | None:
    if case is not None:
        return case.due_at
    return min((one.due_at for one in deadlines(exchange)), default=None)
