"""Whole cases for tests of records, each step through the database."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

from sqlalchemy import Connection, Engine

from disputes import cases, draw, evidence
from disputes.cases import NewCase
from disputes.commands import Command, Move
from disputes.evidence_rows import Piece
from disputes.model import Case, Cause, Stage
from disputes.outcomes import Line, Outcome, Side
from disputes.reasons import REASONS
from ledger.refusals import Refusal
from service.records import decisions, exports
from service.records.decisions import Known
from service.sealing import Sealer
from tests.disputes.people import DAY, NOW, People

SEALER: Final = Sealer("the secret of a test instance, long enough")
ISSUER: Final = "https://tierce.test"
TEXT: Final = "The photographs show the scratch that the seller's own text denies. " * 3


@dataclass
class Court:
    """A platform with six mediators, and cases that come before them."""

    engine: Engine
    platform_id: UUID
    people: People = field(init=False)
    now: datetime = NOW

    def __post_init__(self) -> None:
        self.people = People(self.engine, self.platform_id)
        for _ in range(6):
            self.people.join()

    def claimed(self, **more: Any) -> Case:
        """A claim that a mediator looks at."""
        new: dict[str, Any] = {
            "id": uuid4(),
            "subject_id": uuid4(),
            "kind": "sale",
            "cause": Cause.CLAIM,
            "reason": REASONS["pressure_or_scam"],
            "claimant": Side.PAYER,
            "payer_id": uuid4(),
            "payee_id": uuid4(),
            "lines": (Line(uuid4(), "EUR", 60_000), Line(uuid4(), "JPY", 7)),
            "decide_by": self.now + 80 * DAY,
            "agreed": {"title": "Un vélo"},
            "answers": {"what_happened": "He wrote that I must pay at once."},
            "text": "Give it back.",
        }
        with self.people.inside() as connection:
            [case] = cases.open_cases(
                connection, self.platform_id, [NewCase(**(new | more))], self._draw, self.now
            )
        assert isinstance(case, Case)
        return case

    def act(self, case: Case, step: str, after: timedelta = timedelta(), **more: Any) -> Case:
        """Take a step, some time after the one before."""
        self.now += after
        with self.people.inside() as connection:
            [outcome] = cases.act(
                connection,
                self.platform_id,
                [(case.id, Command(step, uuid4(), **more))],
                self._draw,
                self.now,
            )
        if isinstance(outcome, Refusal):
            raise outcome
        assert isinstance(outcome, Move)
        return outcome.case

    def written(self, case: Case, outcome: Outcome = Outcome.SPLIT) -> Case:
        """A decision; one of half of each line to the payee."""
        split = {line.id: line.amount // 2 for line in case.lines}
        return self.act(
            case,
            "decide",
            mediator_id=case.mediator_id,
            outcome=outcome,
            split=split if outcome is Outcome.SPLIT else None,
            text=TEXT,
            reason_code="facts",
        )

    def told(self, outcome: Outcome = Outcome.SPLIT) -> Case:
        """A decision that both sides know."""
        case = self.written(self.claimed(), outcome)
        if case.stage is Stage.SECOND_LOOK:
            case = self.act(case, "agree_with", mediator_id=case.second_id)
        return case

    def closed(self) -> Case:
        """A decision that was carried out."""
        case = self.told()
        self.now = case.due_at
        return self.act(case, "end_appeal_time")

    def bring(self, case: Case, **more: Any) -> Piece:
        """Evidence, of words unless more is said."""
        new: dict[str, Any] = {
            "id": uuid4(),
            "case_id": case.id,
            "sort": "text",
            "member_id": case.payer_id,
            "via": "member",
            "text": "It was agreed that he would bring it.",
        }
        with self.people.inside() as connection:
            return evidence.add(
                connection, self.platform_id, evidence.New(**(new | more)), self.now
            )

    def known(self, case: Case) -> Known:
        """The case as its documents are made of it."""
        with self.people.inside() as connection:
            return decisions.read(connection, self.platform_id, case.id, ISSUER)

    def decision(self, case: Case) -> str:
        """The signed decision."""
        with self.people.inside() as connection:
            known = decisions.read(connection, self.platform_id, case.id, ISSUER)
            return decisions.signed_decision(connection, SEALER, known, self.now)

    def export(self, case: Case, *, whole: bool = False) -> dict[str, Any]:
        """The export, as the two sides have it."""
        with self.people.inside() as connection:
            known = decisions.read(connection, self.platform_id, case.id, ISSUER)
            viewer = f"mediator:{uuid4()}" if whole else "payer"
            return exports.export(connection, SEALER, known, viewer, self.now)

    def _draw(
        self, connection: Connection, case: Case, part: Any, how_many: int
    ) -> tuple[UUID, ...]:
        return draw.draw(connection, case, part, os.urandom(32), self.now, how_many)
