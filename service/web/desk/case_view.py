"""A case as whoever decides it reads it: what is at stake, both stories, what happened, what next.

The two sides have no names here: nothing that decides is known of them but what they say and show.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, text

from disputes import journal
from disputes.model import Case, Stage
from disputes.outcomes import Side
from disputes.recusal import Part
from ledger import units
from ledger.units import Unit
from service.exchanges import store as exchanges
from service.http.mediator_auth import Neutral
from service.http.moment import moment_on
from service.http.shown_desk import case as shown
from service.ids import encode
from service.messages import words
from service.records.reading import Reader
from service.web.desk.effects import Effect, effect
from service.web.desk.tongue import Purse, Tongue

_PLATFORM: Final = text("SELECT name, mode FROM service.platform WHERE id = :id")
#: What a line of the journal says of people, which decides nothing.
_HIDDEN: Final = frozenset(
    {"people", "from", "eligible", "excluded", "file_hash", "hash", "helper"}
)
_OF_FILES: Final = frozenset({"original_hash", "media_type", "size", "evidence", "request", "via"})


@dataclass(frozen=True, slots=True)
class Event:
    """A line of the journal: what happened, by whom, and what was said with it."""

    number: int
    at: str
    what: str
    who: str
    side: str
    details: tuple[tuple[str, int], ...]
    sha256: str


@dataclass(frozen=True, slots=True)
class Saying:
    """Something that a side said: in answer to what, when, and in which words."""

    about: str
    words: str
    at: str | None = None


@dataclass(frozen=True, slots=True)
class Scene:
    """A case, and all that its pages need to speak of it."""

    case: Case
    part: Part | None
    me: Neutral
    now: datetime
    tongue: Tongue
    purse: Purse
    reader: Reader
    names: Mapping[UUID, str]
    platform: Mapping[str, Any]
    lines: Sequence[journal.Line]
    #: Where its pages are.
    address: str

    def effect(self, outcome: Any, to_payee: Mapping[UUID, int]) -> Effect:
        """Return what an outcome would move."""
        return effect(self.case, outcome, to_payee, self.purse, self.names)

    def steps(self) -> list[str]:
        """Return the steps that whoever looks can take now, as the API tells them."""
        found = shown(self.case, self.me.mediator_id, self.part, (), self.now)
        return [one["step"] for one in found["next_actions"]]

    def votes(self) -> list[dict[str, Any]]:
        """Return what the panel would decide, to those of it who have said it themselves."""
        appeal = self.case.appeal
        if appeal is None or self.me.mediator_id not in appeal.votes:
            return []
        return [self.ruling(vote) for vote in appeal.votes.values()]

    def ruling(self, one: Any) -> dict[str, Any]:
        """Return a decision, a vote, a proposal or an offer with what it would move."""
        return {
            "outcome": self.tongue.word("outcomes", one.outcome),
            "effect": self.effect(one.outcome, one.to_payee),
            "ground": self.tongue.word("grounds", getattr(one, "reason_code", None)),
            "text": getattr(one, "reasons", None) or getattr(one, "text", ""),
        }


def read(
    connection: Connection, found: Case, part: Part | None, me: Neutral, tongue: Tongue
) -> Scene:
    """Return a case of theirs with what its pages speak of."""
    lines = journal.read(connection, found.platform_id, found.id)
    return _scene(connection, found, part, me, tongue, lines)


def read_blind(
    connection: Connection, found: Case, address: str, me: Neutral, tongue: Tongue
) -> Scene:
    """Return a case as it was before anybody proposed or decided, to be decided again."""
    before = replace(
        found,
        offer=None,
        proposal=None,
        ruling=None,
        appeal=None,
        outcome=None,
        settlement=None,
        closed_at=None,
    )
    return replace(_scene(connection, before, None, me, tongue, ()), address=address)


def _scene(
    connection: Connection,
    found: Case,
    part: Part | None,
    me: Neutral,
    tongue: Tongue,
    lines: Sequence[journal.Line],
) -> Scene:
    platform_id = found.platform_id
    (exchange,) = exchanges.load(connection, platform_id, [found.subject_id], lock=False).values()
    known: dict[str, Unit] = units.find_many(
        connection, platform_id, {leg.unit for leg in exchange.legs}
    )
    roles = {leg.id: tongue.word("values", leg.role) for leg in exchange.legs}
    names = _named(found, roles)
    row = connection.execute(_PLATFORM, {"id": platform_id}).mappings().one()
    return Scene(
        case=found,
        part=part,
        me=me,
        now=moment_on(connection, platform_id),
        tongue=tongue,
        purse=Purse(tongue.locale, known),
        reader=Reader(
            tongue.locale,
            {code: unit.exponent for code, unit in known.items()},
            {str(line.id): (names[line.id], line.unit) for line in found.lines},
        ),
        names=names,
        platform={"name": words.clean(row["name"]), "is_trial": row["mode"] == "sandbox"},
        lines=lines,
        address=f"/desk/cases/{encode('case', found.id)}",
    )


def _named(found: Case, roles: Mapping[UUID, str]) -> dict[UUID, str]:
    """Name each part of what is disputed; parts of the same role are counted."""
    named: dict[UUID, str] = {}
    for line in found.lines:
        alike = [one.id for one in found.lines if roles[one.id] == roles[line.id]]
        role = roles[line.id]
        named[line.id] = role if len(alike) == 1 else f"{role} {alike.index(line.id) + 1}"
    return named


def head(scene: Scene) -> dict[str, Any]:
    """Return what stands above everything: what it is about, where it stands, until when."""
    case, tongue = scene.case, scene.tongue
    left = case.due_at - scene.now
    return {
        "title": tongue.word("reasons", case.reason),
        "kind": tongue.word("kinds", case.kind),
        "stage": tongue.word("stages", case.stage),
        "cause": tongue.word("causes", case.cause),
        "part": scene.part,
        "is_closed": case.stage is Stage.CLOSED,
        "due": tongue.instant(case.due_at),
        "left": tongue.left(case.due_at, scene.now),
        "is_late": left < timedelta(0),
        "decide_by": tongue.instant(case.decide_by),
        "opened": tongue.instant(case.opened_at),
        "gentle": case.gentle,
        "number": encode("case", case.id),
        "platform": scene.platform,
        "second": bool(case.file.get("second")),
        "outcome": tongue.word("outcomes", case.outcome),
    }


def stake(scene: Scene) -> dict[str, Any]:
    """Return what is disputed, and what was proposed, offered or decided about it."""
    case = scene.case
    open_ = {
        name: None if one is None else scene.ruling(one)
        for name, one in (
            ("offer", case.offer),
            ("proposal", case.proposal),
            ("ruling", case.ruling),
        )
    }
    appeal = case.appeal
    return {
        **open_,
        "offered_by": case.offer and scene.tongue.word("sides", case.offer.by),
        "accepted_by": [
            scene.tongue.word("sides", one)
            for one in (sorted(case.proposal.accepted_by) if case.proposal else ())
        ],
        "lines": [
            {"name": scene.names[line.id], "amount": scene.purse.say(line.amount, line.unit)}
            for line in case.lines
        ],
        "presumed": words.catalogue(scene.tongue.locale, "disputes")["presumed"][
            case.file["presumed"]
        ],
        "appeal": appeal
        and {
            "by": scene.tongue.word("sides", appeal.by),
            "ground": scene.tongue.word("grounds", appeal.ground),
            "text": appeal.text,
            "panel": len(appeal.panel),
            "voted": len(appeal.votes),
            "has_voted": scene.me.mediator_id in appeal.votes,
        },
        "votes": scene.votes(),
        "settled": case.settlement is not None
        and case.outcome is not None
        and scene.effect(case.outcome, case.settlement),
    }


#: Lines of the journal in which a side says something in words of its own.
_SAID: Final = frozenset({"offer_made", "appealed", "challenged", "returned", "repaired"})


def stories(scene: Scene, pieces: Sequence[Any], asked: Mapping[Any, Any]) -> list[dict[str, Any]]:
    """Return what each side says, the claimant's first where there is one."""
    first = scene.case.claimant or Side.PAYER
    return [
        {
            "side": side,
            "name": scene.tongue.word("sides", side),
            "claims": scene.case.claimant is side,
            "said": _said(scene, side, pieces, asked),
        }
        for side in (first, first.other)
    ]


