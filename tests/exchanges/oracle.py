"""An independent model of an exchange's money in plain Python: what each account must end with.

It shares no code with the service: it follows one exchange by the words of the design and answers
what the members, the platform and the holds own after each step, in minor units.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from fractions import Fraction


@dataclass
class OracleLeg:
    """A leg as the oracle knows it."""

    role: str
    checkpoint: str
    amount: int
    unit: str
    money: bool
    payer_fee: int = 0
    payee_fee: int = 0
    state: str = "open"


@dataclass
class Oracle:
    """One exchange: call the method that tells what happened, then compare ``balances``."""

    legs: list[OracleLeg]
    checkpoints: list[str]
    fee_kept: bool = False
    state: str = "agreed"
    met: int = 0
    words: set[str] = field(default_factory=set)
    offer: tuple[str, list[int]] | None = None
    #: (who, unit) -> minor units; who is payer, payee, fees, hold, paid_in, paid_out, refunded
    balances: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))

    @property
    def open(self) -> bool:
        return self.state in {"agreed", "funding", "active", "in_review"}

    @property
    def held(self) -> list[OracleLeg]:
        return [leg for leg in self.legs if leg.state == "held"]

    def fund(self) -> None:
        for leg in self.legs:
            if not leg.money:
                self._hold(leg)
        if any(leg.money for leg in self.legs):
            self.state = "funding"
        else:
            self.state = "active"

    def paid(self) -> None:
        for leg in self.legs:
            if leg.money:
                self._hold(leg)
        self.state = "active"

    def payment_failed(self) -> None:
        self._unhold()
        self.state = "agreed"

    def cancel_before(self) -> None:
        self._unhold()
        self.state = "cancelled"

    def expire(self) -> None:
        self._unhold()
        self.state = "expired"

    def confirm(self, side: str) -> None:
        self.words.add(side)
        if len(self.words) == 2:
            name = self.checkpoints[self.met]
            for leg in self.held:
                if leg.checkpoint == name:
                    self._share(leg, leg.amount if leg.role == "price" else 0)
            self.met += 1
            self.words = set()
            self.offer = None
            self.state = "completed" if self.met == len(self.checkpoints) else "active"

    def withdraw(self, side: str) -> None:
        self.words.remove(side)

    def settle(self, to_payee: list[int], state: str) -> None:
        for leg, part in zip(self.held, to_payee, strict=True):
            self._share(leg, part)
        self.state = state

    def hold_limit(self) -> None:
        had = bool(self.held)
        self.fee_kept = False  # silence pays nobody, the platform neither
        self.settle([0] * len(self.held), "refunded" if had else "expired")

    def _hold(self, leg: OracleLeg) -> None:
        whole = leg.amount + leg.payer_fee
        source = "paid_in" if leg.money else "payer"
        self.balances[source, leg.unit] -= whole
        self.balances["hold", leg.unit] += whole
        leg.state = "held"

    def _unhold(self) -> None:
        for leg in self.held:
            self.balances["payer", leg.unit] += leg.amount + leg.payer_fee
            self.balances["hold", leg.unit] -= leg.amount + leg.payer_fee
            leg.state = "open"

    def _share(self, leg: OracleLeg, gross: int) -> None:
        released = Fraction(gross, leg.amount)
        payee_fee = int(leg.payee_fee * released)  # int() cuts towards zero: members gain
        payer_fee = leg.payer_fee if self.fee_kept else int(leg.payer_fee * released)
        to_payee = gross - payee_fee
        to_payer = leg.amount - gross + leg.payer_fee - payer_fee
        self.balances["hold", leg.unit] -= leg.amount + leg.payer_fee
        self.balances["fees", leg.unit] += payee_fee + payer_fee
        self.balances["paid_out" if leg.money else "payee", leg.unit] += to_payee
        self.balances["refunded" if leg.money else "payer", leg.unit] += to_payer
        leg.state = "settled"
