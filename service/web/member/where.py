"""The first question: where is my money, or what is given in its place?"""

from __future__ import annotations

from dataclasses import dataclass

from service.exchanges.kinds import LegRole, Role
from service.exchanges.model import Leg, LegState
from service.web.member.scene import Scene
from service.web.words import listed


@dataclass(frozen=True, slots=True)
class Line:
    """One value of the exchange: what it is, how much, and where it is now."""

    label: str
    amount: str
    where: str


def heading(scene: Scene) -> str:
    """Return the question as this exchange asks it."""
    if scene.money:
        return scene.say("heading.money")
    return scene.say("heading.units" if scene.exchange.legs else "heading.gift")


def answer(scene: Scene) -> list[str]:
    """Return the answer, in sentences of one idea each."""
    exchange, say = scene.exchange, scene.say
    if not exchange.legs:
        return [say("where_gift.over" if scene.over else "where_gift.now")]
    if exchange.frozen_at is not None and not scene.over:
        return [say("where.frozen")]
    if scene.frozen_by_case:
        return [say("where.disputed" if scene.money else "where_units.disputed")]
    group = "where" if scene.money else "where_units"
    state = exchange.state.value
    for name in (f"{group}.{state}_{scene.role}", f"{group}.{state}"):
        if say.has(name):
            return [say(name)]
    return [say(f"where.{state}")]


def lines(scene: Scene) -> list[Line]:
    """Return every leg with where its value is; empty when the answer has said all there is."""
    return [
        Line(_label(scene, leg), scene.say_amount(leg.held, leg.unit), _where(scene, leg))
        for leg in scene.exchange.legs
    ]


def _label(scene: Scene, leg: Leg) -> str:
    if leg.role is LegRole.DEPOSIT:
        return scene.say("leg.deposit")
    if len(scene.exchange.checkpoints) > 1:
        return scene.say("leg.price_at", at=scene.checkpoint(leg.checkpoint))
    return scene.say("leg.price")


def _where(scene: Scene, leg: Leg) -> str:
    say = scene.say
    if leg.state is LegState.SETTLED and leg.share is not None:
        return _shared(scene, leg)
    if leg.state is LegState.HELD:
        if leg.disputed:
            return say("leg.disputed")
        if scene.exchange.is_blocked(leg):
            return say("leg.blocked")
        return say("leg.held" if leg.sort == "money" else "leg.aside")
    return say("leg.never" if scene.over else "leg.open")


def _shared(scene: Scene, leg: Leg) -> str:
    share, say = leg.share, scene.say
    assert share is not None
    mine, theirs = share.to_payer, share.to_payee
    if scene.role is Role.PAYEE:
        mine, theirs = theirs, mine
    parts = []
    if mine:
        parts.append(say("leg.to_me", amount=scene.say_amount(mine, leg.unit)))
    if theirs:
        parts.append(say("leg.to_other", amount=scene.say_amount(theirs, leg.unit)))
    if share.to_fees:
        parts.append(say("leg.to_fees", amount=scene.say_amount(share.to_fees, leg.unit)))
    return listed(parts, scene.locale) or say("leg.never")
