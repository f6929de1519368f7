"""A platform in a test whose payee has dealings with the sandbox provider."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import text

from service import db
from service.exchanges import payouts
from service.exchanges.model import Exchange
from service.payments import payees
from service.payments.payee import (
    Payee,
    Readiness,
)
from tests.exchanges.world import World


class Payees(World):
    """A world in which the payee has dealings with the provider."""

    def begin(self, member: UUID | None = None, country: str = "FR") -> Payee:
        """Write down that an account is to be opened, as the first transaction of the route."""
        with db.transaction(self.engine, self.platform_id) as connection:
            return payees.begin(
                connection, self.platform_id, member or self.payee, "sandbox", country, self.now
            )

    def open(self, member: UUID | None = None) -> Payee:
        """Open an account for the payee, all the way."""
        member = member or self.payee
        self.begin(member)
        payouts.open_account(self.engine, self.sandbox, self.platform_id, member, self.now)
        return self.account(member)

    def account(self, member: UUID | None = None) -> Payee:
        with db.transaction(self.engine, self.platform_id) as connection:
            found = payees.find(connection, self.platform_id, member or self.payee, "sandbox")
        assert found is not None
        return found

    @property
    def ref(self) -> str:
        ref = self.account().account_ref
        assert ref is not None
        return ref

    def happens(self, outcome: Any, **more: Any) -> None:
        """Let something happen to the payee's account at the provider, and an event tell of it."""
        self.sandbox.act_on_account(self.platform_id, self.ref, outcome, **more)

    def follow(self) -> None:
        """Follow up what an event told of the account."""
        payouts.follow_account(self.engine, self.sandbox, self.platform_id, self.ref, self.now)

    def ready(self) -> None:
        """Let the payee tell the provider everything, and hear of it."""
        self.happens("complete")
        self.follow()

    def look(self) -> int:
        """Run the sweep of what no event spoke of."""
        return payouts.follow_stale(
            self.engine, self.desk.providers, self.now, only=self.platform_id
        )

    def readiness(self, *ids: UUID, provider: Any = None) -> dict[UUID, Readiness]:
        with db.transaction(self.engine, self.platform_id) as connection:
            return payees.readiness(connection, self.platform_id, ids, provider or self.sandbox)

    def told(self, member: UUID | None = None) -> list[str]:
        """The types of the events that a member was told, oldest first."""
        return [kind for kind, _ in self.facts(member)]

    def facts(self, member: UUID | None = None) -> list[tuple[str, dict[str, Any]]]:
        with db.transaction(self.engine, self.platform_id) as connection:
            rows = connection.execute(
                text(
                    "SELECT type, data FROM service.event WHERE platform_id = :p "
                    "AND member_id = :m AND exchange_id IS NULL ORDER BY tx, id"
                ),
                {"p": self.platform_id, "m": member or self.payee},
            )
            return [(row.type, row.data) for row in rows]

    def rows(self, statement: str) -> list[Any]:
        with db.transaction(self.engine, self.platform_id) as connection:
            rows = connection.execute(text(statement), {"p": self.platform_id})
            return [dict(row) for row in rows.mappings()]

    def sold(self, amount: int = 6_500) -> Exchange:
        """A sale funded and released by both, and everything done that follows from it."""
        exchange = self.funded(self.sale(amount))
        self.both_confirm(exchange)
        self.sweep()
        return self.read(exchange)

    def live_payouts(self) -> list[dict[str, Any]]:
        return self.rows(
            "SELECT id, amount, exchange_id, source_id, state FROM service.payment "
            "WHERE platform_id = :p AND kind = 'payout' ORDER BY id"
        )
