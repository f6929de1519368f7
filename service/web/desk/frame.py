"""What every page of the desk has around it, and how a form of it comes in.

Nothing that somebody wrote is lost: when a session has ended meanwhile, what came is kept in the
page that asks for the password, and sent on after it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qs

import structlog
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from ledger.refusals import Refusal
from service import clock
from service.http.edge import Edge, edge_of
from service.http.mediator_auth import Neutral
from service.ids import uuid7
from service.messages.words import LOCALES
from service.web.desk import session
from service.web.desk.session import Visit
from service.web.desk.tongue import Tongue
from service.web.origin import is_ours
from service.web.render import HEADERS, respond
from service.web.words import Speech, catalogue, language, preferred

_log = structlog.get_logger(__name__)

#: The language that somebody chose at the desk.
LANGUAGE: Final = "tierce-desk-language"
_YEAR: Final = 365 * 24 * 3600
_LONGEST_FORM: Final = 900_000
_MOST_FIELDS: Final = 600
#: What the menu leads to, in its order, and the key that does, for those who work by keyboard.
MENU: Final = (
    ("queue", "/desk/queue", "q"),
    ("inbox", "/desk/inbox", "i"),
    ("reviews", "/desk/reviews", "s"),
    ("decided", "/desk/decided", "m"),
    ("templates", "/desk/templates", "t"),
    ("ties", "/desk/ties", "l"),
    ("numbers", "/desk/numbers", "f"),
    ("profile", "/desk/profile", ""),
    ("account", "/desk/account", ""),
    ("keys", "/desk/keys", "?"),
)

Form = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Frame:
    """One request at the desk: who asks, in which language, and how to answer.

    ``visit`` is None before somebody is signed in.
    """

    request: Request
    visit: Visit | None
    locale: str

    @property
    def edge(self) -> Edge:
        """The application's edge."""
        return edge_of(self.request)

    @property
    def me(self) -> Neutral:
        """Who is at the desk."""
        assert self.visit is not None
        return self.visit.me

    @property
    def tongue(self) -> Tongue:
        """How things are said."""
        return Tongue(self.locale)

    def speech(self, file: str, **variables: Any) -> Speech:
        """Return the words of one of the desk's files."""
        return Speech(self.locale, file, variables)

    def page(
        self,
        template: str,
        /,
        *,
        status: int = 200,
        at: str | None = None,
        error: str | None = None,
        done: str | None = None,
        said: Mapping[str, Any] | None = None,
        **parts: Any,
    ) -> Response:
        """Return the page ``desk_<template>.html``.

        Args:
            at: the place in the menu.
            said: what its words are filled with.
        """
        response = respond(
            f"desk_{template}.html",
            self.speech("desk", **(said or {})),
            status=status,
            here=self.request.url.path,
            desk=self.speech("desk"),
            tongue=self.tongue,
            error=error,
            done=done,
            menu=self._menu(at),
            form_key=str(uuid7()),
            visit=self._visit(),
            **parts,
        )
        self._keep(response)
        return response

    def go(self, address: str) -> Response:
        """Lead on to another page, so that reloading it sends nothing again."""
        response = RedirectResponse(address, 303, HEADERS)
        self._keep(response)
        return response

    def refused(self, refusal: Refusal) -> str:
        """Return why something cannot be, and how to mend it."""
        return self.why(refusal.code, refusal.facts)

    def why(self, code: str, facts: Mapping[str, Any] | None = None) -> str:
        """Return the words of a refusal by its code."""
        if code not in catalogue(self.locale, "desk")["refused"]:
            # No page of ours should lead there: it is to be found, and not only by who met it.
            _log.warning("refusal_without_words", code=code)
            code = "other"
        return self.speech("desk", **(facts or {}))(f"refused.{code}")

    def _menu(self, at: str | None) -> list[dict[str, Any]]:
        return [
            {"name": name, "address": to, "key": key, "here": name == at} for name, to, key in MENU
        ]

    def _visit(self) -> dict[str, Any] | None:
        if self.visit is None:
            return None
        left = self.visit.ends_at - clock.now()
        return {
            "name": self.me.seen.name,
            "ends_at": self.tongue.hour(self.visit.ends_at),
            "seconds": max(0, int(left.total_seconds())),
            "is_last": self.visit.ends_at >= self.me.seen.expires_at,
        }

    def _keep(self, response: Response) -> None:
        """Renew the session, and remember a language that was chosen."""
        if self.visit is not None:
            session.renew(response, self.edge, self.me)
        if self.request.query_params.get("lang") in LOCALES:
            response.set_cookie(
                LANGUAGE,
                self.locale,
                max_age=_YEAR,
                path=session.PATH,
                secure=session.is_secure(self.edge.settings),
                httponly=True,
                samesite="strict",
            )


async def enter(request: Request) -> Frame:
    """Return the frame of a request, with whoever is at the desk."""
    visit = await session.read(request)
    own = preferred(request.headers.get("accept-language", ""))
    if visit is not None:
        spoken = visit.me.seen.languages
        own = next((one for one in LOCALES if one in spoken), own)
    kept = request.cookies.get(LANGUAGE)
    own = kept if kept in LOCALES else own
    return Frame(request, visit, language(request.query_params.get("lang"), own))


def is_foreign(request: Request) -> bool:
    """Tell whether a form was sent from somewhere else than a page of ours."""
    return not is_ours(request, edge_of(request).settings.public_url)


async def fields(request: Request) -> dict[str, str]:
    """Return the fields of a form; one that no page of ours sends has none."""
    body = await request.body()
    if len(body) > _LONGEST_FORM:
        return {}
    try:
        found = parse_qs(
            body.decode("ascii"),
            keep_blank_values=True,
            max_num_fields=_MOST_FIELDS,
            errors="strict",
        )
    except ValueError:
        return {}
    return {
        name: values[-1].replace("\r\n", "\n")
        for name, values in found.items()
        if "\x00" not in values[-1] + name
    }
