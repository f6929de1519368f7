"""The main job, played over HTTP as a platform and two of its members would live it.

A bicycle is sold for 65.00 EUR: both agree, the buyer's payment is held, the buyer tells the code
in person, the seller enters it, and the held payment is released and paid out. Then two hours of
help are held and released the same way, with no payment provider at all.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
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
        say("\nThe main job, over HTTP")
        anne, yann = _join(client, "Anne"), _join(client, "Yann")
        say("  Anne and Yann are members; each acts with a token of their own.")
        _sell(client, anne, yann, say)
        _help(client, anne, yann, say)
    except PlayFailed as error:
        say(f"  FAILED  {error}")
        return False
    finally:
        client.close()
    return True


def _join(client: Client, name: str) -> Party:
    id_ = f"demo-{secrets.token_hex(6)}"
    # A sandbox writes to nobody: what this member is told is read in /dev/mailbox.
    email = f"{id_}@example.org"
    body = {"external_id": id_, "name": name, "locale": "fr", "email": email}
    member = client.post("/v1/members", body)
    token = client.post(f"/v1/members/{member['id']}/tokens", {"ttl_seconds": 900})
    return Party(member["id"], name, token["token"])


def _sell(client: Client, buyer: Party, seller: Party, say: Say) -> None:
    """A sale for money: held, released by the code told in person, paid out."""
    terms = {
        "kind": "sale",
        "title": "A bicycle",
        "payer": buyer.id,
        "payee": seller.id,
        "legs": [{"amount": {"amount": 6500, "unit": "EUR"}}],
        "fee": {"fixed": 50, "basis_points": 150, "borne_by": "shared"},
    }
    exchange = _expected(client.post("/v1/exchanges", terms), "proposed")
    path = f"/v1/exchanges/{exchange['id']}"
    say(f"  {seller.name} proposes a bicycle for {_total(client, exchange)}: {exchange['id']}")
    exchange = client.post(
        f"{path}/agree", {"terms_hash": exchange["terms_hash"]}, token=buyer.token
    )
    _expected(exchange, "agreed")
    say(f"  {buyer.name} agrees to exactly these terms.")
    client.post(f"{path}/fund", {"payment_method": "pm_sandbox_ok"}, token=buyer.token)
    exchange = _until(client, path, lambda one: one["state"] == "active")
    say(f"  {buyer.name} pays; the payment is held. It belongs to nobody yet.")
    code = client.get(f"{path}/hand-over-code", token=buyer.token)["code"]
    say(f"  {buyer.name} tells the code {code[:3]} {code[3:]} in person, bicycle in hand.")
    entered = {"checkpoint": "handover", "code": code}
    exchange = client.post(f"{path}/enter-code", entered, token=seller.token)
    _expected(exchange, "completed")
    say(f"  {seller.name} enters it: both have confirmed, the payment is released.")
    _until(client, f"{path}/payments", _paid_out)
    say(f"  The payout to {seller.name} has arrived.")
    _show(client, exchange, (buyer, seller), say)


def _help(client: Client, helped: Party, helper: Party, say: Say) -> None:
    """Hours for help: no money and no provider, the same hold and confirmations."""
    terms = {
        "kind": "help",
        "title": "Help with a move",
        "payer": helped.id,
        "payee": helper.id,
        "both_agreed": True,
        "legs": [{"amount": {"amount": 200, "unit": "HOURS"}}],
    }
    exchange = _expected(client.post("/v1/exchanges", terms), "agreed")
    path = f"/v1/exchanges/{exchange['id']}"
    say(f"\n  {helper.name} helps for {_total(client, exchange)}: {exchange['id']}")
    _expected(client.post(f"{path}/fund", {}, token=helped.token), "active")
    say(f"  The hours of {helped.name} are held at once: no provider is involved.")
    for one in (helper, helped):
        exchange = client.post(f"{path}/confirm", {"checkpoint": "done"}, token=one.token)
    _expected(exchange, "completed")
    say(f"  {helper.name} and {helped.name} both confirm; the hours are released.")
    _show(client, exchange, (helped, helper), say)


def _expected(exchange: _JSON, state: str) -> _JSON:
    if exchange["state"] != state:
        raise PlayFailed(f"{exchange['id']} should be {state} and is {exchange['state']}")
    return exchange


def _paid_out(payments: _JSON) -> bool:
    for one in payments["data"]:
        if one["state"] in {"failed", "canceled"}:
            raise PlayFailed(f"{one['kind']} {one['id']} {one['state']}: {one['failure']}")
    return any(one["kind"] == "payout" for one in payments["data"]) and all(
        one["state"] == "succeeded" for one in payments["data"]
    )


def _until(client: Client, path: str, holds: Callable[[_JSON], bool]) -> _JSON:
    """Read ``path`` until it says so: providers answer in their own time."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        found = client.get(path)
        if holds(found):
            return found
        time.sleep(0.1)
    raise PlayFailed(f"{path} does not come to what was expected; is the worker running?")


def _total(client: Client, exchange: _JSON) -> str:
    (leg,) = exchange["legs"]
    return _amount(client, leg["amount"], leg["unit"])


def _amount(client: Client, amount: int, unit: str) -> str:
    """Write an amount of minor units as people do, to the unit's decimals."""
    exponent = client.get(f"/v1/units/{unit}")["exponent"]
    whole, part = divmod(amount, 10**exponent)
    return f"{whole}.{part:0{exponent}d} {unit}" if exponent else f"{whole} {unit}"


def _show(client: Client, exchange: _JSON, parties: Sequence[Party], say: Say) -> None:
    """Print every movement of the exchange as the ledger has it."""
    names = {f"member:{one.id}": one.name for one in parties}
    names |= {f"hold:{leg['id']}": "held" for leg in exchange["legs"]}
    rows = [("what", "from", "to", "amount")]
    for posting in client.get(f"/v1/exchanges/{exchange['id']}/postings")["data"]:
        for moved in posting["transfers"]:
            rows.append(
                (
                    posting["kind"],
                    _account(moved["debit"], names),
                    _account(moved["credit"], names),
                    _amount(client, moved["amount"], moved["unit"]),
                )
            )
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    rule = tuple("─" * width for width in widths)
    say("")
    for row in (rows[0], rule, *rows[1:]):
        left = "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths[:3], strict=False))
        say(f"    {left}  {row[3]:>{widths[3]}}")


def _account(path: str, names: Mapping[str, str]) -> str:
    """Name an account for people."""
    kind = path.partition(":")[0]
    return names.get(path, "on its way" if kind == "transit" else path)
