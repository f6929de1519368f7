"""Re-prove the books, and that exchanges and books say the same; cut the balances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import structlog
from sqlalchemy import Engine

from ledger import audit as ledger_audit
from ledger import cuts
from ledger.audit import Problem
from service import db
from service.exchanges import audit as exchange_audit
from service.exchanges import case_audit

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Proof:
    """What was looked at and what does not hold."""

    entries: int
    accounts: int
    problems: Sequence[Problem]

    def __str__(self) -> str:
        """Say it in a line, and each problem in one more."""
        if not self.problems:
            return f"The books hold: {self.entries} entries on {self.accounts} accounts re-proved."
        lines = [f"{len(self.problems)} problems in the books:"]
        lines += [f"  {problem}" for problem in self.problems]
        return "\n".join(lines)


def prove(engine: Engine, platform_id: UUID | None = None) -> Proof:
    """Audit one platform, or all, as of one instant: what is written meanwhile is not half-seen."""
    still = engine.execution_options(isolation_level="REPEATABLE READ")
    with db.transaction(still, db.SYSTEM) as connection:
        report = ledger_audit.audit(connection, platform_id)
        problems = [*report.problems, *exchange_audit.audit(connection, platform_id)]
        problems += case_audit.audit(connection, platform_id)
    return Proof(report.entries, report.accounts, problems)


def audit(engine: Engine) -> int:
    """Re-prove everybody's books and log what does not hold; return how many problems there are.

    A problem is an alert, never repaired in silence.
    """
    proof = prove(engine)
    _log.info("books_proved", entries=proof.entries, accounts=proof.accounts)
    for problem in proof.problems:
        _log.critical("books_problem", problem=str(problem))
    return len(proof.problems)


def cut(engine: Engine) -> None:
    """Cut the balances of busy accounts, each platform in a transaction of its own."""
    with db.transaction(engine, db.SYSTEM) as connection:
        platforms = cuts.platforms(connection)
    for platform_id in platforms:
        with db.transaction(engine, db.SYSTEM) as connection:
            cuts.cut(connection, platform_id)
