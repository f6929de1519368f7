"""What a dispute must come to, worked out by itself: no rule of the service is asked.

The oracle is told what was offered, proposed, decided and voted, in numbers. When a case has ended,
the last thing that its journal says happened tells which of these holds.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

#: What the payee gets of an amount in dispute when nobody can tell, by the reason: as the
#: documentation says it (docs/disputes.md), written here once more.
ALL, NOTHING, HALF = "all", "nothing", "half"
NOBODY_KNOWS: Final = {
    "not_received": NOTHING,
    "not_as_described": HALF,
    "damaged": HALF,
    "counterfeit": NOTHING,
    "no_show": NOTHING,
    "not_done": HALF,
    "not_confirmed": NOTHING,
    "deposit_damage": NOTHING,
    "not_returned": ALL,
    "unauthorised": NOTHING,
    "pressure_or_scam": NOTHING,
    "silence": NOTHING,
}
_FIXED: Final = {
    "to_payer": NOTHING,
    "to_payee": ALL,
    "return_then_refund": NOTHING,
    "no_show_payee": NOTHING,
    "no_show_payer": NOTHING,
}

Shares = dict[UUID, int]


def part(amount: int, how: str) -> int:
    """What the payee gets of an amount."""
    return {ALL: amount, NOTHING: 0, HALF: amount // 2}[how]


@dataclass
class Word:
    """What somebody would have it come to: an outcome, and the payee's part of each line."""

    outcome: str
    split: Shares | None = None
    extra: tuple[str, int] | None = None

    def shares(self, lines: Shares, reason: str) -> Shares:
        """What the payee gets of each line by it."""
        if self.outcome == "split":
            assert self.split is not None
            return self.split
        how = _FIXED[self.outcome] if self.outcome in _FIXED else NOBODY_KNOWS[reason]
        return {line: part(amount, how) for line, amount in lines.items()}


@dataclass
class Dispute:
    """One case as the oracle knows it; ``lines`` are the amounts in dispute."""

    id: UUID
    reason: str
    lines: Shares
    offer: Word | None = None
    proposal: Word | None = None
    ruling: Word | None = None
    votes: dict[UUID, Word] = field(default_factory=dict)
    #: How many are to hear an appeal, whether they are all there or not.
    panel: int = 1
    closed: bool = False

    def expected(self, journal: list[str]) -> Shares | None:
        """What the payee gets of each line once the case is closed; None: it moved nothing."""
        how = journal[-1] if journal[-1] != "closed" else journal[-2]
        if how in {"claim_withdrawn", "flag_lifted", "repair_confirmed", "moot"}:
            return None
        if how in {"return_confirmed", "not_returned"}:
            back = NOTHING if how == "return_confirmed" else ALL
            return {line: part(amount, back) for line, amount in self.lines.items()}
        word = {
            "offer_accepted": self.offer,
            "proposal_accepted": self.proposal,
            "appeal_time_over": self.ruling,
            "appeal_not_heard": self.ruling,
            "appeal_decided": self._heard(),
            "limit_reached": Word("cannot_decide"),
        }[how]
        assert word is not None, how
        return word.shares(self.lines, self.reason)

    def _heard(self) -> Word | None:
        """What more than half of the panel said alike, or the decision that was there."""
        said = Counter(
            (one.outcome, tuple(sorted(one.shares(self.lines, self.reason).items())))
            for one in self.votes.values()
        )
        for word in self.votes.values():
            key = (word.outcome, tuple(sorted(word.shares(self.lines, self.reason).items())))
            if 2 * said[key] > self.panel:
                return word
        return self.ruling


@dataclass
class Life:
    """An exchange and its disputes. ``legs`` are amounts by id, as the oracle divides them."""

    exchange_id: UUID
    payer: UUID
    payee: UUID
    kind: str
    legs: dict[UUID, tuple[str, str, int]]  # role, unit, amount
    disputes: list[Dispute] = field(default_factory=list)
    #: What each leg's payee must have got, where a case decided it.
    decided: Shares = field(default_factory=dict)
    #: Hours that were given beside, from the payee to the payer (less than nothing: the other way).
    beside: int = 0
    #: Some bank has taken money back: who got what is then the bank's matter too.
    banked: bool = False

    @property
    def dispute(self) -> Dispute | None:
        """The last case."""
        return self.disputes[-1] if self.disputes else None

    def divide(self, parts: Shares, made: dict[UUID, int]) -> Shares:
        """Divide legs by a claim's ``parts``; return what is in dispute, by the new legs' ids."""
        disputed: Shares = {}
        new = dict(made)
        for leg, wanted in parts.items():
            role, unit, amount = self.legs[leg]
            if wanted == amount:
                disputed[leg] = amount
                continue
            found = next(one for one, size in new.items() if size == wanted)
            del new[found]
            self.legs[leg] = (role, unit, amount - wanted)
            self.legs[found] = (role, unit, wanted)
            disputed[found] = wanted
        assert not new, "a leg that nobody asked for"
        return disputed
