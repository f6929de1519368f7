"""Between the values of ``model`` and the rows of ``disputes.case``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import RowMapping

from disputes.model import Appeal, Case, Cause, Extra, Offer, Proposal, Ruling, Stage
from disputes.outcomes import Line, Outcome, Side


def from_row(row: RowMapping) -> Case:
    """Build the value from its row."""
    return Case(
        platform_id=row["platform_id"],
        id=row["id"],
        subject_id=row["subject_id"],
        kind=row["kind"],
        cause=Cause(row["cause"]),
        reason=row["reason"],
        claimant=None if row["claimant"] is None else Side(row["claimant"]),
        payer_id=row["payer_id"],
        payee_id=row["payee_id"],
        lines=tuple(Line(UUID(one["id"]), one["unit"], one["amount"]) for one in row["lines"]),
        stage=Stage(row["stage"]),
        stage_since=row["stage_since"],
        due_at=row["due_at"] or row["stage_since"],
        decide_by=row["decide_by"],
        opened_at=row["opened_at"],
        version=row["version"],
        file=row["file"],
        file_hash=row["file_hash"],
        gentle=row["gentle"],
        mediator_id=row["mediator_id"],
        second_id=row["second_id"],
        left=frozenset(row["left_ids"]),
        offer=_offer(row["offer"]),
        proposal=_proposal(row["proposal"]),
        ruling=_ruling(row["ruling"]),
        appeal=_appeal(row["appeal"]),
        outcome=None if row["outcome"] is None else Outcome(row["outcome"]),
        settlement=None if row["settlement"] is None else _parts(row["settlement"]),
        closed_at=row["closed_at"],
        challenges={Side(side): times for side, times in row["challenges"].items()},
        returned_at=row["returned_at"],
        entries=row["entries"],
    )


def _parts(said: Mapping[str, int]) -> dict[UUID, int]:
    return {UUID(line): amount for line, amount in said.items()}


def _said(parts: Mapping[UUID, int]) -> dict[str, int]:
    return {str(line): amount for line, amount in parts.items()}


def _offer(said: Mapping[str, Any] | None) -> Offer | None:
    if said is None:
        return None
    extra = said["extra"]
    return Offer(
        UUID(said["id"]),
        Side(said["by"]),
        Outcome(said["outcome"]),
        _parts(said["to_payee"]),
        said["text"],
        datetime.fromisoformat(said["expires_at"]),
        None if extra is None else Extra(Side(extra["by"]), extra["unit"], extra["amount"]),
    )


def _proposal(said: Mapping[str, Any] | None) -> Proposal | None:
    if said is None:
        return None
    return Proposal(
        UUID(said["id"]),
        UUID(said["by"]),
        Outcome(said["outcome"]),
        _parts(said["to_payee"]),
        said["text"],
        datetime.fromisoformat(said["expires_at"]),
        frozenset(Side(side) for side in said["accepted_by"]),
    )


def _ruling(said: Mapping[str, Any] | None) -> Ruling | None:
    if said is None:
        return None
    return Ruling(
        UUID(said["id"]),
        tuple(UUID(one) for one in said["by"]),
        Outcome(said["outcome"]),
        _parts(said["to_payee"]),
        said["reason_code"],
        said["reasons"],
        datetime.fromisoformat(said["made_at"]),
        None if said["seconded_by"] is None else UUID(said["seconded_by"]),
    )


def _appeal(said: Mapping[str, Any] | None) -> Appeal | None:
    if said is None:
        return None
    votes = {UUID(one): _ruling(vote) for one, vote in said["votes"].items()}
    return Appeal(
        Side(said["by"]),
        said["ground"],
        said["text"],
        datetime.fromisoformat(said["made_at"]),
        tuple(UUID(one) for one in said["panel"]),
        {one: vote for one, vote in votes.items() if vote is not None},
    )


def _ruling_said(ruling: Ruling) -> dict[str, Any]:
    return {
        "id": ruling.id,
        "by": ruling.by,
        "outcome": ruling.outcome,
        "to_payee": _said(ruling.to_payee),
        "reason_code": ruling.reason_code,
        "reasons": ruling.reasons,
        "made_at": ruling.made_at,
        "seconded_by": ruling.seconded_by,
    }


def changing(case: Case) -> dict[str, Any]:
    """Return the columns that a step may change, with the key."""
    offer, proposal, appeal = case.offer, case.proposal, case.appeal
    return {
        "id": case.id,
        "stage": case.stage,
        "stage_since": case.stage_since,
        "due_at": None if case.stage is Stage.CLOSED else case.due_at,
        "version": case.version,
        "gentle": case.gentle,
        "mediator_id": case.mediator_id,
        "second_id": case.second_id,
        "left_ids": sorted(case.left),
        "offer": None
        if offer is None
        else {
            "id": offer.id,
            "by": offer.by,
            "outcome": offer.outcome,
            "to_payee": _said(offer.to_payee),
            "text": offer.text,
            "expires_at": offer.expires_at,
            "extra": None if offer.extra is None else asdict(offer.extra),
        },
        "proposal": None
        if proposal is None
        else {
            "id": proposal.id,
            "by": proposal.by,
            "outcome": proposal.outcome,
            "to_payee": _said(proposal.to_payee),
            "text": proposal.text,
            "expires_at": proposal.expires_at,
            "accepted_by": sorted(proposal.accepted_by),
        },
        "ruling": None if case.ruling is None else _ruling_said(case.ruling),
        "appeal": None
        if appeal is None
        else {
            "by": appeal.by,
            "ground": appeal.ground,
            "text": appeal.text,
            "made_at": appeal.made_at,
            "panel": appeal.panel,
            "votes": {str(one): _ruling_said(vote) for one, vote in appeal.votes.items()},
        },
        "outcome": case.outcome,
        "settlement": None if case.settlement is None else _said(case.settlement),
        "closed_at": case.closed_at,
        "challenges": {str(side): times for side, times in case.challenges.items()},
        "returned_at": case.returned_at,
        "entries": case.entries,
    }


def whole(case: Case) -> dict[str, Any]:
    """Return every column of a new case."""
    return {
        **changing(case),
        "subject_id": case.subject_id,
        "kind": case.kind,
        "cause": case.cause,
        "reason": case.reason,
        "claimant": case.claimant,
        "payer_id": case.payer_id,
        "payee_id": case.payee_id,
        "lines": [{"id": line.id, "unit": line.unit, "amount": line.amount} for line in case.lines],
        "decide_by": case.decide_by,
        "opened_at": case.opened_at,
        "file": case.file,
        "file_hash": case.file_hash,
    }
