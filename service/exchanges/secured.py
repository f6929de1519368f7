"""How the deposits of an exchange are secured, as its terms state it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from service.exchanges.kinds import LegRole
from service.exchanges.model import Leg
from service.exchanges.refusals import InvalidTerms
from service.policies.deposits import STRATEGIES, TAKE_BEFORE, choose

#: What the parties read, and agree to, about the deposit.
_WORDS: Final = {
    "capture": "The deposit is taken at the payment and given back at the return.",
    "authorise": "The deposit is blocked at the bank and not taken; if the return is late, it is "
    "taken before the block ends, and given back at the return.",
    "reauthorise": "The deposit is blocked at the bank and blocked anew as long as it lasts; if "
    "the bank does not agree, it is taken before the block ends, and given back at the return.",
}


def secured(
    legs: tuple[Leg, ...],
    wanted: str,
    due: datetime | None,
    windows: Mapping[str, int],
    now: datetime,
) -> tuple[Leg, ...]:
    """Say of each deposit in money how it is secured, from how long it must be.

    ``due``: when the return is planned, if it is.

    Raises:
        InvalidTerms: no such way, or nothing to secure.
    """
    if wanted not in STRATEGIES:
        raise InvalidTerms(
            f"A deposit is secured in one of these ways: {', '.join(STRATEGIES)}.",
            pointer="/deposit",
        )
    in_money = [leg for leg in legs if leg.role is LegRole.DEPOSIT and leg.sort == "money"]
    if not in_money:
        if wanted != "automatic":
            raise InvalidTerms("There is no deposit in money to secure.", pointer="/deposit")
        return legs
    until = None if due is None else due + timedelta(hours=windows["confirm_hours"])
    strategy = choose(wanted, until, now)
    return tuple(replace(leg, strategy=strategy) if leg in in_money else leg for leg in legs)


def deposit_json(legs: tuple[Leg, ...]) -> dict[str, str] | None:
    """Return what the terms say about the deposit, in a word and in words."""
    strategy = next((leg.strategy for leg in legs if leg.strategy is not None), None)
    return None if strategy is None else {"strategy": strategy, "words": _WORDS[strategy]}


def deposit_defaults(legs: tuple[Leg, ...]) -> list[dict[str, Any]]:
    """State what happens by itself when the bank's block on a deposit ends."""
    if not any(leg.secured_by_bank for leg in legs):
        return []
    hours = int(TAKE_BEFORE.total_seconds() // 3600)
    return [{"when": "deposit_block_ends", "hours_before": hours, "outcome": "deposit_taken"}]
