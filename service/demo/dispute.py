"""A dispute, played over HTTP by all its people: claim, evidence, mediation, decision, payment.

A camera is sold for 240.00 EUR, and the buyer says that the parcel was empty. Seller and buyer
cannot agree, a neutral person is drawn by lot and proposes, the seller refuses, the neutral
decides, a second one reads it first because it is about much, nobody appeals in the seven days that
there are, and the held payment goes to both as decided. The receipt and the decision are verified
by their signatures with nothing but the published keys.
"""

from __future__ import annotations

import io
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from PIL import Image, ImageDraw

from service.demo.client import (
    Client,
    Json,
    Party,
    PlayFailed,
    Say,
    expected,
    join,
    paid_out,
    until,
)
from service.demo.telling import amount, show
from service.mediators import totp
from service.records import verify

_PRICE: Final = 24_000
_BACK: Final = 16_000
_WHY: Final = (
    "The photograph shows the parcel open, with its seal torn and nothing inside. The seller "
    "weighed the parcel when it left: 310 grams, less than the camera alone. The seller packed it "
    "in good faith and the carrier lost part of it, as far as anybody can tell. Each bears a part."
)


@dataclass(frozen=True, slots=True)
class Neutral:
    """What only this mediator has: the password, and the secret of their authenticator."""

    name: str
    email: str
    password: str
    totp_secret: str


def play(client: Client, neutrals: Sequence[Neutral], say: Say) -> None:
    """Play the dispute, telling each step.

    Raises:
        PlayFailed: a step did not hold.
    """
    say("\nA dispute, from the claim to the payment")
    buyer, seller = join(client, "Soazig"), join(client, "Malo")
    exchange = _sold(client, buyer, seller, say)
    case = _claimed(client, exchange, buyer, say)
    _answered(client, case, buyer, seller, say)
    _proposed_and_refused(client, case, seller, desks := _signed_in(client, neutrals, say), say)
    _decided(client, case, exchange, desks, say)
    _carried_out(client, exchange, case, say)
    show(client, client.get(f"/v1/exchanges/{exchange['id']}"), (buyer, seller), say)
    _verified(client, exchange, case, say)


def _sold(client: Client, buyer: Party, seller: Party, say: Say) -> Json:
    terms = {
        "kind": "sale",
        "title": "A camera, by post",
        "payer": buyer.id,
        "payee": seller.id,
        "both_agreed": True,
        "legs": [{"amount": {"amount": _PRICE, "unit": "EUR"}}],
    }
    exchange = client.post("/v1/exchanges", terms)
    path = f"/v1/exchanges/{exchange['id']}"
    client.post(f"{path}/fund", {"payment_method": "pm_sandbox_ok"}, token=buyer.token)
    until(client, path, lambda one: bool(one["state"] == "active"))
    said = amount(client, _PRICE, "EUR")
    say(f"  {seller.name} sells {buyer.name} a camera for {said}; the payment is held.")
    return exchange


def _claimed(client: Client, exchange: Json, buyer: Party, say: Say) -> str:
    claim = {
        "reason": "not_as_described",
        "answers": {
            "what_differs": "There is no camera in the parcel: it is empty.",
            "when_noticed": "When I opened it, ten minutes after it came.",
        },
        "text": "I want my money back.",
    }
    claimed = client.post(f"/v1/exchanges/{exchange['id']}/claim", claim, token=buyer.token)
    case: str = claimed["case"]
    if not all(leg["disputed"] for leg in claimed["legs"]):
        raise PlayFailed(f"{exchange['id']} is claimed, and its legs are not frozen")
    say(f"  {buyer.name} says that the parcel was empty: {case}. Nothing moves from now on.")
    kept = client.upload(
        f"/v1/cases/{case}/evidence/files", _photograph(), token=buyer.token, sort="photo"
    )
    say(
        f"  {buyer.name} adds a photograph; it is kept without the place where it was taken "
        f"({kept['file']['size']} bytes, sha256 {kept['file']['sha256'][:12]}…)."
    )
    return case


def _answered(client: Client, case: str, buyer: Party, seller: Party, say: Say) -> None:
    path = f"/v1/cases/{case}"
    words = {"sort": "text", "text": "I packed it myself. The post office weighed it: 310 grams."}
    client.post(f"{path}/evidence", words, token=seller.token)
    say(f"  {seller.name} answers: it was packed, and weighed at the post office.")
    # Whoever is claimed against has two days to answer first.
    client.post("/v1/sandbox/clock/advance", {"by": "P3D"})
    client.post(f"{path}/call-mediator", {}, token=buyer.token)
    say(f"  Three days later they do not agree; {buyer.name} asks for somebody neutral.")


def _signed_in(client: Client, neutrals: Sequence[Neutral], say: Say) -> Mapping[str, str]:
    """Return each neutral's token by their name."""
    desks = {one.name: _token(client, one) for one in neutrals}
    say(f"  {' and '.join(desks)} sign in to the dispute desk: password and authenticator.")
    return desks


def _token(client: Client, one: Neutral) -> str:
    """Sign in; an authenticator's code is taken once, so a second play waits for the next."""
    for _ in range(3):
        step = totp.step(datetime.now(UTC))
        for near in (step, step + 1):
            code = totp.code(one.totp_secret, near)
            token = client.sign_in({"email": one.email, "password": one.password, "code": code})
            if token is not None:
                return token
        while totp.step(datetime.now(UTC)) == step:
            time.sleep(1)
    raise PlayFailed(f"{one.name} cannot sign in to the dispute desk")


