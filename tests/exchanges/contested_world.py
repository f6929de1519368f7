"""A platform whose payers' banks contest payments, at the sandbox provider."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, RowMapping, text

from service import db
from service.exchanges import chargebacks, evidence
from service.exchanges.desk import Desk
from service.exchanges.kinds import Role
from service.exchanges.model import Exchange
from service.payments import contests
from service.payments.providers import Providers
from service.payments.sandbox import Sandbox
from service.payments.sandbox_disputes import Kind, Outcome
from tests.exchanges.world import SECRET, World

PAYER, PAYEE = Role.PAYER, Role.PAYEE


class Bank(Sandbox):
    """The sandbox provider with banks that take longer than they say: the test decides."""

    def _lapse(self, connection: Connection, now: datetime, only: UUID | None) -> None:
        """Wait."""


class ContestedWorld(World):
    """Everything a test needs to live a chargeback through."""

    bank: Bank

    def reopen(self, engine: Engine, platform_id: UUID, now: datetime) -> None:
        super().reopen(engine, platform_id, now)
        self.use(Bank(engine, SECRET, lambda: self.now))

    def use(self, bank: Bank) -> None:
        """Let this bank stand behind the provider from now on."""
        self.sandbox = self.bank = bank
        self.desk = Desk(self.engine, Providers(bank), self.codes)

    def sold(self, amount: int = 6_500, unit: str = "EUR", borne_by: str = "platform") -> Exchange:
        """A sale that is paid and held."""
        draft = self.draft("sale", [("price", amount, unit)], chargeback_borne_by=borne_by)
        return self.funded(self.propose(draft))

    def released(
        self, amount: int = 6_500, unit: str = "EUR", borne_by: str = "platform"
    ) -> Exchange:
        """A sale that both confirmed and whose payee has been paid."""
        exchange = self.sold(amount, unit, borne_by)
        self.both_confirm(exchange)
        self.sweep()
        return self.read(exchange)

    def collect_ref(self, exchange: Exchange) -> str:
        """The provider's name of what the payer paid."""
        ref: str = self.payments_of(exchange, "collect")[0]["provider_ref"]
        return ref

    def payments_of(self, exchange: Exchange, kind: str) -> list[RowMapping]:
        """The exchange's payments of one kind, oldest first."""
        with db.transaction(self.engine, self.platform_id) as connection:
            return list(
                connection.execute(
                    text(
                        "SELECT * FROM service.payment WHERE platform_id = :p "
                        "AND exchange_id = :e AND kind = :kind ORDER BY id"
                    ),
                    {"p": self.platform_id, "e": exchange.id, "kind": kind},
                ).mappings()
            )

    def contest(
        self, exchange: Exchange, amount: int | None = None, kind: Kind = "dispute"
    ) -> RowMapping:
        """Let the bank contest the payment; return the chargeback once we have heard of it."""
        self.bank.contest(self.platform_id, self.collect_ref(exchange), kind, amount)
        self.sweep()
        return self.chargebacks(exchange)[-1]

    def decide(self, row: RowMapping, outcome: Outcome) -> RowMapping:
        """Let the bank decide; return the chargeback once we have heard of it."""
        self.bank.close_dispute(self.platform_id, row["ref"], outcome)
        self.sweep()
        return self.chargeback(row["id"])

    def follow(self, ref: str) -> None:
        """Hear of a dispute, whatever else is due."""
        chargebacks.follow(self.desk, self.platform_id, "sandbox", ref, self.now)

    def answer(self) -> int:
        """Answer what is due."""
        return evidence.answer_due(self.desk, self.now, only=self.platform_id)

    def chargeback(self, chargeback_id: UUID) -> RowMapping:
        with db.transaction(self.engine, self.platform_id) as connection:
            return contests.find(connection, self.platform_id, chargeback_id)

    def chargebacks(self, exchange: Exchange) -> list[RowMapping]:
        """The exchange's chargebacks, oldest first."""
        with db.transaction(self.engine, self.platform_id) as connection:
            found = contests.page(connection, self.platform_id, limit=100, exchange_id=exchange.id)
        return list(reversed(found))

    def missing(self, exchange: Exchange, unit: str = "EUR") -> int:
        """Minor units that are missing on the exchange."""
        return -self.balance(f"receivable:{exchange.id}", unit)

    def told(self, type_: str) -> list[dict[str, Any]]:
        """What the platform's events of one type told, oldest first."""
        with db.transaction(self.engine, self.platform_id) as connection:
            return list(
                connection.scalars(
                    text(
                        "SELECT data FROM service.event WHERE platform_id = :p AND type = :type "
                        "ORDER BY id"
                    ),
                    {"p": self.platform_id, "type": type_},
                )
            )

    def say(self, row: RowMapping, words: str | None) -> None:
        """Keep the platform's own words for the bank."""
        with db.transaction(self.engine, self.platform_id) as connection:
            evidence.say(connection, self.platform_id, row["id"], words)

    def pack(self, row: RowMapping) -> evidence.Pack:
        """What would be told to the bank now."""
        with db.transaction(self.engine, self.platform_id) as connection:
            return evidence.pack(connection, self.chargeback(row["id"]))

    def agree_to_answer(self, row: RowMapping) -> None:
        """Decide the answer, without sending it."""
        with db.transaction(self.engine, self.platform_id) as connection:
            evidence.decide(connection, self.platform_id, row["id"], self.now)

    def send(self, row: RowMapping) -> None:
        """Send the answer that was decided."""
        evidence.send(self.desk, self.platform_id, row["id"], self.now)