def _said(
    scene: Scene, side: Side, pieces: Sequence[Any], asked: Mapping[Any, Any]
) -> list[Saying]:
    tongue, file = scene.tongue, scene.case.file
    found = []
    if scene.case.claimant is side:
        found = [Saying(tongue.question(code), answer) for code, answer in file["answers"].items()]
        if file["text"]:
            found.append(Saying("", file["text"], tongue.instant(scene.case.opened_at)))
    for piece in pieces:
        if piece.author == side and piece.text:
            request = asked.get(piece.request_id)
            about = tongue.word("sorts", piece.sort)
            if request is not None and request.question is not None:
                about = tongue.question(request.question)
            found.append(Saying(about, piece.text, tongue.instant(piece.at)))
    for line in scene.lines:
        if line.actor == side and line.type in _SAID and line.data.get("text"):
            what = tongue.word("entries", line.type)
            found.append(Saying(what, str(line.data["text"]), tongue.instant(line.at)))
    return found


def timeline(scene: Scene) -> list[Event]:
    """Return the journal, oldest first."""
    return [_event(scene, line) for line in scene.lines]


def _event(scene: Scene, line: journal.Line) -> Event:
    who, _, id_ = line.actor.partition(":")
    mine = id_ == str(scene.me.mediator_id)
    left_out = _HIDDEN | (_OF_FILES if line.type.startswith("evidence") else frozenset())
    data = {name: said for name, said in line.data.items() if name not in left_out}
    if not data.get("late", True):
        del data["late"]  # what is as it should be is not told of every piece
    by = "" if mine else scene.tongue.word("actors", who)
    if "helper" in line.data:
        by = f"{by} ({scene.tongue.word('keys', 'helper')})"  # that it was, and not who
    return Event(
        line.sequence,
        scene.tongue.instant(line.at),
        scene.tongue.word("entries", line.type),
        by,
        who if who in set(Side) else "neutral",
        tuple(scene.reader.lines(data)),
        line.hash.hex(),
    )


