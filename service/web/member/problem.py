"""A problem as its two members read it: the reasons to report one, and how it stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection

from disputes import reasons, search, views
from disputes.model import Case, Stage
from disputes.outcomes import AGREEABLE, Outcome, Side
from disputes.rulings import GROUNDS
from ledger.units import Unit
from service.exchanges import helping
from service.http import shown_cases
from service.ids import decode, encode, spoken
from service.messages import words
from service.web.member import told
from service.web.member.scene import Scene
from service.web.words import listed

#: What a member can offer here; hours beside a split are offered through the platform.
OFFERABLE: Final = (
    Outcome.SPLIT,
    Outcome.TO_PAYER,
    Outcome.TO_PAYEE,
    Outcome.RETURN_THEN_REFUND,
    Outcome.REPAIR,
)
assert set(OFFERABLE) <= AGREEABLE
#: What can be written in one field.
LONGEST: Final = 5_000
#: Steps that need nothing but a press, the most useful first, and those that go with a word.
PLAIN_IN_ORDER: Final = (
    "accept_offer",
    "reject_offer",
    "withdraw_offer",
    "accept_proposal",
    "reject_proposal",
    "confirm_returned",
    "confirm_repaired",
    "call_mediator",
    "withdraw_claim",
)
PLAIN: Final = frozenset(PLAIN_IN_ORDER)
SAYING: Final = frozenset({"mark_returned", "mark_repaired", "reject_repair", "challenge"})


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of evidence: whose, when, what it says, and where its file is."""

    by: str
    at: str
    text: str
    address: str | None
    is_picture: bool


@dataclass(frozen=True, slots=True)
class View:
    """A case as one of its sides sees it, in the language of the page."""

    case: Case
    number: str
    shown: Mapping[str, Any]
    stage: str
    deadlines: Sequence[tuple[str, str]]
    offer: Sequence[str] | None
    proposal: Sequence[str] | None
    ruling: Sequence[str] | None
    ended: Sequence[str] | None
    steps: Mapping[str, str]
    pieces: Sequence[Piece]
    lines: Sequence[tuple[str, str]]
    outcomes: Sequence[tuple[str, str]]
    notice: str
    claim: told.Claim
    asked: Sequence[told.Asked]
    neutrals: str | None


def last(connection: Connection, scene: Scene) -> Case | None:
    """Return the newest case about the exchange, None where nobody ever reported a problem."""
    filters = search.Filters(subject_id=scene.exchange.id)
    found = search.page(connection, scene.exchange.platform_id, filters, limit=1)
    return found[0] if found else None


def open_reasons(scene: Scene) -> list[tuple[str, str]]:
    """Return the reasons that this member can give, each in words."""
    said = words.catalogue(scene.locale, "disputes")["reasons"]
    return [(code, said[code]) for code in reasons.open_to(scene.exchange.kind, Side(scene.role))]


def questions(scene: Scene, reason: str) -> list[tuple[str, str]]:
    """Return what somebody who gives this reason is asked.

    Raises:
        UnknownReason: it is not theirs to give.
    """
    said = words.catalogue(scene.locale, "disputes")["questions"]
    found = reasons.find(reason, scene.exchange.kind, Side(scene.role))
    return [(code, said[code]) for code in found.questions]


def view(connection: Connection, scene: Scene, case: Case) -> View:
    """Return the page of a case."""
    platform_id, side = scene.exchange.platform_id, Side(scene.role)
    beside = shown_cases.around(connection, platform_id, [case], scene.now)
    shown = shown_cases.case(case, side, beside)
    locale = scene.locale
    ruling, settled = shown["ruling"], shown["settlement"]
    return View(
        case=case,
        number=spoken(scene.exchange.id),
        shown=shown,
        stage=shown["stage_words"][locale],
        deadlines=[
            (scene.instant(one["due_at"]), one["words"][locale]) for one in shown["deadlines"]
        ],
        offer=how(scene, shown["offer"]),
        proposal=how(scene, shown["proposal"]),
        ruling=None
        if ruling is None
        else [*(how(scene, ruling) or ()), words.harmless(ruling["reasons"])],
        ended=None
        if case.stage is not Stage.CLOSED
        else how(scene, {"outcome": case.outcome, "shares": settled}),
        steps={
            one["step"]: one["words"][locale]
            for one in shown["next_actions"]
            if scene.helper is None or helping.NEEDS_IN_CASE.get(one["step"]) in scene.helper.may
        },
        pieces=_pieces(connection, scene, case),
        lines=[(str(line.id), scene.say_amount(line.amount, line.unit)) for line in case.lines],
        outcomes=[
            (one["outcome"], one["words"][locale])
            for one in shown["outcomes"]
            if one["agreed"] and one["outcome"] in OFFERABLE
        ],
        notice=shown["notice"][locale],
        claim=told.claim(scene, case, shown),
        asked=told.asked(connection, scene, case) if case.closed_at is None else [],
        neutrals=listed([words.clean(one["name"]) for one in shown["neutrals"]], locale),
    )


