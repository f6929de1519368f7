"""The second and third questions: what do I do now, by when, and what if I don't?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from service.exchanges.deadlines import deadlines, decide_by, silence
from service.exchanges.kinds import Role, shows_code
from service.exchanges.model import Checkpoint, State
from service.web.member.scene import Scene
from service.web.words import listed


@dataclass(frozen=True, slots=True)
class Button:
    """Something to press: a form that sends ``hidden``, or (``link``) a way to another page."""

    address: str
    label: str
    hidden: Mapping[str, Any] = field(default_factory=dict)
    link: bool = False
    main: bool = True


@dataclass(slots=True)
class Todo:
    """What to do now."""

    lines: list[str] = field(default_factory=list)
    buttons: list[Button] = field(default_factory=list)
    #: The terms are to be read first, above the button.
    terms_first: bool = False
    #: There is a field for the code that the other side tells: for which checkpoint.
    code_of: str | None = None
    #: Something moves by itself: the page looks again.
    waits: bool = False


def todo(scene: Scene) -> Todo:
    """Return what this member can do now, the most useful first."""
    found = Todo()
    exchange = scene.exchange
    if scene.over:
        found.lines.append(scene.say("todo.over"))
    elif exchange.frozen_at is not None:
        found.lines.append(scene.say("todo.frozen"))
    elif exchange.state is State.PROPOSED:
        _proposed(scene, found)
    elif exchange.state is State.AGREED:
        _agreed(scene, found)
    elif exchange.state is State.FUNDING:
        _funding(scene, found)
    else:
        _held(scene, found)
    return found


def _proposed(scene: Scene, found: Todo) -> None:
    if "agree" not in scene.actions:
        found.lines.append(scene.say("todo.wait_agree"))
        return
    found.lines.append(scene.say("todo.agree"))
    found.terms_first = True
    # What is agreed to is what the page shows, not what has come in its place meanwhile.
    exchange = scene.exchange
    hidden = {"version": exchange.version, "terms_hash": exchange.terms_hash}
    found.buttons.append(Button(scene.link("/steps/agree"), scene.say("button.agree"), hidden))
    found.buttons.append(_review(scene, "decline"))


def _agreed(scene: Scene, found: Todo) -> None:
    say = scene.say
    if scene.role is Role.PAYEE:
        found.lines.append(say("todo.wait_pay" if scene.money else "todo.wait_aside"))
    elif "fund" in scene.actions:
        failed = _last_failure(scene)
        if failed is not None:
            found.lines.append(failed)
        found.lines.append(say("todo.pay" if scene.money else "todo.aside"))
        hidden = {"version": scene.exchange.version}
        label = say("button.pay" if scene.money else "button.aside")
        found.buttons.append(Button(scene.link("/pay"), label, hidden))


#: Why a payment failed, where there is something that the payer can do about it.
_FAILURES: Final = frozenset(
    {"card_declined", "insufficient_funds", "expired_card", "authentication_failed"}
)


def _last_failure(scene: Scene) -> str | None:
    tried = [row for row in scene.payments if row["kind"] == "collect"]
    if not tried or tried[-1]["state"] != "failed":
        return None
    why = tried[-1]["failure"]
    return scene.say(f"failure.{why if why in _FAILURES else 'other'}")


def _funding(scene: Scene, found: Todo) -> None:
    say = scene.say
    if scene.role is Role.PAYEE:
        found.lines.append(say("todo.wait_pay"))
        found.waits = True
        return
    page = payment_page(scene) if scene.may_pay else None
    if page is None:
        found.lines.append(say("todo.paying"))
        found.waits = True
    else:
        address, until = page
        found.lines.append(say("todo.pay_there"))
        if until is not None:
            found.lines.append(say("todo.page_until", until=scene.instant(until)))
        found.buttons.append(Button(address, say("button.pay_there"), link=True))
    if "abandon_payment" in scene.actions:
        found.buttons.append(_review(scene, "abandon_payment"))


def payment_page(scene: Scene) -> tuple[str, datetime | None] | None:
    """Return the page of the provider that waits for the payer, and until when it does."""
    for row in scene.payments:
        wanted = row["next_action"]
        if row["kind"] != "collect" or row["settled_at"] is not None or not wanted:
            continue
        if wanted.get("type") == "sandbox_action":
            return scene.link("/sandbox-page"), None
        url = str(wanted.get("url", ""))
        if url.startswith("https://"):
            until = wanted.get("expires_at")
            return url, None if until is None else datetime.fromisoformat(until)
    return None


def _held(scene: Scene, found: Todo) -> None:
    exchange, say = scene.exchange, scene.say
    if exchange.case_id is not None:
        found.lines.append(say("todo.case"))
        turn = None if scene.case is None else scene.case.turn
        found.lines.append(say(f"todo.case_{turn or 'wait'}"))
        found.buttons.append(Button(scene.link("/case"), say("button.case"), link=True))
    elif exchange.state is State.IN_REVIEW:
        found.lines.append(say("todo.review"))
    point = exchange.current
    if point is None:
        if not found.lines:
            found.lines.append(say("todo.nothing"))
        return
    if point.confirmed_by(scene.role) is not None:
        found.lines.append(say("todo.confirmed"))
        if "withdraw_confirmation" in scene.actions:
            found.buttons.append(_review(scene, "withdraw_confirmation"))
    elif scene.frozen_by_case:
        # Whoever has reported a problem is not asked for their code; they still can confirm.
        if "confirm" in scene.actions:
            found.buttons.append(_review(scene, "confirm"))
    elif "confirm" in scene.actions:
        _confirm(scene, point, found)


def _confirm(scene: Scene, point: Checkpoint, found: Todo) -> None:
    say = scene.say
    holds = shows_code(scene.exchange.kind, point.name) is scene.role
    locked = point.code is not None and point.code.locked_at is not None
    if point.code is None:
        found.lines.append(say("todo.confirm"))
    elif holds and locked:
        found.lines.append(say("todo.code_locked_mine"))
        if "renew_code" in scene.actions:
            found.buttons.append(Button(scene.link("/steps/renew_code"), say("button.renew_code")))
    elif holds:
        found.lines.append(say("todo.tell_code"))
        found.buttons.append(Button(scene.link("/code"), say("button.code")))
    elif locked:
        found.lines.append(say("todo.code_locked_theirs"))
    elif "enter_code" in scene.actions:
        found.lines.append(say("todo.enter_code"))
        found.code_of = point.name
    found.buttons.append(_review(scene, "confirm", main=point.code is None or locked))


def _review(scene: Scene, step: str, *, main: bool = False) -> Button:
    return Button(scene.link(f"/review/{step}"), scene.say(f"button.{step}"), link=True, main=main)


def elsewhere(scene: Scene) -> list[Button]:
    """Return what can be done besides, each with a page that says first what it means."""
    steps = ("cancel", "propose_cancellation")
    found = [_review(scene, step) for step in steps if step in scene.actions]
    if scene.exchange.closed_at is not None and scene.exchange.agreed_at is not None:
        there = Button(scene.link("/receipt"), scene.say("button.receipt"), link=True, main=False)
        found.append(there)
    if "claim" in scene.actions:
        there = Button(scene.link("/problem"), scene.say("button.problem"), link=True, main=False)
        found.append(there)
    if scene.helper is None:
        names = listed(list(scene.aided_by), scene.locale)
        label = scene.say("button.helpers")
        if names is not None:
            label = scene.say("button.helpers_known", helpers=names)
        found.append(Button(scene.link("/helpers"), label, link=True, main=False))
    return found


def by_when(scene: Scene) -> list[str]:
    """Return by when something is to be done, by whom, and what happens if it is not."""
    exchange, say = scene.exchange, scene.say
    if scene.over:
        return [say("by.over")]
    wait = silence(exchange)
    found = []
    if scene.case is not None:
        found += [
            say("by.case", due=scene.instant(at), then=then[scene.locale])
            for at, then in scene.case.ends
        ]
    if wait is not None:
        whose = "mine" if scene.role in wait.whose else "theirs"
        due = scene.instant(wait.due_at)
        found.append(say(f"by.until_{whose}", due=due))
        found.append(say(f"by.{_consequence(scene, wait.deadline)}"))
    else:
        until = decide_by(exchange)
        if until is not None:
            found.append(say("by.review", due=scene.instant(until)))
    last = next((line for line in deadlines(exchange) if line.name == "refund_at"), None)
    if last is not None and scene.money:
        found.append(say("by.refund_at", due=scene.day(last.due_at)))
    return found or [say("by.none")]


def _consequence(scene: Scene, deadline: str) -> str:
    return deadline if scene.money or deadline == "agree_by" else f"{deadline}_no_money"