def terms(scene: Scene) -> dict[str, Any]:
    """Return what was agreed: the main things, and below them every word of it."""
    agreed, tongue = scene.case.file["agreed"]["terms"], scene.tongue
    legs = [
        {
            "name": tongue.word("values", leg["role"]),
            "amount": scene.purse.say(leg["amount"], leg["unit"]),
            "at": tongue.word("values", leg["checkpoint"]),
        }
        for leg in agreed["legs"]
    ]
    return {
        "title": agreed["title"],
        "description": agreed.get("description"),
        "meeting_point": agreed.get("meeting_point"),
        "legs": legs,
        "due": [
            {"name": tongue.word("values", one["name"]), "at": tongue.instant(one["due_at"])}
            for one in agreed["checkpoints"]
            if one["due_at"]
        ],
        "hash": scene.case.file["agreed"]["terms_hash"],
        "whole": list(scene.reader.lines(agreed)),
    }


def facts(file: Mapping[str, Any], tongue: Tongue) -> dict[str, Any]:
    """Return what was before the case: agreed, paid, confirmed, and who was not reached."""
    found = file["facts"]
    return {
        "agreed": tongue.instant(found.get("agreed_at")),
        "funded": tongue.instant(found.get("funded_at")),
        "points": [
            {
                "name": tongue.word("values", one["name"]),
                "due": tongue.instant(one["due_at"]),
                "met": tongue.instant(one["met_at"]),
            }
            for one in found.get("checkpoints", ())
        ],
        "words": [
            {
                "at": tongue.instant(one["at"]),
                "who": tongue.word("sides", one["role"]),
                "what": tongue.word("values", one["word"]),
                "about": tongue.word("values", one["checkpoint"]),
                "how": tongue.word("values", one["method"]),
            }
            for one in found.get("words", ())
        ],
        "unreached": [tongue.word("sides", one) for one in found.get("unreached", ())],
    }
