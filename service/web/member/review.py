"""The page before a step that counts: what it means and what it moves, and a way back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from service.exchanges.kinds import LegRole, Role
from service.exchanges.model import LegState
from service.ids import encode, spoken
from service.web.member.offers import offer
from service.web.member.scene import Scene
from service.web.member.todo import Button

#: The steps that are looked at before they are taken.
REVIEWED: Final = (
    "confirm",
    "decline",
    "cancel",
    "propose_cancellation",
    "accept_proposal",
    "reject_proposal",
    "withdraw_proposal",
    "withdraw_confirmation",
    "abandon_payment",
)


@dataclass(frozen=True, slots=True)
class Review:
    """What the template of a review shows."""

    title: str
    number: str
    heading: str
    lines: list[str]
    effects_intro: str
    effects: list[str]
    button: Button
    back: Button


def review(scene: Scene, step: str) -> Review:
    """Return the review of a step that the member can take now."""
    say = scene.say
    intro, effects = _effects(scene) if step == "confirm" else ("", [])
    open_ = offer(scene) if step in {"accept_proposal", "reject_proposal"} else None
    if open_ is not None:
        intro, effects = say("case.means"), open_.lines[:-1]  # until when it holds is past asking
    return Review(
        title=scene.title,
        number=spoken(scene.exchange.id),
        heading=say(f"review_title.{step}"),
        lines=[say(f"review.{step}")],
        effects_intro=intro,
        effects=effects,
        button=Button(
            scene.link(f"/steps/{step}"), say(f"review_button.{step}"), _hidden(scene, step)
        ),
        back=Button(scene.link(), say("back"), link=True, main=False),
    )


def _hidden(scene: Scene, step: str) -> Mapping[str, Any]:
    """Return what binds a press to what its page showed."""
    exchange = scene.exchange
    if step in {"confirm", "withdraw_confirmation"}:
        current = exchange.current
        return {
            "checkpoint": "" if current is None else current.name,
            "terms_hash": exchange.terms_hash,
        }
    if step in {"accept_proposal", "reject_proposal", "withdraw_proposal"}:
        open_ = exchange.proposal
        return {"proposal": "" if open_ is None else encode("proposal", open_.id)}
    return {"version": exchange.version}


def _effects(scene: Scene) -> tuple[str, list[str]]:
    """Tell what the confirmation moves, at once or with the other side's."""
    exchange, say = scene.exchange, scene.say
    point = exchange.current
    if point is None:
        return "", []
    last = point.confirmed_by(scene.role.other) is not None
    found = []
    for leg in exchange.legs:
        if leg.checkpoint != point.name or leg.state is not LegState.HELD or leg.disputed:
            continue
        deposit = leg.role is LegRole.DEPOSIT
        mine = scene.role is (Role.PAYER if deposit else Role.PAYEE)
        minor = leg.held if deposit else leg.amount - leg.payee_fee
        name = f"{'back' if deposit else 'to_payee'}_{'me' if mine else 'other'}"
        found.append(say(f"effect.{name}", amount=scene.say_amount(minor, leg.unit)))
    return (
        say("effect.confirm_last" if last else "effect.confirm_first"),
        found or [say("effect.nothing")],
    )
