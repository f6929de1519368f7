"""Cases of a world in a test, and those who decide them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from random import Random
from threading import Barrier
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, text

from disputes import journal
from disputes.commands import Command
from disputes.model import Case, Stage
from disputes.outcomes import Outcome
from ledger.refusals import Refusal
from service.exchanges import case_clocks, case_rounds, cases
from service.exchanges.commands import ClaimDraft
from service.exchanges.kinds import Role
from service.exchanges.model import Exchange
from service.ids import uuid7
from tests.disputes.people import People
from tests.exchanges.world import World

ANSWERS = {"when_expected": "Last week.", "what_was_said": "That it was sent."}
REASONS = "Both have shown what they had, and the parcel was never handed to the carrier. " * 2
DAY = timedelta(days=1)


def seats(case: Case) -> tuple[UUID, ...]:
    """Who is to act in a case, as it says itself."""
    panel = () if case.appeal is None else case.appeal.panel
    by_stage = {Stage.SECOND_LOOK: (case.second_id,), Stage.APPEAL: panel}
    return tuple(one for one in by_stage.get(case.stage, (case.mediator_id,)) if one is not None)


def at_once(attempt: int, *acts: Callable[[], Any]) -> list[Any]:
    """Start every act at the same instant; return what each answered or was refused.

    ``attempt`` shuffles which thread gets which, so that none is always the first to start.
    """
    order = list(range(len(acts)))
    Random(attempt).shuffle(order)
    start, answers = Barrier(len(acts)), dict[int, Any]()

    def run(index: int) -> None:
        start.wait()
        try:
            answers[index] = acts[index]()
        except Refusal as refusal:
            answers[index] = refusal

    with ThreadPoolExecutor(len(acts)) as pool:
        list(pool.map(run, order))
    return [answers[index] for index in range(len(acts))]


class Court:
    """Cases of a world, and those who decide them."""

    def __init__(self, world: World, people: People) -> None:
        self.world, self.people = world, people

    def claimed(self, amount: int = 6_500, unit: str = "EUR") -> tuple[Exchange, Case]:
        """Return a sale that was paid and never came, and the case about it."""
        exchange = self.world.funded(self.world.sale(amount, unit))
        draft = ClaimDraft("not_received", (), {}, ANSWERS)
        exchange = self.world.step(exchange, "claim", Role.PAYER, claim=draft)
        return exchange, self.case(exchange)

    def mediated(self, amount: int = 6_500) -> tuple[Exchange, Case]:
        """Return a sale, and its case that somebody mediates."""
        exchange, case = self.claimed(amount)
        self.until(case.due_at)
        case = self.case(exchange)
        assert (case.stage, case.mediator_id is None) == (Stage.MEDIATION, False)
        return exchange, case

    def decided(self, outcome: Outcome = Outcome.TO_PAYEE) -> tuple[Exchange, Case]:
        """Return a sale, and its case whose decision can still be appealed."""
        exchange, case = self.mediated()
        return exchange, self.decide(case, outcome)

    def paid(self, exchange: Exchange) -> dict[str, list[int]]:
        """Return what went out for an exchange by the provider, by kind of payment."""
        found: dict[str, list[int]] = {"refund": [], "payout": []}
        with self.people.inside() as connection:
            query = text(
                "SELECT kind, amount FROM service.payment WHERE exchange_id = :id "
                "AND kind <> 'collect' AND state = 'succeeded'"
            )
            for row in connection.execute(query, {"id": exchange.id}):
                found[row.kind].append(row.amount)
        return found

    def case(self, exchange: Exchange) -> Case:
        """Return the last case about an exchange."""
        with self.people.inside() as connection:
            query = text("SELECT id FROM disputes.case WHERE subject_id = :id ORDER BY id DESC")
            case_id = connection.scalars(query, {"id": exchange.id}).first()
            assert case_id is not None
            return cases.find(connection, self.world.platform_id, case_id)

    def take(self, case: Case, step: str, **more: Any) -> Case:
        """Take a step of a case; raise its refusal."""
        with self.people.inside() as connection:
            wanted = [(case.id, Command(step, uuid7(), **more))]
            (outcome,) = cases.act(connection, self.world.platform_id, wanted, self.world.rules)
        if isinstance(outcome, Refusal):
            raise outcome
        return outcome

    def fire(self, engine: Engine | None = None) -> int:
        """Do one round of the clock on this platform."""
        only = self.world.platform_id
        return case_clocks.run(
            engine or self.world.engine, self.world.codes, self.world.now, only=only
        )

    def until(self, at: datetime, seen: Callable[[], None] = lambda: None) -> int:
        """Let time pass, each thing at its instant; return how many steps of cases were taken.

        ``seen`` is called after each instant.
        """
        taken, world = 0, self.world
        while (due := self._next()) is not None and due <= at:
            world.now = max(world.now, due)
            world.fire()
            taken += self.fire()
            world.sweep()
            seen()
        world.now = at
        return taken

    def decide(self, case: Case, outcome: Outcome = Outcome.TO_PAYER) -> Case:
        """Let the neutral who has the case decide it."""
        return self.take(
            case,
            "decide",
            mediator_id=case.mediator_id,
            outcome=outcome,
            text=REASONS,
            reason_code="evidence",
        )

    def vote(self, case: Case, who: UUID, outcome: Outcome, **more: Any) -> Case:
        """Let one of a panel give their word."""
        reasons = {"text": REASONS, "reason_code": "evidence"}
        return self.take(case, "vote", mediator_id=who, outcome=outcome, **reasons, **more)

    def _next(self) -> datetime | None:
        with self.people.inside() as connection:
            query = text(
                "SELECT min(at) FROM (SELECT due_at FROM service.timer "
                f"UNION ALL SELECT {case_clocks.tried('c')} FROM disputes.case AS c "
                "WHERE due_at IS NOT NULL "
                "UNION ALL SELECT look_again_at FROM service.chargeback "
                "WHERE kind = 'warning' AND closed_at IS NULL) AS waiting(at)"
            )
            at: datetime | None = connection.execute(query).scalar_one()
            return at

    def types(self, case: Case) -> list[str]:
        """Return what the journal of a case says, in order."""
        with self.people.inside() as connection:
            return [one.type for one in journal.read(connection, case.platform_id, case.id)]

    def find_people(self) -> int:
        """Do one round of the draw on this platform."""
        world = self.world
        return case_rounds.find_people(
            world.engine, world.codes, lambda: world.now, world.platform_id
        )