def how(scene: Scene, found: Mapping[str, Any] | None) -> list[str] | None:
    """Return how something would end it: the outcome, who gets what, and what was said with it."""
    if found is None:
        return None
    said = words.catalogue(scene.locale, "disputes")
    lines = [said["outcomes"][found["outcome"]], said["effects"][found["outcome"]]]
    for share in found["shares"] or ():
        mine, theirs = share["to_payer"], share["to_payee"]
        if scene.role == "payee":
            mine, theirs = theirs, mine
        parts = {
            "mine": scene.say_amount(mine, share["unit"]),
            "theirs": scene.say_amount(theirs, share["unit"]),
        }
        lines.append(scene.say("offer.split", **parts))
    if found.get("text"):
        lines.append(f"« {words.harmless(found['text'])} »")
    return lines


def _pieces(connection: Connection, scene: Scene, case: Case) -> list[Piece]:
    me, found = str(Side(scene.role)), []
    for one in views.see_list(connection, case.platform_id, case.id, me, scene.now):
        mine = one.author == me
        by = scene.say("piece.mine") if mine else scene.say("piece.theirs")
        if one.author not in set(Side):
            by = scene.platform
        shown = one.file is not None and one.deleted_at is None
        address = scene.link(f"/case/evidence/{encode('evidence', one.id)}") if shown else None
        picture = one.file is not None and one.file.media_type.startswith("image/")
        said = words.harmless(one.text or "")
        found.append(Piece(by, scene.instant(one.at), said, address, picture))
    return found


def split(case: Case, units: Mapping[str, Unit], form: Mapping[str, str]) -> dict[UUID, int] | None:
    """Return what the payee gets of each line, as a form says it; None if it is no amount."""
    found = {}
    for line in case.lines:
        minor = minor_of(form.get(f"to_payee:{line.id}", ""), units[line.unit])
        if minor is None or minor > line.amount:
            return None
        found[line.id] = minor
    return found


def minor_of(said: str, unit: Unit) -> int | None:
    """Return an amount that somebody wrote, ``12,50``, in minor units; None if it is none."""
    bare = "".join(said.split()).replace(",", ".")
    if not (bare.isascii() and bare.replace(".", "", 1).isdecimal()) or len(bare) > 15:
        return None
    try:
        scaled = Decimal(bare).scaleb(unit.exponent)
    except InvalidOperation:
        return None
    return int(scaled) if scaled == scaled.to_integral_value() else None


def said(
    case: Case, units: Mapping[str, Unit], step: str, form: Mapping[str, str]
) -> dict[str, Any] | str:
    """Return what a form says with a step, or the name of the words for what is wrong with it."""
    text = form.get("text", "").strip()[:LONGEST]
    if step == "make_offer":
        return _offered(case, units, form, text)
    if step == "appeal":
        whole = form.get("ground") in GROUNDS and bool(text)
        return {"reason_code": form["ground"], "text": text} if whole else "appeal"
    if step in SAYING:
        return {"text": text}
    kind = step.rpartition("_")[2]
    if kind not in {"offer", "proposal"}:
        return {}
    try:
        return {"about": decode(kind, form.get("about", ""))}
    except ValueError:
        return "about"


def _offered(
    case: Case, units: Mapping[str, Unit], form: Mapping[str, str], text: str
) -> dict[str, Any] | str:
    if form.get("outcome") not in set(OFFERABLE):
        return "outcome"
    outcome = Outcome(form["outcome"])
    parts = split(case, units, form) if outcome is Outcome.SPLIT else None
    if outcome is Outcome.SPLIT and parts is None:
        return "split"
    return {"outcome": outcome, "split": parts, "text": text}
