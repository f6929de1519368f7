"""Mediators and cases for tests of who takes what."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

from sqlalchemy import Connection, Engine, text

from disputes import clocks, mediators, store
from disputes.commands import Entry, Move
from disputes.mediators import Mediator
from disputes.model import Case, Cause, Ruling, Stage
from disputes.outcomes import Line, Outcome, Presumed, Side, effect
from service.db import SYSTEM, transaction

NOW: Final = datetime(2027, 3, 1, 9, 0, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
SEED: Final = bytes(range(32))


def a_case(platform_id: UUID, **more: Any) -> Case:
    """A case in which a neutral is wanted."""
    decide_by = NOW + timedelta(days=60)
    case = Case(
        platform_id=platform_id,
        id=uuid4(),
        subject_id=uuid4(),
        kind="sale",
        cause=Cause.CLAIM,
        reason="not_received",
        claimant=Side.PAYER,
        payer_id=uuid4(),
        payee_id=uuid4(),
        lines=(Line(uuid4(), "EUR", 6_500),),
        stage=Stage.MEDIATION,
        stage_since=NOW,
        due_at=clocks.due(Stage.MEDIATION, NOW, decide_by, gentle=False),
        decide_by=decide_by,
        opened_at=NOW,
        version=1,
        file={"panel": 3},
        file_hash="",
    )
    return replace(case, **more)


def a_ruling(case: Case, by: UUID, outcome: Outcome = Outcome.TO_PAYER) -> Ruling:
    """What somebody decided."""
    to_payee = effect(outcome, case.lines, Presumed.PAYER)
    return Ruling(uuid4(), (by,), outcome, to_payee, "facts", "Both have shown enough. " * 5, NOW)


def a_mediator(**more: Any) -> Mediator:
    """Somebody who speaks French and takes five cases."""
    id_ = uuid4()
    mediator = Mediator(
        id=id_,
        name="A neutral",
        email=f"{id_}@example.org",
        languages=frozenset({"fr"}),
        skills=frozenset(),
        roles=frozenset({"mediator"}),
        caseload_cap=5,
        created_at=NOW,
    )
    return replace(mediator, **more)


@dataclass
class People:
    """A platform, a pool that serves it, and who is in the pool."""

    engine: Engine
    platform_id: UUID
    pool_id: UUID = field(default_factory=uuid4)

    def __post_init__(self) -> None:
        with self.everywhere() as connection:
            mediators.make_pool(connection, self.pool_id, f"Pool {self.pool_id}", NOW)
            mediators.serve(connection, self.pool_id, self.platform_id)

    @contextmanager
    def everywhere(self) -> Iterator[Connection]:
        """A transaction across platforms."""
        with transaction(self.engine, SYSTEM) as connection:
            yield connection

    @contextmanager
    def inside(self) -> Iterator[Connection]:
        """A transaction inside the platform."""
        with transaction(self.engine, self.platform_id) as connection:
            yield connection

    def join(self, **more: Any) -> UUID:
        """Somebody who is in the pool."""
        mediator = a_mediator(**more)
        with self.everywhere() as connection:
            mediators.add(connection, mediator)
            mediators.put_in_pool(connection, self.pool_id, [mediator.id])
        return mediator.id

    def opened(self, case: Case | None = None, **more: Any) -> Case:
        """A case that is in the database."""
        found = case or a_case(self.platform_id, **more)
        move = Move(found, [Entry("opened", "payer")])
        with transaction(self.engine, found.platform_id) as connection:
            store.insert(connection, found.platform_id, [move], NOW)
        return move.case

    def changed(self, case: Case, now: datetime = NOW, **more: Any) -> Case:
        """The case as a step left it."""
        move = Move(replace(case, version=case.version + 1, **more), [Entry("step", "clock")])
        with transaction(self.engine, case.platform_id) as connection:
            store.update(connection, case.platform_id, [move], now)
        return move.case

    def assignments(self, case: Case) -> list[dict[str, Any]]:
        """What is recorded about who was given the case."""
        query = text(
            "SELECT * FROM disputes.assignment WHERE platform_id = :platform_id "
            "AND case_id = :case_id ORDER BY id"
        )
        with transaction(self.engine, case.platform_id) as connection:
            values = {"platform_id": case.platform_id, "case_id": case.id}
            return [dict(row) for row in connection.execute(query, values).mappings()]
