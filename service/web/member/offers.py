"""An open offer to end the exchange otherwise than planned, and its answers."""

from __future__ import annotations

from dataclasses import dataclass

from service.exchanges.kinds import Role
from service.web.member.scene import Scene
from service.web.member.todo import Button


@dataclass(frozen=True, slots=True)
class Offer:
    """An offer in words, with what this member can answer."""

    lines: list[str]
    buttons: list[Button]


def offer(scene: Scene) -> Offer | None:
    """Return the open offer, or None."""
    open_ = scene.exchange.proposal
    if scene.over or open_ is None or scene.now >= open_.expires_at:
        return None
    say = scene.say
    mine = open_.by is scene.role
    whose = "mine" if mine else "theirs"
    found = [say(f"offer.{open_.kind}_{whose}")]
    if open_.kind == "settlement":
        held = [(leg, open_.to_payee.get(leg.id, 0)) for leg in scene.exchange.held_legs]
        to_payee = scene.total(held)
        to_payer = scene.total((leg, leg.held - minor) for leg, minor in held)
        mine_, theirs = to_payer, to_payee
        if scene.role is Role.PAYEE:
            mine_, theirs = to_payee, to_payer
        nothing = say("offer.nothing")
        found.append(say("offer.split", mine=mine_ or nothing, theirs=theirs or nothing))
    found.append(say("offer.until", due=scene.instant(open_.expires_at)))
    steps = ("withdraw_proposal",) if mine else ("accept_proposal", "reject_proposal")
    buttons = [
        Button(
            scene.link(f"/review/{step}"),
            say(f"button.{step}"),
            link=True,
            main=step == "accept_proposal",
        )
        for step in steps
        if step in scene.actions
    ]
    return Offer(found, buttons)
