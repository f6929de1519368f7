"""Cases as mediators see them: what they need to decide, and no more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from disputes.acts import check
from disputes.commands import Command
from disputes.journal import Line as Entry
from disputes.model import Appeal, Case, Offer, Proposal, Ruling, Stage
from disputes.outcomes import MOVES_NOTHING, Line, Outcome
from disputes.queue import Ticket
from disputes.recusal import Part
from disputes.steps import STEPS, By
from ledger.refusals import Refusal
from service.ids import encode

#: What a line of the journal says of people, which decides nothing.
_OF_PEOPLE: Final = frozenset({"people", "from", "eligible", "excluded"})
_NEUTRAL: Final = frozenset({By.MEDIATOR, By.SECOND, By.PANEL})


def _parts(to_payee: Mapping[UUID, int]) -> dict[str, int]:
    return {encode("leg", leg): amount for leg, amount in to_payee.items()}


def ticket(one: Ticket) -> dict[str, Any]:
    """Return a case in a queue."""
    return {
        "id": encode("case", one.case_id),
        "object": "case_ticket",
        "platform": encode("platform", one.platform_id),
        "stage": one.stage,
        "cause": one.cause,
        "kind": one.kind,
        "reason": one.reason,
        "opened_at": one.opened_at,
        "due_at": one.due_at,
        "decide_by": one.decide_by,
        "gentle": one.gentle,
        "amount": one.amount,
        "unit": one.unit,
        "part": one.part,
        "file": None if one.file is None else file(one.file),
    }


def file(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return a frozen file with its ids as the API writes them."""
    lines = [{**line, "id": encode("leg", UUID(line["id"]))} for line in found["lines"]]
    outcomes = [
        one
        if isinstance(one["to_payee"], str)
        else {**one, "to_payee": _parts({UUID(leg): part for leg, part in one["to_payee"].items()})}
        for one in found["outcomes"]
    ]
    subject = encode("exchange", UUID(found["subject"]))
    return {**found, "subject": subject, "lines": lines, "outcomes": outcomes}


def case(
    found: Case, mediator_id: UUID, part: Part | None, lines: Sequence[Entry], now: datetime
) -> dict[str, Any]:
    """Return a case for somebody who decides it, or (``part`` None) supervises who does."""
    return {
        "id": encode("case", found.id),
        "object": "case",
        "platform": encode("platform", found.platform_id),
        "exchange": encode("exchange", found.subject_id),
        "stage": found.stage,
        "cause": found.cause,
        "kind": found.kind,
        "reason": found.reason,
        "claimant": found.claimant,
        "opened_at": found.opened_at,
        "due_at": None if found.stage is Stage.CLOSED else found.due_at,
        "decide_by": found.decide_by,
        "gentle": found.gentle,
        "part": part,
        "file": file(found.file),
        "file_sha256": found.file_hash,
        "offer": None if found.offer is None else _offer(found.offer),
        "proposal": None if found.proposal is None else _proposal(found.proposal),
        "ruling": None if found.ruling is None else _ruling(found.ruling),
        "appeal": None if found.appeal is None else _appeal(found.appeal, mediator_id),
        "outcome": found.outcome,
        "settlement": None if found.settlement is None else _parts(found.settlement),
        "next_actions": _actions(found, mediator_id, now),
        "journal": [_line(one) for one in lines],
    }


def _offer(offer: Offer) -> dict[str, Any]:
    extra = offer.extra
    return {
        "by": offer.by,
        "outcome": offer.outcome,
        "to_payee": _parts(offer.to_payee),
        "text": offer.text,
        "expires_at": offer.expires_at,
        "extra": None
        if extra is None
        else {"by": extra.by, "unit": extra.unit, "amount": extra.amount},
    }


def _proposal(proposal: Proposal) -> dict[str, Any]:
    return {
        "outcome": proposal.outcome,
        "to_payee": _parts(proposal.to_payee),
        "text": proposal.text,
        "expires_at": proposal.expires_at,
        "accepted_by": sorted(proposal.accepted_by),
    }


def _ruling(ruling: Ruling) -> dict[str, Any]:
    return {
        "outcome": ruling.outcome,
        "to_payee": _parts(ruling.to_payee),
        "reason_code": ruling.reason_code,
        "reasons": ruling.reasons,
        "made_at": ruling.made_at,
        "seconded": ruling.seconded_by is not None,
    }


def _appeal(appeal: Appeal, mediator_id: UUID) -> dict[str, Any]:
    """What the others of a panel would decide is not shown before one has said it oneself."""
    voted = mediator_id in appeal.votes
    return {
        "by": appeal.by,
        "ground": appeal.ground,
        "text": appeal.text,
        "made_at": appeal.made_at,
        "panel": len(appeal.panel),
        "voted": len(appeal.votes),
        "votes": [_ruling(vote) for vote in appeal.votes.values()] if voted else None,
    }


def _actions(found: Case, mediator_id: UUID, now: datetime) -> list[dict[str, str]]:
    def is_open(name: str) -> bool:
        step = next(one for one in STEPS if one.name == name)
        try:
            check(found, step, Command(name, found.id, mediator_id=mediator_id), now)
        except Refusal:
            return False
        if name == "lift_flag":
            return found.claimant is None and found.cause == "fraud"
        return not (
            name == "vote" and found.appeal is not None and mediator_id in found.appeal.votes
        )

    return [
        {"step": step.name, "means": step.outcome}
        for step in STEPS
        if step.by in _NEUTRAL and is_open(step.name)
    ]


def _line(line: Entry) -> dict[str, Any]:
    return {
        "number": line.sequence,
        "at": line.at,
        "type": line.type,
        "by": line.actor.partition(":")[0],
        "data": {name: said for name, said in line.data.items() if name not in _OF_PEOPLE},
        "sha256": line.hash.hex(),
    }


def effect(outcome: Outcome, lines: Sequence[Line], to_payee: Mapping[UUID, int]) -> dict[str, Any]:
    """Return what an outcome would move: for each leg, and for each unit in sum."""
    moves = outcome not in MOVES_NOTHING and outcome is not Outcome.RETURN_THEN_REFUND
    shown = [
        {
            "leg": encode("leg", line.id),
            "unit": line.unit,
            "amount": line.amount,
            "to_payee": to_payee.get(line.id, 0),
            "to_payer": line.amount - to_payee.get(line.id, 0),
        }
        for line in lines
        if to_payee
    ]
    totals = [
        {
            "unit": unit,
            **{
                name: sum(int(str(line[name])) for line in shown if line["unit"] == unit)
                for name in ("amount", "to_payer", "to_payee")
            },
        }
        for unit in sorted({str(line["unit"]) for line in shown})
    ]
    return {
        "object": "case_effect",
        "outcome": outcome,
        "moves": moves,
        "lines": shown,
        "totals": totals,
    }
