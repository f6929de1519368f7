"""The API as a platform's developer meets it, and the people of the plays."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

Say = Callable[[str], None]
Json = dict[str, Any]


class PlayFailed(RuntimeError):
    """A step of the play did not do what it should; the message says which and why."""


class Client:
    """The API as a platform's developer meets it: bearer key, JSON, idempotency keys."""

    #: How many seconds something may take that is done behind the API.
    patience: float = 30.0

    def __init__(self, base_url: str, key: str) -> None:
        """Speak to the API at ``base_url`` with ``key``, or with a member's token per call."""
        self._http = httpx.Client(base_url=base_url, timeout=30.0, trust_env=False)
        self._key = key

    def close(self) -> None:
        """Let the connection go."""
        self._http.close()

    def get(self, path: str, *, token: str | None = None, **params: Any) -> Json:
        """Read ``path``."""
        return self._ask("GET", path, token, params=params)

    def post(self, path: str, body: Mapping[str, Any], *, token: str | None = None) -> Json:
        """Do ``path``, once however often the network repeats it."""
        headers = {"Idempotency-Key": secrets.token_hex(16)}
        return self._ask("POST", path, token, json=dict(body), headers=headers)

    def upload(self, path: str, content: bytes, *, token: str, **params: Any) -> Json:
        """Send the bytes of a file to ``path``."""
        headers = {"Idempotency-Key": secrets.token_hex(16)}
        return self._ask("POST", path, token, content=content, params=params, headers=headers)

    def sign_in(self, body: Mapping[str, Any]) -> str | None:
        """Sign a mediator in; return their token, or None if what they say does not open it."""
        path = "/v1/mediation/sign-in"
        answer = self._send("POST", path, {}, json=dict(body))
        if answer.status_code in {401, 429}:
            return None
        if answer.is_error:
            raise PlayFailed(f"POST {path}: {answer.status_code} {answer.text[:500]}")
        token: str = answer.json()["token"]
        return token

    def _ask(self, method: str, path: str, token: str | None, **request: Any) -> Json:
        headers = {**request.pop("headers", {}), "Authorization": f"Bearer {token or self._key}"}
        answer = self._send(method, path, headers, **request)
        if answer.is_error:
            raise PlayFailed(f"{method} {path}: {answer.status_code} {answer.text[:500]}")
        found: Json = answer.json()
        return found

    def _send(
        self, method: str, path: str, headers: Mapping[str, str], **request: Any
    ) -> httpx.Response:
        try:
            return self._http.request(method, path, headers=dict(headers), **request)
        except httpx.HTTPError as error:
            raise PlayFailed(f"{method} {path}: {type(error).__name__} {error}") from error


@dataclass(frozen=True, slots=True)
class Party:
    """A member in the play: the id for the platform's calls, the token for the member's own."""

    id: str
    name: str
    token: str


def join(client: Client, name: str) -> Party:
    """Add a member, with a token of their own."""
    id_ = f"demo-{secrets.token_hex(6)}"
    # A sandbox writes to nobody: what this member is told is read in /dev/mailbox.
    email = f"{id_}@example.org"
    body = {"external_id": id_, "name": name, "locale": "fr", "email": email}
    member = client.post("/v1/members", body)
    token = client.post(f"/v1/members/{member['id']}/tokens", {"ttl_seconds": 900})
    return Party(member["id"], name, token["token"])


def expected(exchange: Json, state: str) -> Json:
    """Return the exchange, which is to be in ``state``."""
    if exchange["state"] != state:
        raise PlayFailed(f"{exchange['id']} should be {state} and is {exchange['state']}")
    return exchange


def paid_out(payments: Json) -> bool:
    """Return whether the payout has arrived, and everything before it."""
    for one in payments["data"]:
        if one["state"] in {"failed", "canceled"}:
            raise PlayFailed(f"{one['kind']} {one['id']} {one['state']}: {one['failure']}")
    return any(one["kind"] == "payout" for one in payments["data"]) and all(
        one["state"] == "succeeded" for one in payments["data"]
    )


def until(client: Client, path: str, holds: Callable[[Json], bool]) -> Json:
    """Read ``path`` until it says so: providers answer in their own time."""
    deadline = time.monotonic() + client.patience
    while time.monotonic() < deadline:
        found = client.get(path)
        if holds(found):
            return found
        time.sleep(0.1)
    raise PlayFailed(f"{path} does not come to what was expected; is the worker running?")
