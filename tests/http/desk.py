"""Browsers and people at the dispute desk, for tests."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import httpx
from sqlalchemy import Engine, text

from service import db
from service.ids import decode
from service.mediators import totp
from tests.http.client import Api, Server

PASSWORD: Final = "quatre mouettes sur le quai"


@dataclass
class Desk:
    """A browser at the dispute desk, in a network of its own (an IPv4 /24)."""

    server: Server
    network: str

    def send(
        self, method: str, path: str, body: Any = None, token: str | None = None
    ) -> httpx.Response:
        """Send a request, with no credential unless one is given."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        more = {} if body is None else {"json": body}

        async def go() -> httpx.Response:
            transport = httpx.ASGITransport(
                self.server.app, raise_app_exceptions=False, client=(f"{self.network}.7", 443)
            )
            async with httpx.AsyncClient(
                transport=transport, base_url="http://tierce.test"
            ) as client:
                return await client.request(method, f"/v1/mediation{path}", headers=headers, **more)

        return self.server.run(go())

    def post(self, path: str, body: Any = None, token: str | None = None) -> httpx.Response:
        """Post."""
        return self.send("POST", path, body, token)

    def me(self, token: str) -> httpx.Response:
        """Ask who is signed in."""
        return self.send("GET", "/me", token=token)

    def refresh(self, session: dict[str, Any]) -> httpx.Response:
        """Ask for the next token of a session."""
        return self.post("/refresh", {"refresh_token": session["refresh_token"]})


@dataclass
class Person:
    """A mediator, with what only they have."""

    id: str
    email: str
    secret: str
    desk: Desk
    used: int

    @property
    def uuid(self) -> UUID:
        """The id as the database has it."""
        return decode("mediator", self.id)

    def code(self) -> str:
        """Return a code that was not used: of this step, or of the next, which is taken too."""
        step = max(totp.step(datetime.now(UTC)), self.used + 1)
        self.used = step
        return totp.code(self.secret, step)

    def try_in(self, desk: Desk | None = None, **other: str) -> httpx.Response:
        """Try to sign in; ``other`` says what is given instead of what is right."""
        body = {"email": self.email, "password": PASSWORD, "code": "000000"} | other
        return (desk or self.desk).post("/sign-in", body)

    def sign_in(self) -> dict[str, Any]:
        """Sign in, and return the session."""
        answer = self.try_in(code=self.code())
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found


def invite(operator: Api, **more: Any) -> dict[str, Any]:
    """Invite a mediator."""
    body = {
        "name": "Maud Le Goff",
        "email": f"m.{secrets.token_hex(8)}@example.org",
        "languages": ["fr", "br"],
    }
    return operator.made("/v1/operator/mediators", body | more)


def path_of(invited: dict[str, Any]) -> str:
    """Return where an invitation is taken up, below the desk's address."""
    return str(invited["invitation"]["path"]).removeprefix("/v1/mediation")


def secret_of(answer: httpx.Response) -> str:
    """Return what an authenticator was told."""
    assert answer.status_code == 200, answer.text
    uri: str = answer.json()["otpauth_uri"]
    (secret,) = parse_qs(urlsplit(uri).query)["secret"]
    return secret


def take_up(desk: Desk, invited: dict[str, Any], password: str = PASSWORD) -> Person:
    """Open an account by invitation."""
    secret = secret_of(desk.post(path_of(invited), {"password": password}))
    # Of the step before, so that the codes of this step and the next are left to the test.
    step = totp.step(datetime.now(UTC)) - 1
    done = desk.post(path_of(invited), {"code": totp.code(secret, step)})
    if done.status_code == 422:  # a step began in between
        step += 1
        done = desk.post(path_of(invited), {"code": totp.code(secret, step)})
    assert done.status_code == 200, done.text
    assert done.json()["state"] == "account_open"
    return Person(invited["id"], invited["email"], secret, desk, step)


def one(engine: Engine, query: str, **values: Any) -> Any:
    """Return the one value that a query finds."""
    with db.transaction(engine, db.SYSTEM) as connection:
        return connection.execute(text(query), values).scalar_one()


def do(engine: Engine, query: str, **values: Any) -> int:
    """Change rows; return how many."""
    with db.transaction(engine, db.SYSTEM) as connection:
        return connection.execute(text(query), values).rowcount
