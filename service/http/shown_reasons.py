"""Reasons to claim as the API shows them, with all that follows from giving one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from disputes.clocks import LENGTH
from disputes.model import Stage
from disputes.outcomes import AGREEABLE, Outcome, Side
from disputes.reasons import REASONS, Reason
from service.exchanges.kinds import Kind
from service.http.dispute_words import notice, words

_HOUR: Final = timedelta(hours=1)


def reasons(kind: Kind | None, by: Side | None) -> dict[str, Any]:
    """Return the reasons for this kind of exchange and this side, or for all."""
    found = [
        one
        for one in REASONS.values()
        if (kind is None or kind in one.kinds) and (by is None or by in one.by)
    ]
    return {"data": [_reason(one) for one in found], "notice": notice()}


def _reason(one: Reason) -> dict[str, Any]:
    outcomes = [outcome for outcome in Outcome if outcome in one.outcomes | AGREEABLE]
    return {
        "reason": one.code,
        "object": "claim_reason",
        "words": words("reasons", one.code),
        "kinds": [kind for kind in Kind if kind in one.kinds],
        "by": [side for side in Side if side in one.by],
        "questions": [_question(code) for code in one.questions],
        "asked": [_question(code) for code in one.asked],
        "evidence_needed": [_sort(sort) for sort in sorted(one.needs)],
        "evidence_that_may_be_asked": [_sort(sort) for sort in sorted(one.helps)],
        "outcomes": [
            {
                "outcome": outcome,
                "words": words("outcomes", outcome),
                "effect": words("effects", outcome),
                "decided": outcome in one.outcomes,
                "agreed": outcome in AGREEABLE,
            }
            for outcome in outcomes
        ],
        "presumed": one.presumed,
        "presumed_words": words("presumed", one.presumed),
        "stages": [_stage(stage) for stage in _stages(one)],
    }


def _question(code: str) -> dict[str, Any]:
    return {"code": code, "words": words("questions", code)}


def _sort(sort: str) -> dict[str, Any]:
    return {"sort": sort, "words": words("sorts", sort)}


def _stages(one: Reason) -> list[Stage]:
    """Return the stages that a claim can pass through, from the one that it begins with."""
    return [stage for stage in LENGTH if stage is not Stage.TALK or not one.at_once]


def _stage(stage: Stage) -> dict[str, Any]:
    usual, gentle = LENGTH[stage]
    return {
        "stage": stage,
        "words": words("stages", stage),
        "next": words("next", stage),
        "hours": usual // _HOUR,
        "hours_with_more_time": gentle // _HOUR,
    }
