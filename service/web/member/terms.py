"""What was agreed, or is to be agreed to, line by line."""

from __future__ import annotations

from dataclasses import dataclass

from service.exchanges.kinds import LegRole, Role
from service.web.member.scene import Scene


@dataclass(frozen=True, slots=True)
class Term:
    """One line of the terms."""

    name: str
    said: str


def terms(scene: Scene) -> list[Term]:
    """Return the terms as this member meets them: what they give, what they get, when."""
    exchange, say = scene.exchange, scene.say
    found = [Term(say("term.kind"), say(f"kind.{exchange.kind}"))]
    payer = scene.role is Role.PAYER
    for leg in exchange.legs:
        minor = leg.held if payer or leg.role is LegRole.DEPOSIT else leg.amount - leg.payee_fee
        amount = scene.say_amount(minor, leg.unit)
        if leg.role is LegRole.DEPOSIT:
            side = "deposit_payer" if payer else "deposit_payee"
        elif leg.sort == "money":
            side = "pay" if payer else "get"
        else:
            side = "give" if payer else "get"
        at = scene.checkpoint(leg.checkpoint)
        found.append(Term(say(f"term.{side}"), say(f"term_said.{side}", amount=amount, at=at)))
        fee = leg.payer_fee if payer else leg.payee_fee
        if fee and leg.role is LegRole.PRICE:
            said = scene.say_amount(fee, leg.unit)
            name = "fee_payer" if payer else "fee_payee"
            found.append(Term(say("term.fee"), say(f"term_said.{name}", amount=said)))
    for point in exchange.checkpoints:
        if point.due_at is not None:
            found.append(Term(_capital(scene.checkpoint(point.name)), scene.instant(point.due_at)))
    found.append(Term(say("term.silence"), say("term_said.silence", days=_days(scene))))
    return found


def _days(scene: Scene) -> str:
    hours = scene.exchange.window("confirm_hours")
    return str(hours // 24) if hours % 24 == 0 else f"{hours / 24:.1f}".replace(".", ",")


def _capital(said: str) -> str:
    return said[:1].upper() + said[1:]
