"""What nobody has to do any more, when its message is about to go.

A message may wait for a decent hour, or for a mail server to come back, while its member does the
very thing it asks for, or the exchange ends.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from service.exchanges.deadlines import deadlines
from service.exchanges.model import TERMINAL, Exchange, State
from service.messages.rules import OVER_WITH_EXCHANGE

#: The states in which each of these still asks for something.
_WHILE: Final = {
    "proposed": {State.PROPOSED},
    "counter_offered": {State.PROPOSED},
    "payment_needed": {State.AGREED},
    "payment_failed": {State.AGREED},
    "in_review": {State.IN_REVIEW},
}
#: News that the end of the exchange tells better.
_OVERTAKEN: Final = frozenset(
    {"agreed", "payment_protected", "checkpoint_met", "offer_rejected", "offer_withdrawn"}
)


def is_moot(exchange: Exchange, member_id: UUID, template: str, facts: Mapping[str, Any]) -> bool:
    """Tell whether a message asks its member for what they need not do, or speaks of the past."""
    if template in _OVERTAKEN:
        return exchange.state in TERMINAL or (template == "agreed" and _is_paid(exchange))
    if template not in OVER_WITH_EXCHANGE:
        return False
    if exchange.state in TERMINAL:
        return True
    if exchange.state not in _WHILE.get(template, {exchange.state}):
        return True
    if template == "offer_made":
        return exchange.proposal is None
    about = facts.get("about")
    if about is not None and about not in {line.name for line in deadlines(exchange)}:
        return True
    asks_for_word = template == "other_confirmed" or about == "confirm_by"
    return asks_for_word and _has_confirmed(exchange, member_id, facts.get("checkpoint"))


def _is_paid(exchange: Exchange) -> bool:
    return bool(exchange.legs) and exchange.funded_at is not None


def _has_confirmed(exchange: Exchange, member_id: UUID, checkpoint: str | None) -> bool:
    role, current = exchange.role_of(member_id), exchange.current
    assert role is not None
    if current is None or checkpoint not in {None, current.name}:
        return True  # it was met meanwhile
    return current.confirmed_by(role) is not None
