"""The page that a one-tap link opens: what stands, where the money is, what to do, by when.

Plain HTML that needs nothing else: no script, no picture, nothing from anywhere. Looking at it
changes nothing, for mail scanners look at every link.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from markupsafe import Markup
from sqlalchemy import Connection

from service.exchanges.kinds import Role, shows_code
from service.exchanges.model import TERMINAL, Exchange, State
from service.exchanges.queries import next_actions
from service.messages import facts
from service.messages.words import LOCALES, catalogue, fill, pages
from service.platforms import members

#: The steps that one tap can take.
STEPS: Final = ("agree", "confirm")

_STYLE: Final = (
    "body{margin:0;background:#fff;color:#1a1a1a;font:20px/1.5 Arial,Helvetica,sans-serif}"
    "main{max-width:34em;margin:0 auto;padding:24px}"
    "h1{font-size:28px;line-height:1.25;overflow-wrap:anywhere}h2{font-size:22px;margin-top:32px}"
    "button{font:bold 22px Arial,Helvetica,sans-serif;min-height:56px;padding:14px 28px;"
    "margin:8px 0;border:3px solid #0b4f6c;border-radius:6px;background:#0b4f6c;color:#fff}"
    "button:focus-visible{outline:4px solid #b34700;outline-offset:3px}"
    ".notice{border-left:8px solid #b34700;padding:8px 16px}"
)
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

#: What a browser may do with the page: show it, and send its forms back here.
HEADERS: Final = {
    "content-security-policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; "
        "frame-ancestors 'none'; base-uri 'none'"
    ),
    "referrer-policy": "no-referrer",
    "x-robots-tag": "noindex, nofollow",
    "cache-control": "no-store",
}


@dataclass(frozen=True, slots=True)
class _Form:
    """A button, and what it sends."""

    action: str
    button: str
    hidden: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class _Section:
    heading: str
    lines: list[str] = field(default_factory=list)
    forms: list[_Form] = field(default_factory=list)


def _page(locale: str, title: str, **parts: Any) -> str:
    blank: dict[str, Any] = {"intro": [], "notice": None, "sections": [], "elsewhere": None}
    shown = {**blank, **parts, "locale": locale, "title": title, "style": Markup(_STYLE)}  # noqa: S704
    return pages.get_template("page.html").render(shown)


def closed(locale: str, name: str) -> str:
    """Return the page of a link that opens nothing: ``gone`` or ``unknown``."""
    words = catalogue(locale, "page")
    return _page(locale, words[name], intro=[words[f"{name}_text"]])


def preferred(accept_language: str) -> str:
    """Return the language to use with somebody of whom nothing is known but their browser."""
    for part in accept_language.split(","):
        language = part.split(";")[0].strip().lower().split("-")[0]
        if language in LOCALES:
            return language
    return LOCALES[0]


def opened(
    connection: Connection,
    exchange: Exchange,
    member: members.Member,
    address: str,
    now: datetime,
    *,
    refused: bool = False,
    code: str | None = None,
) -> str:
    """Return the page of an exchange for one of its members.

    Args:
        address: the path of the link, which the forms send to.
        now: the platform's time.
        refused: a step was just tried and not taken.
        code: the digits of the member's hand-over code, when they have asked for them.
    """
    platform_id = exchange.platform_id
    recipient, values = facts.variables(connection, platform_id, member.id, exchange.id, {})
    words = catalogue(recipient.locale, "page")
    role = exchange.role_of(member.id)
    assert role is not None

    def say(name: str) -> str:
        return fill(words[name], {**values, "code": code})

    money = _Section(say("money"), [fill(words["where"][_where(exchange)], values)])
    todo = _Section(say("todo"))
    if exchange.state not in TERMINAL:
        _terms(exchange, role, values, money, say)
        _todo(exchange, role, address, now, todo, say)
        _code(exchange, role, address, todo, say, shown=code is not None)
        if todo.forms and values["due"]:
            todo.lines.append(say("by"))
    if not todo.lines:
        todo.lines.append(say("nothing"))
    return _page(
        recipient.locale,
        values["title"],
        intro=[say("with")],
        notice=say("refused") if refused else None,
        sections=[todo, money] if todo.forms else [money, todo],
        elsewhere=say("elsewhere") if exchange.state not in TERMINAL else None,
    )


def _where(exchange: Exchange) -> str:
    if not exchange.legs:
        return "nothing" if exchange.state not in TERMINAL else exchange.state.value
    if exchange.frozen_at is not None and exchange.state not in TERMINAL:
        return "frozen"
    return exchange.state.value


def _terms(
    exchange: Exchange, role: Role, values: Mapping[str, Any], money: _Section, say: Any
) -> None:
    if exchange.state in {State.PROPOSED, State.AGREED} and exchange.legs:
        name = "pays" if role is Role.PAYER else "gets"
        if values["paid" if role is Role.PAYER else "gets"]:
            money.lines.append(say(name))


def _todo(
    exchange: Exchange, role: Role, address: str, now: datetime, todo: _Section, say: Any
) -> None:
    possible = {step.name for step, _side in next_actions(exchange, role, now)}
    current = exchange.current
    if "agree" in possible:
        todo.lines.append(say("agree"))
        # What is agreed to is what the page shows, not what has come in its place meanwhile.
        hidden = {"version": exchange.version, "terms_hash": exchange.terms_hash}
        todo.forms.append(_Form(f"{address}/steps/agree", say("agree_button"), hidden))
    elif "fund" in possible:
        todo.lines.append(say("fund"))
    elif current is not None and current.confirmed_by(role) is not None:
        todo.lines.append(say("waiting"))
    elif current is not None and "confirm" in possible:
        todo.lines.append(say("confirm"))
        hidden = {"checkpoint": current.name, "terms_hash": exchange.terms_hash}
        todo.forms.append(_Form(f"{address}/steps/confirm", say("confirm_button"), hidden))


def _code(
    exchange: Exchange, role: Role, address: str, todo: _Section, say: Any, *, shown: bool
) -> None:
    point = exchange.current
    if point is None or point.code is None or shows_code(exchange.kind, point.name) is not role:
        return
    if point.code.locked_at is not None:
        todo.lines.append(say("code_locked"))
    elif shown:
        todo.lines.append(say("code_shown"))
    else:
        todo.lines.append(say("code"))
        todo.forms.append(_Form(f"{address}/code", say("code_button")))
