"""Cases as their sides and their platform see them, in words that members read."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection

from disputes import options, search, strikes
from disputes.commands import reason_of
from disputes.journal import Line
from disputes.model import Case, Stage
from disputes.outcomes import AGREEABLE, MOVES_NOTHING, Outcome, Side, effect
from disputes.steps import STEPS, By
from disputes.talk import TALK_AT_LEAST
from service.http.dispute_words import notice, words
from service.ids import encode
from service.records.exports import SHOWN
from service.records.verify import line_as_said, line_withheld

_LIMIT: Final = "reach_limit"
#: Outcomes whose amounts are not known before somebody names them, or that move nothing.
_OPEN_AMOUNTS: Final = MOVES_NOTHING | {Outcome.SPLIT}


@dataclass(frozen=True, slots=True)
class Around:
    """What is known of some cases beside themselves.

    ``told``: those whose ruling both sides know; ``held_back``: those to which the claimant may not
    call anybody yet, after claims in bad faith; ``names`` of neutrals by their ids.
    """

    told: frozenset[UUID]
    held_back: frozenset[UUID]
    names: Mapping[UUID, str]
    now: datetime


def around(
    connection: Connection, platform_id: UUID, cases: Collection[Case], now: datetime
) -> Around:
    """Return what is to be known to show these cases of a platform: as many queries as for one."""
    told = search.told(connection, platform_id, cases)
    people = {one for case in cases for one in search.people(case, told=case.id in told)}
    held_back = strikes.held_back(connection, platform_id, cases, now)
    return Around(told, held_back, search.names(connection, people), now)


def case(found: Case, viewer: Side | None, beside: Around) -> dict[str, Any]:
    """Return a case for one of its sides, or (``viewer`` None) for its platform."""
    reason, closed = reason_of(found), found.stage is Stage.CLOSED
    return {
        "id": encode("case", found.id),
        "object": "case",
        "exchange": encode("exchange", found.subject_id),
        "kind": found.kind,
        "cause": found.cause,
        "claimant": found.claimant,
        "payer": encode("member", found.payer_id),
        "payee": encode("member", found.payee_id),
        "stage": found.stage,
        "stage_words": words("stages", found.stage),
        "stage_since": found.stage_since,
        "due_at": None if closed else found.due_at,
        "decide_by": found.decide_by,
        "opened_at": found.opened_at,
        "closed_at": found.closed_at,
        "version": found.version,
        "more_time": found.gentle,
        "question": _question(found),
        "file": found.file,
        "file_sha256": found.file_hash,
        "lines": [
            {
                "leg": encode("leg", line.id),
                "id": str(line.id),
                "amount": line.amount,
                "unit": line.unit,
            }
            for line in found.lines
        ],
        "outcomes": _outcomes(found),
        "presumed": reason.presumed,
        "presumed_words": words("presumed", reason.presumed),
        **_people_and_words(found, beside),
        "marked_at": found.returned_at,
        "outcome": found.outcome,
        "settlement": None if found.settlement is None else _shares(found, found.settlement),
        "next_actions": [] if closed else _next(found, viewer, beside),
        "deadlines": [] if closed else _deadlines(found, viewer, beside),
        "notice": notice(),
    }


def _people_and_words(found: Case, beside: Around) -> dict[str, Any]:
    """Return who is neutral in the case, and what was offered, proposed, decided and appealed."""
    told = found.id in beside.told
    neutrals = search.people(found, told=told)
    return {
        "neutrals": [
            {"mediator": encode("mediator", one), "name": beside.names[one], "part": part}
            for one, part in neutrals.items()
        ],
        "offer": _offer(found, beside.now),
        "proposal": _proposal(found, beside.now),
        "ruling": _ruling(found) if told else None,
        "appeal": None
        if found.appeal is None
        else {
            "by": found.appeal.by,
            "ground": found.appeal.ground,
            "text": found.appeal.text,
            "made_at": found.appeal.made_at,
        },
    }


def _question(found: Case) -> dict[str, Any]:
    reason, file = reason_of(found), found.file

    def said(group: str, name: str, codes: Collection[str]) -> list[dict[str, Any]]:
        return [{name: code, "words": words(group, code)} for code in codes]

    def order(code: str) -> tuple[int, str]:
        asked = reason.questions
        return (asked.index(code) if code in asked else len(asked), code)

    return {
        "reason": found.reason,
        "words": words("reasons", found.reason),
        "answers": [
            {"question": code, "words": words("questions", code), "answer": answer}
            for code, answer in sorted(file["answers"].items(), key=lambda one: order(one[0]))
        ],
        "text": file["text"],
        "asked": said("questions", "code", reason.asked),
        "evidence_needed": said("sorts", "sort", sorted(reason.needs)),
        "evidence_that_may_be_asked": said("sorts", "sort", sorted(reason.helps)),
    }


def _outcomes(found: Case) -> list[dict[str, Any]]:
    """Return how it can end: what may be decided, and what the two may agree on."""
    reason = reason_of(found)
    return [
        {
            "outcome": outcome,
            "words": words("outcomes", outcome),
            "effect": words("effects", outcome),
            "shares": None
            if outcome in _OPEN_AMOUNTS
            else _shares(found, effect(outcome, found.lines, reason.presumed)),
            "decided": outcome in reason.outcomes,
            "agreed": outcome in AGREEABLE,
        }
        for outcome in Outcome
        if outcome in reason.outcomes | AGREEABLE
    ]


def _shares(found: Case, to_payee: Mapping[UUID, int]) -> list[dict[str, Any]]:
    return [
        {
            "leg": encode("leg", line.id),
            "unit": line.unit,
            "to_payer": line.amount - to_payee[line.id],
            "to_payee": to_payee[line.id],
        }
        for line in found.lines
    ]


def _offer(found: Case, now: datetime) -> dict[str, Any] | None:
    offer = found.offer
    if offer is None or now >= offer.expires_at:
        return None
    extra = offer.extra
    return {
        "id": encode("offer", offer.id),
        "by": offer.by,
        "outcome": offer.outcome,
        "shares": _shares(found, offer.to_payee) if offer.to_payee else None,
        "text": offer.text,
        "extra": None
        if extra is None
        else {"by": extra.by, "amount": extra.amount, "unit": extra.unit},
        "expires_at": offer.expires_at,
    }


def _proposal(found: Case, now: datetime) -> dict[str, Any] | None:
    proposal = found.proposal
    if proposal is None or now >= proposal.expires_at:
        return None
    return {
        "id": encode("proposal", proposal.id),
        "mediator": encode("mediator", proposal.by),
        "outcome": proposal.outcome,
        "shares": _shares(found, proposal.to_payee) if proposal.to_payee else None,
        "text": proposal.text,
        "accepted_by": sorted(proposal.accepted_by),
        "expires_at": proposal.expires_at,
    }


def _ruling(found: Case) -> dict[str, Any]:
    ruling = found.ruling
    assert ruling is not None
    seconded = ruling.seconded_by
    return {
        "outcome": ruling.outcome,
        "shares": _shares(found, ruling.to_payee),
        "reason_code": ruling.reason_code,
        "reasons": ruling.reasons,
        "by": [encode("mediator", one) for one in ruling.by],
        "seconded_by": None if seconded is None else encode("mediator", seconded),
        "made_at": ruling.made_at,
    }


def _next(found: Case, viewer: Side | None, beside: Around) -> list[dict[str, Any]]:
    """Return the steps that would be taken if asked for now."""
    public = encode("case", found.id)
    return [
        {
            "step": step.name,
            "by": side,
            "method": "POST",
            "path": f"/v1/cases/{public}/{step.name.replace('_', '-')}",
            "outcome": step.outcome,
            "words": words("steps", step.name),
        }
        for side in ((viewer,) if viewer is not None else tuple(Side))
        for step in options.open_steps(found, side, beside.now)
        if step.name != "call_mediator" or not _waits(found, side, beside)
    ]


def _waits(found: Case, side: Side, beside: Around) -> bool:
    return side is found.claimant and found.id in beside.held_back


def _deadlines(found: Case, viewer: Side | None, beside: Around) -> list[dict[str, Any]]:
    """Return what time will do: the end of the stage, of what is open, and the last limit."""
    ends = []
    for step in STEPS:
        if step.by is By.CLOCK and found.stage in step.from_:
            limit = step.name == _LIMIT
            said = words("limit", _LIMIT) if limit else words("next", found.stage)
            at = found.decide_by if limit else found.due_at
            ends.append((step.name, at, step.outcome, said))
    if _offer(found, beside.now) is not None:
        assert found.offer is not None
        ends.append(_ending("offer", found.offer.expires_at))
    if _proposal(found, beside.now) is not None:
        assert found.proposal is not None
        ends.append(_ending("proposal", found.proposal.expires_at))
    if found.stage is Stage.TALK:
        from_when = _callable_from(found, viewer, beside)
        if from_when > beside.now:
            ends.append(_ending("call_mediator", from_when))
    return [
        {"name": name, "due_at": at, "outcome": outcome, "words": said}
        for name, at, outcome, said in sorted(ends, key=lambda end: (end[1], end[0]))
    ]


def _ending(name: str, at: datetime) -> tuple[str, datetime, str, dict[str, str]]:
    said = words("limit", name)
    return name, at, said["en"], said


def _callable_from(found: Case, viewer: Side | None, beside: Around) -> datetime:
    """Return from when the viewer (or, to the platform, either side) may call a neutral."""
    if viewer is not None and _waits(found, viewer, beside):
        return found.opened_at + strikes.RULE.wait
    return found.stage_since + TALK_AT_LEAST


def journal(lines: Sequence[Line]) -> list[dict[str, Any]]:
    """Return lines of a journal as a side may read them; a withheld one keeps its place."""
    nothing = dict.fromkeys(("at", "type", "actor", "data"))
    return [
        {**line_as_said(line), "withheld": False}
        if line.type in SHOWN
        else nothing | line_withheld(line)
        for line in lines
    ]
