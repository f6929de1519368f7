"""Mediators in a browser without a script, for tests of the desk's pages."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.http.client import Server
from tests.http.desk import PASSWORD, Person

_HIDDEN = re.compile(r'<input type="hidden" name="([^"]*)" value="([^"]*)"')


@dataclass
class Browser:
    """A browser: it keeps cookies, says where its forms come from, and runs no script."""

    server: Server
    network: str = "203.0.113"
    language: str = "fr"
    cookies: dict[str, str] = field(default_factory=dict)

    def send(
        self,
        method: str,
        path: str,
        form: dict[str, str] | None = None,
        *,
        site: str | None = "same-origin",
        **headers: str,
    ) -> httpx.Response:
        """Send a request and follow nothing."""
        sent = {"accept-language": self.language, **headers}
        if site is not None:
            sent["sec-fetch-site"] = site

        async def go() -> httpx.Response:
            transport = httpx.ASGITransport(
                self.server.app, raise_app_exceptions=False, client=(f"{self.network}.7", 443)
            )
            async with httpx.AsyncClient(
                transport=transport, base_url="http://tierce.test", cookies=self.cookies
            ) as client:
                return await client.request(method, path, headers=sent, data=form)

        answer = self.server.run(go())
        for name, value in answer.cookies.items():
            self.cookies[name] = value
        for cookie in answer.headers.get_list("set-cookie"):
            if "Max-Age=0" in cookie:
                self.cookies.pop(cookie.split("=", 1)[0], None)
        return answer

    def get(self, path: str) -> httpx.Response:
        """Ask for a page."""
        return self.send("GET", path)

    def read(self, path: str) -> str:
        """Ask for a page that is there; return its HTML."""
        answer = self.get(path)
        assert answer.status_code == 200, (answer.status_code, answer.headers, answer.text[-2000:])
        return answer.text

    def post(self, path: str, form: dict[str, str] | None = None, **more: Any) -> httpx.Response:
        """Send a form."""
        return self.send("POST", path, {} if form is None else form, **more)

    def sign_in(self, person: Person) -> Browser:
        """Sign in."""
        form = {"email": person.email, "password": PASSWORD, "code": person.code()}
        answer = self.post("/desk/sign-in", form)
        assert answer.status_code == 303, answer.text
        return self

    def fill(self, path: str, **said: str) -> dict[str, str]:
        """Open a page with a form; return what its hidden fields say, and what is written."""
        return hidden(self.read(path)) | said


def hidden(page: str) -> dict[str, str]:
    """Return the hidden fields of a page."""
    return {name: html.unescape(value) for name, value in _HIDDEN.findall(page)}


def error(page: str) -> str:
    """Return what a page says is wrong."""
    found = re.search(r'<div class="notice bad" role="alert"[^>]*>(.*?)</div>', page, re.DOTALL)
    assert found is not None, page[:3000]
    return html.unescape(re.sub(r"<[^>]+>", " ", found[1])).strip()


def text_of(page: str) -> str:
    """Return what somebody reads of a page."""
    main = page.split("<main", 1)[1].split(">", 1)[1]
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", main)).split())