def _queue(client: Client, token: str, case: str) -> str | None:
    """Return the part that somebody has in a case, if it is in their queue."""
    listed = client.get("/v1/mediation/queue", token=token)["data"]
    found: str | None = next((one["part"] for one in listed if one["id"] == case), None)
    return found


def _with(client: Client, desks: Mapping[str, str], case: str, part: str) -> str:
    """Return the name of whoever has this part in the case."""
    for name, token in desks.items():
        if _queue(client, token, case) == part:
            return name
    raise PlayFailed(f"nobody is the {part} of {case}")


def _proposed_and_refused(
    client: Client, case: str, seller: Party, desks: Mapping[str, str], say: Say
) -> None:
    name = _with(client, desks, case, "mediator")
    desk = f"/v1/mediation/cases/{case}"
    leg = client.get(desk, token=desks[name])["file"]["lines"][0]["id"]
    half = {"outcome": "split", "split": [{"leg": leg, "to_payee": _PRICE // 2}]}
    client.post(f"{desk}/propose", {**half, "text": "Half each?"}, token=desks[name])
    say(f"  {name} is drawn by lot, reads both stories, and proposes half each.")
    read = client.get(f"/v1/cases/{case}", token=seller.token)
    refused = {"proposal": read["proposal"]["id"]}
    client.post(f"/v1/cases/{case}/reject-proposal", refused, token=seller.token)
    say(f"  {seller.name} refuses it. So {name} has to decide.")


def _decided(client: Client, case: str, exchange: Json, desks: Mapping[str, str], say: Say) -> None:
    first = _with(client, desks, case, "mediator")
    desk = f"/v1/mediation/cases/{case}"
    leg = exchange["legs"][0]["id"]
    split = {"outcome": "split", "split": [{"leg": leg, "to_payee": _PRICE - _BACK}]}
    effect = client.post(f"{desk}/effect", split, token=desks[first])["totals"][0]
    if effect["to_payer"] + effect["to_payee"] != _PRICE:
        raise PlayFailed(f"the effect {effect} does not sum to what is held")
    decision: dict[str, Any] = {**split, "reason_code": "evidence", "reasons": _WHY}
    written = client.post(f"{desk}/decide", decision, token=desks[first])
    if written["stage"] != "second_look":
        raise PlayFailed(f"{case} is about much and nobody else reads the decision first")
    second = _with(client, desks, case, "second")
    client.post(f"{desk}/agree-with", {}, token=desks[second])
    said = amount(client, effect["to_payer"], "EUR"), amount(client, effect["to_payee"], "EUR")
    say(f"  {first} decides: {said[0]} back to the buyer, {said[1]} to the seller, with reasons.")
    say(f"  {second} reads it before anybody is told, because it is about much, and agrees.")


def _carried_out(client: Client, exchange: Json, case: str, say: Say) -> None:
    path = f"/v1/exchanges/{exchange['id']}"
    before = client.get(f"{path}/postings")["data"]
    if any(posting["kind"] in {"release", "return"} for posting in before):
        raise PlayFailed(f"{exchange['id']} was paid before the time to appeal is over")
    say("  Both are told. For seven days either may appeal, and nothing moves before.")
    client.post("/v1/sandbox/clock/advance", {"by": "P8D"})
    say("  The sandbox's clock goes eight days on; nobody has appealed.")
    closed = client.get(f"/v1/cases/{case}")
    if (closed["stage"], closed["outcome"]) != ("closed", "split"):
        raise PlayFailed(f"{case} should be closed with a split, and is {closed['stage']}")
    expected(client.get(path), "settled")
    until(client, f"{path}/payments", paid_out)
    say("  The decision is carried out: the split is paid, whether or not the loser helps.")


def _verified(client: Client, exchange: Json, case: str, say: Say) -> None:
    """Verify both documents as anybody can, with the keys that the instance publishes."""
    wanted = {
        "receipt": f"/v1/exchanges/{exchange['id']}/receipt",
        "decision": f"/v1/cases/{case}/decision",
    }
    documents = {kind: client.get(path)["jws"] for kind, path in wanted.items()}
    keys = verify.read_keys(client.get("/.well-known/jwks.json"))
    for kind, jws in documents.items():
        try:
            genuine = verify.verify(jws, keys)
        except verify.NotGenuine as error:
            raise PlayFailed(f"the {kind} is not genuine: {error}") from error
        if genuine.kind != kind:
            raise PlayFailed(f"the {kind} is a {genuine.kind}")
        say(f"  The {kind} is genuine: signed with the key {genuine.kid[:12]}…")


def _photograph() -> bytes:
    """Return a picture of an open, empty parcel, with a place in its metadata as telephones do."""
    picture = Image.new("RGB", (640, 480), "#d8c8a8")
    draw = ImageDraw.Draw(picture)
    draw.polygon([(120, 380), (520, 380), (560, 200), (80, 200)], fill="#a07848")
    draw.polygon([(150, 340), (490, 340), (520, 220), (120, 220)], fill="#5a4028")
    exif = Image.Exif()
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 6.0, 0.0), 3: "W", 4: (3.0, 7.0, 0.0)})
    found = io.BytesIO()
    picture.save(found, "JPEG", exif=exif)
    return found.getvalue()
