"""What a browser is shown when a request comes to nothing: words, where a program gets JSON.

Errors are made as problems (RFC 9457) everywhere. Whoever asks for a page reads what happened, what
to do now and a way back; what is asked of the API stays as it is.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import parse_qs

import orjson
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.http.problems import MEDIA_TYPE
from service.web.render import respond
from service.web.words import Speech, language, preferred

#: What the words are called, by the status; all others are ``other``.
_NAMES: Final = {
    404: "nowhere",
    408: "slow",
    413: "large",
    429: "often",
    500: "ours",
    503: "busy",
}
#: Where a page leads back to: a person's own, never one that an address could make up.
_HOME: Final = re.compile(r"/(?:[lh]/[A-Za-z0-9_-]{43}(?:/case(?=/))?|desk|office)(?=/|$)")
#: What of the answer it replaces stays.
_KEPT: Final = frozenset({b"retry-after", b"x-request-id", b"connection", b"allow"})


class Mishaps:
    """The layer that turns problems into pages for those who asked for a page."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or not _is_for_a_person(scope):
            await self._app(scope, receive, send)
            return
        begun: Message | None = None
        parts: list[bytes] = []

        async def finish(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start" and _is_problem(message):
                begun = message
            elif begun is None:
                await send(message)
            else:
                parts.append(message.get("body", b""))
                if not message.get("more_body", False):
                    for one in _page(scope, begun, b"".join(parts)):
                        await send(one)

        await self._app(scope, receive, finish)


def _is_for_a_person(scope: Scope) -> bool:
    """Tell whether a page was asked for: browsers say so, programs do not."""
    return "text/html" in Headers(scope=scope).get("accept", "") and not scope["path"].startswith(
        "/v1/"
    )


def _is_problem(message: Message) -> bool:
    kind = Headers(raw=message["headers"]).get("content-type", "")
    return kind.startswith(MEDIA_TYPE)


def _page(scope: Scope, begun: Message, body: bytes) -> list[Message]:
    headers = Headers(scope=scope)
    asked = parse_qs(scope["query_string"].decode("latin-1")).get("lang", [None])[-1]
    own = preferred(headers.get("accept-language", ""))
    kept = [pair for pair in begun["headers"] if pair[0].lower() in _KEPT]
    given = Headers(raw=begun["headers"])
    # The answer to HEAD has no body, and needs none.
    problem = orjson.loads(body) if body else {}
    home = _HOME.match(scope["path"])
    answer = respond(
        "mishap.html",
        Speech(
            language(asked, own),
            "mishaps",
            {"seconds": given.get("retry-after"), "number": problem.get("request_id")},
        ),
        status=begun["status"],
        here=scope["path"] if home is None else home.group(),
        own=own,
        name=_NAMES.get(begun["status"], "other"),
        home=None if home is None else home.group(),
    )
    content = b"" if scope["method"] == "HEAD" else bytes(answer.body)
    return [
        {
            "type": "http.response.start",
            "status": begun["status"],
            "headers": [*answer.raw_headers, *kept],
        },
        {"type": "http.response.body", "body": content},
    ]
