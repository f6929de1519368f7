"""Books of any size, loaded by a few statements and lawful all the same: an audit finds them whole.

Every posting is one transfer, so there is a hash to prove for each two entries. Members may go
below zero in points of the community, so nobody needs money first, and two books differ in their
entries alone.
"""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Engine

from ledger import accounts, cuts, units
from ledger.posting import Posting, Status, Transfer, post
from migrations.run import upgrade
from service import books, db
from service.ids import uuid7
from service.local import EmbeddedPostgres
from service.platforms import platforms
from tests.bench.timers import superuser

BATCH: Final = 500
PAGE: Final = 50
UNIT: Final = "POINTS"
_LIMIT: Final = 10**12
#: An account without a floor, in one of four transfers.
OUTSIDE: Final = "platform:bench"

#: Every fourth transfer comes from outside; the others go between members drawn at random, or, in
#: books of one busy member, from the first to all others.
_FILL: Final = (
    "SET session_replication_role = replica",
    "SELECT setseed(0.5)",
    "CREATE TEMPORARY TABLE drawn AS SELECT n, uuidv7() AS id, 1 + (random() * 99)::bigint AS"
    " amount, CASE WHEN n %% 4 = 0 THEN %(accounts)s + 1 WHEN %(busy)s THEN 1"
    " ELSE 1 + floor(random() * %(accounts)s)::bigint END AS debit, random() AS other, 0::bigint"
    " AS credit FROM generate_series(1, %(transfers)s) AS n",
    "UPDATE drawn SET credit = CASE WHEN debit > %(accounts)s AND %(busy)s THEN 1"
    " WHEN debit > %(accounts)s THEN 1 + floor(other * %(accounts)s)::bigint"
    " ELSE 1 + (debit + floor(other * (%(accounts)s - 1))::bigint) %% %(accounts)s END",
    "INSERT INTO ledger.account (platform_id, id, path, unit, floor, opened_at)"
    " OVERRIDING SYSTEM VALUE SELECT %(platform)s, n, CASE WHEN n > %(accounts)s THEN %(outside)s"
    " ELSE 'member:' || n END, %(unit)s, CASE WHEN n <= %(accounts)s THEN -%(limit)s END, %(at)s"
    " FROM generate_series(1, %(accounts)s + 1) AS n",
    "UPDATE ledger.account AS a SET balance = f.amount FROM (SELECT account_id, sum(amount) AS"
    " amount FROM (SELECT credit AS account_id, amount FROM drawn"
    " UNION ALL SELECT debit, -amount FROM drawn) AS m GROUP BY account_id) AS f"
    " WHERE a.platform_id = %(platform)s AND a.id = f.account_id AND a.floor IS NOT NULL",
    "INSERT INTO ledger.posting (platform_id, id, key, hash, kind, reference, recorded_at)"
    " SELECT %(platform)s, d.id, 'bench:' || d.id, sha256(convert_to(E'bench\\nexchange:' || d.id"
    " || E'\\n\\n' || f.path || '|' || t.path || '|' || d.amount || '|' || %(unit)s, 'UTF8')),"
    " 'bench', 'exchange:' || d.id, %(at)s FROM drawn AS d"
    " JOIN ledger.account AS f ON f.platform_id = %(platform)s AND f.id = d.debit"
    " JOIN ledger.account AS t ON t.platform_id = %(platform)s AND t.id = d.credit ORDER BY d.n",
    "INSERT INTO ledger.transfer (platform_id, posting_id, debit_account, credit_account, amount,"
    " unit) SELECT %(platform)s, id, debit, credit, amount, %(unit)s FROM drawn ORDER BY n",
    "DROP TABLE drawn",
    "SELECT setval(pg_get_serial_sequence('ledger.account', 'id'), %(accounts)s + 1)",
    "RESET session_replication_role",
    "VACUUM ANALYZE ledger.account, ledger.posting, ledger.transfer",
    "CHECKPOINT",
)


