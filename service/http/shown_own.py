"""What is a mediator's own, as the API shows it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from disputes.model import Case
from disputes.outcomes import Outcome
from disputes.redecisions import Open
from disputes.statistics import OfMediator
from disputes.strikes import Strike
from service.http import shown_desk
from service.ids import encode


def figures(found: OfMediator, since: datetime, until: datetime) -> dict[str, Any]:
    """Return the figures of one mediator."""
    median = found.median_time
    return {
        "object": "mediator_statistics",
        "since": since,
        "until": until,
        "caseload": found.caseload,
        "caseload_cap": found.caseload_cap,
        "given": found.given,
        "done": found.done,
        "declined": found.declined,
        "left": found.left,
        "median_seconds": None if median is None else int(median.total_seconds()),
        "redecided": found.redecided,
        "agreed": found.agreed,
    }


def redecision(one: Open) -> dict[str, Any]:
    """Return a case to decide again, without a word of what was decided."""
    return {
        "id": encode("redecision", one.id),
        "object": "redecision",
        "platform": encode("platform", one.platform_id),
        "case": encode("case", one.case_id),
        "created_at": one.at,
    }


def blind(one: Open, found: Case) -> dict[str, Any]:
    """Return the file of a case to decide again: only what was there before anybody decided."""
    return redecision(one) | {
        "kind": found.kind,
        "cause": found.cause,
        "reason": found.reason,
        "claimant": found.claimant,
        "opened_at": found.opened_at,
        "gentle": found.gentle,
        "file": shown_desk.file(found.file),
        "file_sha256": found.file_hash,
    }


def redecided(one: Open, outcome: Outcome) -> dict[str, Any]:
    """Return that somebody has decided again, and not whether it agrees."""
    return {"id": encode("redecision", one.id), "object": "redecision", "outcome": outcome}


def strike(one: Strike) -> dict[str, Any]:
    """Return a strike, without who gave it."""
    return {
        "id": encode("strike", one.id),
        "object": "strike",
        "member": encode("member", one.member_id),
        "case": encode("case", one.case_id),
        "reason": one.reason,
        "created_at": one.at,
        "expires_at": one.expires_at,
        "lifted_at": one.lifted_at,
    }
