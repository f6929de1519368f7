"""Random lives of exchanges of every kind, several at once, against an independent oracle."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import Engine

from service.exchanges import timers
from service.exchanges.fees import FeeRule, quote
from service.exchanges.kinds import Role
from service.exchanges.model import TERMINAL, Exchange
from tests.exchanges.oracle import Oracle, OracleLeg
from tests.exchanges.world import World

CHOICE = st.booleans()
SIDES = st.sampled_from([Role.PAYER, Role.PAYEE])
FEES = st.builds(
    FeeRule,
    fixed=st.integers(0, 1),
    basis_points=st.integers(0, 3_000),
    borne_by=st.sampled_from(["payer", "payee", "shared"]),
    on_refund=st.sampled_from(["returned", "kept"]),
)


class Lives(RuleBasedStateMachine):
    """Each rule takes one step in the service and the same in the oracle."""

    engine: Engine
    new_platform: Callable[[], UUID]

    @initialize()
    def start(self) -> None:
        self.world = World(self.engine, self.new_platform())
        self.lives: list[tuple[Exchange, Oracle]] = []

    def _pick(self, data: st.DataObject, *states: str) -> tuple[Exchange, Oracle] | None:
        live = [pair for pair in self.lives if pair[1].state in states]
        if not live:
            return None
        exchange, oracle = data.draw(st.sampled_from(live), label="exchange")
        return self.world.read(exchange), oracle

    @precondition(lambda self: len(self.lives) < 5)
    @rule(data=st.data(), fee=FEES)
    def propose(self, data: st.DataObject, fee: FeeRule) -> None:
        kind = data.draw(
            st.sampled_from(["sale", "service", "rental", "loan", "help", "mixed", "gift"])
        )
        checkpoints, legs = self._shape(data, kind)
        priced = [leg for leg in legs if leg.money and leg.role == "price"]
        if not priced:
            fee = FeeRule()
        for leg, (payer, payee) in zip(
            priced, quote(fee, [leg.amount for leg in priced]), strict=True
        ):
            if payee > leg.amount:
                return
            leg.payer_fee, leg.payee_fee = payer, payee
        exchange = self.world.propose(
            self.world.draft(
                kind,
                [(leg.role, leg.amount, leg.unit, leg.checkpoint) for leg in legs],
                checkpoints=checkpoints if kind == "service" else (),
                fee=fee,
            )
        )
        oracle = Oracle(legs, checkpoints, fee_kept=fee.on_refund == "kept")
        oracle.state = "agreed" if legs else "active"
        self.lives.append((exchange, oracle))

    def _shape(self, data: st.DataObject, kind: str) -> tuple[list[str], list[OracleLeg]]:
        def leg(role: str, at: str, unit: str = "EUR") -> OracleLeg:
            most = 200 if unit == "HOURS" else 30_000
            amount = data.draw(st.integers(1, most), label="amount")
            return OracleLeg(role, at, amount, unit, unit == "EUR")

        if kind == "sale":
            return ["handover"], [leg("price", "handover")]
        if kind == "service":
            names = ["first", "second", "third"][: data.draw(st.integers(1, 3))]
            return names, [leg("price", name) for name in names]
        if kind == "rental":
            return ["handover", "return"], [leg("price", "handover"), leg("deposit", "return")]
        if kind == "loan":
            return ["handover", "return"], [leg("deposit", "return")]
        if kind == "help":
            return ["done"], [leg("price", "done", "HOURS")]
        if kind == "mixed":
            return ["done"], [leg("price", "done"), leg("price", "done", "HOURS")]
        return ["handover"], []

    @rule(
        data=st.data(),
        method=st.sampled_from(
            ["pm_sandbox_ok", "pm_sandbox_declined", "pm_sandbox_duplicate_event"]
        ),
    )
    def fund(self, data: st.DataObject, method: str) -> None:
        picked = self._pick(data, "agreed")
        if picked is None:
            return
        exchange, oracle = picked
        self.world.step(exchange, "fund", Role.PAYER, payment_method=method)
        oracle.fund()
        if oracle.state == "funding":
            self.world.sweep()
            if method == "pm_sandbox_declined":
                oracle.payment_failed()
            else:
                oracle.paid()

    @rule(data=st.data(), side=SIDES)
    def confirm(self, data: st.DataObject, side: Role) -> None:
        picked = self._pick(data, "active", "in_review")
        if picked is None or side in picked[1].words:
            return
        exchange, oracle = picked
        self.world.step(exchange, "confirm", side)
        oracle.confirm(side)

    @rule(data=st.data(), side=SIDES)
    def withdraw(self, data: st.DataObject, side: Role) -> None:
        picked = self._pick(data, "active", "in_review")
        if picked is None or side not in picked[1].words:
            return
        exchange, oracle = picked
        self.world.step(exchange, "withdraw_confirmation", side)
        oracle.withdraw(side)

    @rule(data=st.data())
    def enter_code(self, data: st.DataObject) -> None:
        picked = self._pick(data, "active", "in_review")
        if picked is None:
            return
        exchange, oracle = picked
        enterer = Role.PAYER if oracle.checkpoints[oracle.met] == "return" else Role.PAYEE
        self.world.step(exchange, "enter_code", enterer, code=self.world.code(exchange))
        for side in {"payer", "payee"} - oracle.words:
            oracle.confirm(side)

    @rule(data=st.data(), side=SIDES)
    def settle(self, data: st.DataObject, side: Role) -> None:
        picked = self._pick(data, "active", "in_review")
        if picked is None:
            return
        exchange, oracle = picked
        held = oracle.held
        split: list[int] = [0] * len(held)
        if len(held) > 0 and data.draw(CHOICE, label="split"):
            split = [data.draw(st.integers(0, leg.amount), label="to payee") for leg in held]
            offered = self.world.step(exchange, "propose_settlement", side, to_payee=tuple(split))
            state = "settled"
        else:
            offered = self.world.step(exchange, "propose_cancellation", side)
            state = "cancelled"
        assert offered.proposal is not None
        if data.draw(CHOICE, label="accept"):
            self.world.step(
                exchange, "accept_proposal", side.other, proposal_id=offered.proposal.id
            )
            oracle.settle(split, state)

    @rule(data=st.data(), side=SIDES)
    def cancel(self, data: st.DataObject, side: Role) -> None:
        picked = self._pick(data, "agreed")
        if picked is None:
            return
        exchange, oracle = picked
        self.world.step(exchange, "cancel", side)
        oracle.cancel_before()

    @rule(days=st.sampled_from([1, 8, 30, 90]))
    def pass_time(self, days: int) -> None:
        self.world.now += timedelta(days=days)
        timers.run(self.world.engine, self.world.codes, self.world.now, only=self.world.platform_id)
        for exchange, oracle in self.lives:
            # The oracle learns only that time acted, and checks that it acted by the rules.
            state = self.world.read(exchange).state
            if not oracle.open or state == oracle.state:
                continue
            assert days > 1 or oracle.state != "agreed" or state == "expired"
            if state == "in_review":
                assert oracle.state == "active"
                oracle.state = "in_review"
            elif oracle.state == "agreed":
                oracle.expire()
            else:
                oracle.hold_limit()
            assert state == oracle.state

    @invariant()
    def states_agree(self) -> None:
        for exchange, oracle in getattr(self, "lives", []):
            assert self.world.read(exchange).state == oracle.state

    @invariant()
    def books_prove_themselves(self) -> None:
        if hasattr(self, "world"):
            self.world.check()

    @invariant()
    def balances_agree(self) -> None:
        if not getattr(self, "lives", None):
            return
        self.world.sweep()
        world = self.world
        for unit in ("EUR", "HOURS"):
            wanted: dict[str, int] = defaultdict(int)
            for _, oracle in self.lives:
                for (who, of_unit), amount in oracle.balances.items():
                    if of_unit == unit:
                        wanted[who] += amount
            assert world.balance("platform:fees", unit) == wanted["fees"]
            assert world.of(world.payer, unit) == wanted["payer"]
            assert world.of(world.payee, unit) == wanted["payee"]
            assert world.outside(unit) == -(
                wanted["paid_in"] + wanted["paid_out"] + wanted["refunded"]
            )


def test_random_lives_agree_with_the_oracle_and_the_books_prove_themselves(
    engine: Engine, new_platform: Callable[[], UUID]
) -> None:
    machine = type(
        "BoundLives", (Lives,), {"engine": engine, "new_platform": staticmethod(new_platform)}
    )
    run_state_machine_as_test(
        machine, settings=settings(max_examples=15, stateful_step_count=30, deadline=None)
    )


def test_terminal_states_of_the_service_are_the_closed_states_of_the_oracle() -> None:
    assert not any(Oracle([], [], state=state).open for state in TERMINAL)


pytestmark = pytest.mark.timeout(180)