def _migrated(server: EmbeddedPostgres, name: str) -> None:
    """Make a database with the schema, by a copy of one that is migrated once."""
    with superuser(server, "postgres") as connection:
        known = connection.execute("SELECT FROM pg_database WHERE datname = 'books_empty'")
        if known.fetchone() is None:
            connection.execute("CREATE DATABASE books_empty OWNER tierce")
            upgrade(server.url_of("books_empty"))
        connection.execute(f"CREATE DATABASE {name} TEMPLATE books_empty OWNER tierce")


class BigBooks:
    """A platform with so many transfers (an entry is half of one), in a database of its own."""

    def __init__(
        self,
        server: EmbeddedPostgres,
        name: str,
        transfers: int,
        accounts: int,
        *,
        busy: bool = False,
    ) -> None:
        """Make the database ``name``; ``busy``: the first member has a part in every transfer."""
        _migrated(server, name)
        self.url: Final = server.url_of(name)
        self.engine: Final[Engine] = db.create_engine(self.url, pool_size=1)
        self.transfers: Final = transfers
        self._accounts: Final = accounts
        self._random = random.Random(20_270_302)
        now = datetime.now(UTC)
        with db.transaction(self.engine, db.SYSTEM) as system:
            _live, sandbox = platforms.create(system, "Bench", now)
        self.platform_id: Final[UUID] = sandbox.id
        with db.transaction(self.engine, self.platform_id) as tenant:
            units.define(tenant, self.platform_id, UNIT, "Points", 0, _LIMIT)
        facts = {
            "platform": self.platform_id,
            "transfers": transfers,
            "accounts": accounts,
            "busy": busy,
            "unit": UNIT,
            "limit": _LIMIT,
            "outside": OUTSIDE,
            "at": now,
        }
        with superuser(server, name) as owner:
            for statement in _FILL:
                owner.execute(statement, facts if "%(" in statement else None)
        # As the worker does each hour; the second knows what was settled when the first was taken.
        for _ in range(2):
            with db.transaction(self.engine, db.SYSTEM) as system:
                cuts.cut(system, self.platform_id)

    def close(self) -> None:
        """Let the connections go."""
        self.engine.dispose()

    def prove(self) -> None:
        """Audit the books in this process.

        Raises:
            RuntimeError: they do not add up.
        """
        proof = books.prove(self.engine)
        if proof.problems:
            raise RuntimeError(f"the books of the benchmark are not whole: {proof}")

    def post(self) -> float:
        """Post a batch between members drawn at random; return the seconds it took."""
        postings = []
        for _ in range(BATCH):
            debit, credit = self._random.sample(range(1, self._accounts + 1), 2)
            made = uuid7()
            moved = Transfer(
                f"member:{debit}", f"member:{credit}", self._random.randint(1, 100), UNIT
            )
            postings.append(Posting(f"bench:{made}", "bench", (moved,), f"exchange:{made}"))
        began = time.perf_counter()
        with db.transaction(self.engine, self.platform_id) as connection:
            outcomes = post(connection, self.platform_id, postings, datetime.now(UTC))
        took = time.perf_counter() - began
        if any(one.status != Status.CREATED for one in outcomes):
            raise RuntimeError(f"the benchmark's postings were refused: {outcomes[:3]}")
        return took

    def balance(self) -> float:
        """Read the busy member's balance, and the one of outside; return the seconds it took."""
        began = time.perf_counter()
        with db.transaction(self.engine, self.platform_id) as connection:
            for path in ("member:1", OUTSIDE):
                accounts.balance(connection, self.platform_id, path, UNIT)
        return time.perf_counter() - began

    def statement(self) -> float:
        """Read the busy member's last page and the one before; return the seconds it took."""
        began = time.perf_counter()
        with db.transaction(self.engine, self.platform_id) as connection:
            after = None
            for _ in range(2):
                lines = accounts.statement(
                    connection, self.platform_id, "member:1", UNIT, limit=PAGE, after=after
                )
                if len(lines) != PAGE:
                    raise RuntimeError(f"a page of {PAGE} has {len(lines)} lines")
                after = (lines[-1].transfer_id, lines[-1].balance - lines[-1].amount)
        return time.perf_counter() - began
