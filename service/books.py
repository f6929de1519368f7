"""Re-prove the books, and that exchanges and books say the same; cut the balances."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import structlog
from sqlalchemy import Connection, Engine, text

from ledger import audit as ledger_audit
from ledger import cuts
from ledger.audit import Problem
from service import db
from service.exchanges import audit as exchange_audit
from service.exchanges import case_audit

#: Large books take longer than any statement of a request may.
_AS_LONG_AS_IT_TAKES: Final = text("SET LOCAL statement_timeout = 0")

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
    """Audit one platform, or all, as of one instant: what is written meanwhile is not half-seen.

    What the postings say is proved on one connection and what comes of them on another, at the
    same time: each takes about half of it.
    """
    still = engine.execution_options(isolation_level="REPEATABLE READ")
    with (
        db.transaction(still, db.SYSTEM) as connection,
        db.beside(engine, connection, db.SYSTEM) as other,
        ThreadPoolExecutor(1, "audit") as thread,
    ):
        for one in (connection, other):
            one.execute(_AS_LONG_AS_IT_TAKES)
        sums = thread.submit(_prove_sums, other, platform_id)
        problems = ledger_audit.contents(connection, platform_id)
        entries, accounts = ledger_audit.size(connection, platform_id)
        problems += sums.result()
    return Proof(entries, accounts, problems)


def _prove_sums(connection: Connection, platform_id: UUID | None) -> list[Problem]:
    return [
        *ledger_audit.sums(connection, platform_id),
        *exchange_audit.audit(connection, platform_id),
        *case_audit.audit(connection, platform_id),
    ]


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
