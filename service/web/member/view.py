"""A member's page put together."""

from __future__ import annotations

from dataclasses import dataclass

from service.exchanges.kinds import shows_code
from service.exchanges.model import State
from service.ids import spoken
from service.web.member import where
from service.web.member.history import Happened, history
from service.web.member.offers import Offer, offer
from service.web.member.path import Stop, stops
from service.web.member.scene import Scene
from service.web.member.terms import Term, terms
from service.web.member.todo import Button, Todo, by_when, elsewhere, todo


@dataclass(frozen=True, slots=True)
class View:
    """Everything the template shows, in words."""

    title: str
    number: str
    square: Square
    here: str
    version: int
    sandbox: bool
    proposed: bool
    error: str | None
    done: str | None
    money_heading: str
    money: list[str]
    todo: Todo
    by: list[str]
    code_action: str
    offer: Offer | None
    path: list[Stop]
    terms: list[Term]
    lines: list[where.Line]
    history: list[Happened]
    elsewhere: list[Button]


@dataclass(frozen=True, slots=True)
class Square:
    """What the page's script needs to check a square by itself: of which code it would be."""

    exchange: str
    takes: bool
    gives: bool
    position: int
    generation: int


def _square(scene: Scene) -> Square:
    exchange, point = scene.exchange, scene.exchange.current
    code = None if point is None or scene.over else point.code
    if point is None or code is None:
        return Square(exchange.id.hex, False, False, 0, 0)
    gives = scene.role is shows_code(exchange.kind, point.name)
    takes = not gives and "enter_code" in scene.actions
    return Square(exchange.id.hex, takes, gives, point.position, code.generation)


def view(scene: Scene, *, error: str | None = None, done: str | None = None) -> View:
    """Return the page; ``error`` says why a step was not taken, ``done`` that one was."""
    return View(
        title=scene.title,
        number=spoken(scene.exchange.id),
        square=_square(scene),
        here=scene.link(),
        version=scene.exchange.version,
        sandbox=scene.sandbox,
        proposed=scene.exchange.state is State.PROPOSED,
        error=error,
        done=done,
        money_heading=where.heading(scene),
        money=where.answer(scene),
        todo=todo(scene),
        by=by_when(scene),
        code_action=scene.link("/steps/enter_code"),
        offer=offer(scene),
        path=stops(scene),
        terms=terms(scene),
        lines=where.lines(scene),
        history=history(scene),
        elsewhere=elsewhere(scene),
    )
