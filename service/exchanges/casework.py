"""What a step of an exchange does to its case: opens it, leaves it without a subject, tells of it.

The exchange is locked first, its case after it, whoever is drawn last: the one order everywhere.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, text

from disputes import cases, draw
from disputes.commands import Command
from disputes.model import Case, Stage
from disputes.outcomes import Line, Side
from disputes.recusal import Need, Part
from disputes.refusals import CaseClosed
from ledger import units
from ledger.refusals import Refusal
from service.exchanges import claims
from service.exchanges.commands import Decision, OpeningCase
from service.exchanges.model import Exchange
from service.ids import encode, uuid7
from service.policies import disputes as policy

#: Lines of a case's journal of which the platform is told, by their names there; the rest is for
#: those who decide alone.
TOLD: Final = frozenset(
    {
        "opened",
        "offer_made",
        "offer_withdrawn",
        "offer_rejected",
        "offer_accepted",
        "claim_withdrawn",
        "mediator_called",
        "talk_ended",
        "assigned",
        "nobody_eligible",
        "reassigned",
        "declined",
        "challenged",
        "proposal_made",
        "proposal_accepted",
        "proposal_rejected",
        "mediation_ended",
        "decided",
        "appealed",
        "appeal_decided",
        "flag_lifted",
        "return_awaited",
        "returned",
        "return_confirmed",
        "return_disputed",
        "not_returned",
        "repair_awaited",
        "repaired",
        "repair_confirmed",
        "repair_disputed",
        "limit_reached",
        "moot",
        "closed",
        "evidence_added",
        "evidence_requested",
        "evidence_answered",
        "reminded",
    }
)
#: What of a line is told: no free text, and nobody's name.
_PUBLIC: Final = (
    "reason",
    "cause",
    "outcome",
    "reason_code",
    "ground",
    "part",
    "stands",
    "sort",
    "side",
    "about",
)


def by_lot(now: datetime) -> cases.Draw:
    """Return the draw of a case at ``now``, each with a seed of its own."""

    def drawn(connection: Connection, case: Case, part: Part, wanted: int) -> tuple[UUID, ...]:
        return draw.draw(connection, case, part, os.urandom(32), now, wanted)

    return drawn


def follow(
    connection: Connection,
    platform_id: UUID,
    before: Mapping[UUID, Exchange],
    decisions: Sequence[Decision],
    now: datetime,
) -> None:
    """Do to cases what decisions on locked exchanges mean for them, and add what is to be told."""
    _leave(connection, platform_id, before, decisions, now)
    # A bank may be heard of first when all is over: then there is nothing to open any more.
    opening = [one for one in decisions if one.opens is not None and not one.exchange.closed_at]
    _open(connection, platform_id, opening, now)
    tell(connection, platform_id, before, decisions)


def _leave(
    connection: Connection,
    platform_id: UUID,
    before: Mapping[UUID, Exchange],
    decisions: Sequence[Decision],
    now: datetime,
) -> None:
    """Close cases whose subject found its end without them."""
    moot = []
    for decision in decisions:
        old = before.get(decision.exchange.id)
        if old is None or old.case_id is None:
            continue
        if claims.is_moot(old, decision.exchange):
            decision.exchange = claims.detach(decision.exchange)
        if decision.exchange.case_id is None and old.award is None:
            moot.append((old.case_id, str(decision.exchange.state)))
    if not moot:
        return
    commands = [(one, Command("moot", uuid7(), reason_code=why)) for one, why in moot]
    for outcome in cases.act(connection, platform_id, commands, by_lot(now), now):
        # The case's own outcome closed it before this.
        if isinstance(outcome, Refusal) and not isinstance(outcome, CaseClosed):
            raise outcome


def _open(
    connection: Connection, platform_id: UUID, decisions: Sequence[Decision], now: datetime
) -> None:
    if not decisions:
        return
    sides = [
        member for one in decisions for member in (one.exchange.payer_id, one.exchange.payee_id)
    ]
    people = _people(connection, platform_id, sides)
    codes = {leg.unit for one in decisions for leg in one.exchange.legs}
    known = units.find_many(connection, platform_id, codes)
    words = _words(connection, platform_id, [one.exchange.id for one in decisions])
    new = []
    needs = {}
    for decision in decisions:
        exchange, opens = decision.exchange, decision.opens
        assert opens is not None
        both = [people[exchange.payer_id], people[exchange.payee_id]]
        needs[opens.id] = Need(
            languages=frozenset(str(one["locale"])[:2] for one in both),
            instruments=frozenset(bytes(paid) for one in both for paid in one["instruments"]),
        )
        gentle = opens.gentle or any(one["assisted"] for one in both)
        new.append(_new(exchange, opens, known, words.get(exchange.id, []), gentle=gentle))
    draw.set_needs(connection, platform_id, needs)
    for decision, outcome in zip(
        decisions, cases.open_cases(connection, platform_id, new, by_lot(now), now), strict=True
    ):
        if isinstance(outcome, Refusal):
            raise outcome  # the exchange was locked and had no case
        decision.exchange = replace(
            decision.exchange, case_id=outcome.id, case_cause=outcome.cause, case_told=0
        )


def _new(
    exchange: Exchange,
    opens: OpeningCase,
    known: Mapping[str, units.Unit],
    words: Sequence[Mapping[str, Any]],
    *,
    gentle: bool,
) -> cases.NewCase:
    legs = [leg for leg in exchange.legs if leg.id in opens.legs]
    weight = policy.weigh((known[leg.unit], leg.amount) for leg in legs)
    return cases.NewCase(
        id=opens.id,
        subject_id=exchange.id,
        kind=exchange.kind,
        cause=opens.cause,
        reason=opens.reason,
        claimant=None if opens.claimant is None else Side(opens.claimant),
        payer_id=exchange.payer_id,
        payee_id=exchange.payee_id,
        lines=tuple(Line(leg.id, leg.unit, leg.amount) for leg in legs),
        decide_by=opens.decide_by,
        agreed={"terms": exchange.terms, "terms_hash": exchange.terms_hash},
        answers=opens.answers,
        text=opens.text,
        gentle=gentle,
        facts={
            "agreed_at": exchange.agreed_at,
            "funded_at": exchange.funded_at,
            "checkpoints": [
                {"name": point.name, "due_at": point.due_at, "met_at": point.met_at}
                for point in exchange.checkpoints
            ],
            "words": [dict(word) for word in words],
            "unreached": sorted(exchange.around.unreached),
        },
        second=weight.second,
        panel=weight.panel,
        helper_id=opens.helper_id,
    )


_PEOPLE: Final = text(
    "SELECT m.id, m.locale, m.assisted, ARRAY(SELECT DISTINCT p.instrument FROM service.payment p "
    "WHERE p.platform_id = m.platform_id AND p.member_id = m.id AND p.instrument IS NOT NULL) "
    "AS instruments FROM service.member m WHERE m.platform_id = :platform_id AND m.id = ANY(:ids)"
)
_WORDS: Final = text(
    "SELECT exchange_id, checkpoint, role, word, method, via, at FROM service.confirmation "
    "WHERE platform_id = :platform_id AND exchange_id = ANY(:ids) ORDER BY id"
)


def _people(
    connection: Connection, platform_id: UUID, ids: Sequence[UUID]
) -> dict[UUID, Mapping[str, Any]]:
    values = {"platform_id": platform_id, "ids": list(ids)}
    rows = connection.execute(_PEOPLE, values).mappings()
    return {row["id"]: dict(row) for row in rows}


def _words(
    connection: Connection, platform_id: UUID, ids: Sequence[UUID]
) -> dict[UUID, list[dict[str, Any]]]:
    """Return what was confirmed and taken back by whom and how, codes told in person among it."""
    values = {"platform_id": platform_id, "ids": list(ids)}
    found: dict[UUID, list[dict[str, Any]]] = {}
    for row in connection.execute(_WORDS, values).mappings():
        word = {name: value for name, value in row.items() if name != "exchange_id"}
        found.setdefault(row["exchange_id"], []).append(word)
    return found


_UNTOLD: Final = text(
    "SELECT e.case_id, e.sequence, e.type, e.actor, e.data, c.stage, c.due_at, c.decide_by "
    "FROM unnest(CAST(:ids AS uuid[]), CAST(:told AS integer[])) AS t(id, told) "
    "JOIN disputes.entry AS e ON e.platform_id = :platform_id AND e.case_id = t.id "
    "AND e.sequence > t.told "
    "JOIN disputes.case AS c ON c.platform_id = e.platform_id AND c.id = e.case_id "
    "ORDER BY e.case_id, e.sequence"
)


def tell(
    connection: Connection,
    platform_id: UUID,
    before: Mapping[UUID, Exchange],
    decisions: Sequence[Decision],
) -> None:
    """Add an event for each new line of a case's journal, in its order, each once."""
    of_case = {}
    for decision in decisions:
        old = before.get(decision.exchange.id)
        case_id = decision.exchange.case_id or (old.case_id if old is not None else None)
        if case_id is not None:
            of_case[case_id] = decision
    if not of_case:
        return
    values = {
        "platform_id": platform_id,
        "ids": list(of_case),
        "told": [decision.exchange.case_told for decision in of_case.values()],
    }
    for row in connection.execute(_UNTOLD, values).mappings():
        decision = of_case[row["case_id"]]
        decision.exchange = replace(decision.exchange, case_told=row["sequence"])
        if row["type"] in TOLD:
            decision.note(f"case.{row['type']}", **_said(dict(row)))
    for decision in of_case.values():
        if decision.exchange.case_id is None:
            decision.exchange = replace(decision.exchange, case_told=0)


def _told(type_: str, name: str) -> bool:
    """Return whether a part of a line is told: why a neutral gave a case back is their own word."""
    return name != "reason" or type_ == "opened"


def _said(row: Mapping[str, Any]) -> dict[str, Any]:
    data, actor = row["data"], str(row["actor"])
    said: dict[str, Any] = {
        "case": encode("case", row["case_id"]),
        "entry": row["sequence"],
        "by": actor.partition(":")[0],
        "stage": row["stage"],
        **{name: data[name] for name in _PUBLIC if name in data and _told(row["type"], name)},
    }
    if row["stage"] != Stage.CLOSED:
        said |= {"due_at": row["due_at"].isoformat(), "decide_by": row["decide_by"].isoformat()}
    if "helper" in data:
        said["helper"] = encode("helper", UUID(data["helper"]))
    if "to_payee" in data:
        split = data["to_payee"].items()
        said["to_payee"] = {encode("leg", UUID(leg)): amount for leg, amount in split}
    return said
