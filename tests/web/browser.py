"""A browser without scripts: it keeps cookies, follows where it is sent, and sends forms."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import httpx

from tests.http.client import Server


class Browser:
    """One visitor of the pages."""

    def __init__(self, server: Server, language: str = "fr") -> None:
        self.server = server
        self.headers = {"accept-language": language}
        transport = httpx.ASGITransport(server.app, raise_app_exceptions=False)
        self._http = httpx.AsyncClient(transport=transport, base_url="http://tierce.test")

    @property
    def cookies(self) -> httpx.Cookies:
        """What it keeps."""
        return self._http.cookies

    def get(self, path: str, **more: Any) -> httpx.Response:
        """Open an address."""
        return self.send("GET", path, **more)

    def post(self, path: str, fields: dict[str, str] | None = None, **more: Any) -> httpx.Response:
        """Send a form as a page of ours would."""
        headers = {"sec-fetch-site": "same-origin", **more.pop("headers", {})}
        return self.send("POST", path, data=fields or {}, headers=headers, **more)

    def send(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Send a request as it is."""
        headers = {**self.headers, **more.pop("headers", {})}
        follow = more.pop("follow", True)
        return self.server.run(
            self._http.request(method, path, headers=headers, follow_redirects=follow, **more)
        )


class _Words(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_data(self, data: str) -> None:
        self.found.append(data)


def words(answer: httpx.Response) -> str:
    """Return what a page says, with every space as one."""
    reader = _Words()
    reader.feed(answer.text)
    return " ".join(" ".join(reader.found).split())
