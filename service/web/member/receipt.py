"""A member's receipt: what the signed document says, in words, and the document to keep."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from service.messages import words
from service.web.member import where
from service.web.member.history import Happened, history
from service.web.member.scene import Scene
from service.web.member.terms import Term


@dataclass(frozen=True, slots=True)
class Receipt:
    """Everything the page shows. ``digest``: SHA-256 of the file, in groups that can be read."""

    title: str
    number: str
    facts: list[Term]
    lines: list[where.Line]
    history: list[Happened]
    name: str
    digest: str
    file: str
    back: str


def file_of(scene: Scene) -> str:
    """Return the name under which a receipt is saved: ids alone, nothing that anybody wrote."""
    return f"tierce-{scene.exchange.id.hex[-10:]}.jws"


def receipt(scene: Scene, jws: str, number: str) -> Receipt:
    """Return the page of a signed receipt."""
    said = _document(jws)
    say = scene.say
    facts = [
        Term(say("receipt.payer"), _name(said, "payer")),
        Term(say("receipt.payee"), _name(said, "payee")),
        Term(say("receipt.agreed"), _at(scene, said["agreed_at"])),
        Term(say("receipt.closed"), _at(scene, said["closed_at"])),
        Term(say("receipt.on"), scene.platform),
    ]
    digest = hashlib.sha256(jws.encode()).hexdigest()
    return Receipt(
        title=scene.title,
        number=number,
        facts=facts,
        lines=where.lines(scene),
        history=history(scene),
        name=file_of(scene),
        digest=" ".join(digest[n : n + 8] for n in range(0, 64, 8)),
        file=scene.link("/receipt/file"),
        back=scene.link(),
    )


def _document(jws: str) -> Mapping[str, Any]:
    body = jws.split(".")[1]
    found: Mapping[str, Any] = orjson.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return found


def _name(said: Mapping[str, Any], side: str) -> str:
    """Return a party's name as it was signed, made harmless; without one, their id."""
    name = said[side]["name"]
    return words.clean(name) if name else str(said[side]["member"])


def _at(scene: Scene, instant: str) -> str:
    return scene.instant(datetime.fromisoformat(instant))
