"""The main job, played over HTTP as a platform and two of its members would live it.

A bicycle is sold for 65.00 EUR: both agree, the buyer's payment is held, the buyer tells the code
in person, the seller enters it, and the held payment is released and paid out. Then two hours of
help are held and released the same way, with no payment provider at all.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx

Say = Callable[[str], None]

_PATIENCE_SECONDS: Final = 30.0
_JSON = dict[str, Any]


class PlayFailed(RuntimeError):
    """A step of the play did not do what it should; the message says which and why."""


class Client:
    """The API as a platform's developer meets it: bearer key, JSON, idempotency keys."""

    def __init__(self, base_url: str, key: str) -> None:
        """Speak to the API at ``base_url`` with ``key``, or with a member's token per call."""
        self._http = httpx.Client(base_url=base_url, timeout=30.0, trust_env=False)
        self._key = key

    def close(self) -> None:
        """Let the connection go."""
        self._http.close()

    def get(self, path: str, *, token: str | None = None, **params: Any) -> _JSON:
        """Read ``path``."""
        return self._ask("GET", path, token, params=params)

    def post(self, path: str, body: Mapping[str, Any], *, token: str | None = None) -> _JSON:
        """Do ``path``, once however often the network repeats it."""
        headers = {"Idempotency-Key": secrets.token_hex(16)}
        return self._ask("POST", path, token, json=dict(body), headers=headers)

    def _ask(self, method: str, path: str, token: str | None, **request: Any) -> _JSON:
        headers = {**request.pop("headers", {}), "Authorization": f"Bearer {token or self._key}"}
        try:
            answer = self._http.request(method, path, headers=headers, **request)
        except httpx.HTTPError as error:
            raise PlayFailed(f"{method} {path}: {type(error).__name__} {error}") from error
        if answer.is_error:
            raise PlayFailed(f"{method} {path}: {answer.status_code} {answer.text[:500]}")
        found: _JSON = answer.json()
        return found


@dataclass(frozen=True, slots=True)
class Party:
    """A member in the play: the id for the platform's calls, the token for the member's own."""

    id: str
    name: str
    token: str


def play(base_url: str, key: str, say: Say) -> bool:
    """Play both exchanges, telling each step; return whether every step held."""
    client = Client(base_url, key)
    try:
        say("\nThe main job, over HTTP:")
        anne, yann = _party(client, "Anne"), _party(client, "Yann")
        _sell(client, anne, yann, say)
        _help(client, anne, yann, say)
    except PlayFailed as error:
        say(f"  FAILED  {error}")
        return False
    finally:
        client.close()
    return True


def _party(client: Client, name: str) -> Party:
    member = client.post("/v1/members", {"external_id": f"demo-{secrets.token_hex(6)}"})
    token = client.post(f"/v1/members/{member['id']}/tokens", {})
    return Party(member["id"], name, token["token"])


def _sell(client: Client, buyer: Party, seller: Party, say: Say) -> None:
    raise PlayFailed("not reached")


def _help(client: Client, asker: Party, helper: Party, say: Say) -> None:
    raise PlayFailed("not reached")
