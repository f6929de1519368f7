"""One platform's books in a test: short ways to post, to read and to race."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from threading import Barrier
from typing import TypeVar
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from ledger import accounts, cuts, posting, units
from ledger.audit import Problem, audit
from ledger.posting import Outcome, Posting, Transfer
from service.db import SYSTEM, transaction

T = TypeVar("T")
START = datetime(2027, 3, 1, 9, 0, tzinfo=UTC)
A, B, C = "member:a", "member:b", "member:c"
OUTSIDE = "provider:sandbox"


def move(debit: str, credit: str, amount: int, unit: str = "EUR") -> Transfer:
    return Transfer(debit, credit, amount, unit)


def race(acts: Sequence[Callable[[], T]]) -> list[T]:
    """Start every act at the same instant; return what each answered."""
    barrier = Barrier(len(acts))

    def run(act: Callable[[], T]) -> T:
        barrier.wait()
        return act()

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(run, acts))


class Books:
    """The books of one platform."""

    def __init__(self, engine: Engine, platform_id: UUID) -> None:
        self.engine = engine
        self.platform_id = platform_id
        self.now = START
        self._keys = count(1)

    def pass_time(self, **length: float) -> None:
        self.now += timedelta(**length)

    def posting(
        self, *transfers: Transfer, key: str | None = None, reference: str | None = None
    ) -> Posting:
        """A posting under a key of its own."""
        return Posting(key or f"key-{next(self._keys)}", "test", transfers, reference)

    def post(self, *postings: Posting) -> list[Outcome]:
        with self.open() as connection:
            return posting.post(connection, self.platform_id, postings, self.now)

    def statuses(self, *postings: Posting) -> list[str]:
        return [str(outcome.status) for outcome in self.post(*postings)]

    def move(self, debit: str, credit: str, amount: int, unit: str = "EUR") -> Posting:
        """Post one transfer that must go through."""
        made = self.posting(move(debit, credit, amount, unit))
        assert self.statuses(made) == ["created"]
        return made

    def open(self) -> AbstractContextManager[Connection]:
        return transaction(self.engine, self.platform_id)

    def balance(self, path: str, unit: str = "EUR", at: datetime | None = None) -> int:
        with self.open() as connection:
            return accounts.balance(connection, self.platform_id, path, unit, at)

    def balances(self) -> dict[tuple[str, str], int]:
        with self.open() as connection:
            found = accounts.balances(connection, self.platform_id)
        return {(one.path, one.unit): one.balance for one in found}

    def define(self, code: str, exponent: int, credit_limit: int = 0) -> units.Unit:
        with self.open() as connection:
            return units.define(
                connection, self.platform_id, code, code.title(), exponent, credit_limit
            )

    def cut(self) -> int:
        with transaction(self.engine, SYSTEM) as connection:
            return cuts.cut(connection, self.platform_id)

    def problems(self) -> list[Problem]:
        with self.open() as connection:
            return list(audit(connection, self.platform_id).problems)

    @contextmanager
    def undone(self, role: str | None, *, unguarded: bool = False) -> Iterator[Connection]:
        """Open a transaction of ``role`` (None: the login role) that is always rolled back.

        ``unguarded``: with the triggers of the books off, as their owner can have it.
        """
        with self.engine.connect() as connection:
            for table in ("posting", "transfer", "account") if unguarded else ():
                connection.execute(text(f"ALTER TABLE ledger.{table} DISABLE TRIGGER USER"))
            connection.execute(
                text(
                    "SELECT set_config('role', :role, true), "
                    "set_config('tierce.platform_id', :platform_id, true)"
                ),
                {
                    "role": role or "none",
                    "platform_id": "" if role == "tierce_system" else str(self.platform_id),
                },
            )
            yield connection
            connection.rollback()
