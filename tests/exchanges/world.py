"""A platform in a test: members, exchanges, a clock that the test moves, the sandbox provider."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, text

from ledger.accounts import balance
from ledger.audit import Problem
from ledger.audit import audit as audit_ledger
from ledger.refusals import Refusal
from ledger.units import define
from service import db
from service.exchanges import advance, audit, case_audit, propose, queries, sweep, timers
from service.exchanges.codes import CodeBook
from service.exchanges.commands import Command, PaymentDraft, Who
from service.exchanges.decide import Rules
from service.exchanges.desk import Desk
from service.exchanges.fees import FeeRule
from service.exchanges.kinds import Kind, LegRole, Role
from service.exchanges.model import Exchange
from service.exchanges.propose import Proposal
from service.exchanges.terms import CheckpointDraft, Draft, LegDraft
from service.ids import uuid7
from service.payments.providers import Providers
from service.payments.sandbox import Sandbox

SECRET = "the secret of a test instance, long enough"
START = datetime(2027, 3, 1, 9, 0, tzinfo=UTC)


class World:
    """Everything a test needs to live an exchange through."""

    def __init__(self, engine: Engine, platform_id: UUID) -> None:
        self.reopen(engine, platform_id, START)
        with db.transaction(engine, platform_id) as connection:
            define(connection, platform_id, "HOURS", "Hours", 2, 1_000)
        self.payer = self.member()
        self.payee = self.member()

    def reopen(self, engine: Engine, platform_id: UUID, now: datetime) -> None:
        """Come to a platform that exists already, as another process does."""
        self.engine = engine
        self.platform_id = platform_id
        self.now = now
        self.codes = CodeBook(SECRET)
        self.sandbox = Sandbox(engine, SECRET, lambda: self.now)
        self.desk = Desk(engine, Providers(self.sandbox), self.codes)

    @property
    def rules(self) -> Rules:
        return Rules(self.now, self.codes)

    def member(self) -> UUID:
        """Add a member."""
        member_id = uuid7()
        with db.transaction(self.engine, self.platform_id) as connection:
            connection.execute(
                text(
                    "INSERT INTO service.member "
                    "(platform_id, id, external_id, locale, time_zone, created_at) "
                    "VALUES (:platform_id, :id, :external_id, 'fr', 'Europe/Paris', :now)"
                ),
                {
                    "platform_id": self.platform_id,
                    "id": member_id,
                    "external_id": str(member_id),
                    "now": self.now,
                },
            )
        return member_id

    def draft(self, kind: str, legs: Sequence[tuple[Any, ...]] = (), **more: Any) -> Draft:
        """Terms from legs as ``(role, amount, unit[, checkpoint])``."""
        checkpoints = tuple(CheckpointDraft(name) for name in more.pop("checkpoints", ()))
        made = tuple(
            LegDraft(LegRole(leg[0]), leg[1], leg[2], leg[3] if len(leg) > 3 else None)
            for leg in legs
        )
        return Draft(Kind(kind), "A test", made, checkpoints, **more)

    def propose(self, draft: Draft, *, agreed: bool = True, **more: Any) -> Exchange:
        """Propose; by default both sides have agreed."""
        proposal = Proposal(self.payer, self.payee, Role.PAYEE, draft, both_agreed=agreed, **more)
        (outcome,) = self.propose_all([proposal])
        if isinstance(outcome, Refusal):
            raise outcome
        return outcome.exchange

    def propose_all(self, proposals: Sequence[Proposal]) -> list[advance.Outcome]:
        with db.transaction(self.engine, self.platform_id) as connection:
            return propose.propose(
                connection, self.platform_id, proposals, self.sandbox, self.rules
            )

    def sale(self, amount: int = 6_500, unit: str = "EUR", fee: FeeRule | None = None) -> Exchange:
        """A sale that both agreed to."""
        return self.propose(self.draft("sale", [("price", amount, unit)], fee=fee))

    def funded(self, exchange: Exchange, method: str | None = None) -> Exchange:
        """Fund, let the provider answer, and return the exchange as it then is."""
        self.step(exchange, "fund", Role.PAYER, payment_method=method)
        self.sweep()
        return self.read(exchange)

    def who(self, exchange: Exchange, role: Role) -> Who:
        return Who(exchange.member(role), "member")

    def step(self, exchange: Exchange, name: str, role: Role, **more: Any) -> Exchange:
        """Take a step as one side; raise its refusal."""
        if name in {"confirm", "withdraw_confirmation", "enter_code"}:
            current = self.read(exchange).current
            more.setdefault("checkpoint", current.name if current else "none")
        command = Command(exchange.id, name, self.who(exchange, role), **more)
        with db.transaction(self.engine, self.platform_id) as connection:
            (outcome,) = advance.advance(connection, self.platform_id, [command], self.rules)
        if isinstance(outcome, Refusal):
            raise outcome
        if outcome.refusal is not None:
            raise outcome.refusal
        for payment in outcome.payments:
            self.submit(payment)
        return outcome.exchange

    def submit(self, payment: PaymentDraft) -> None:
        if payment.kind == "collect":
            sweep.submit(self.desk, self.platform_id, payment.id, self.now)

    def both_confirm(self, exchange: Exchange) -> Exchange:
        self.step(exchange, "confirm", Role.PAYER)
        return self.step(exchange, "confirm", Role.PAYEE)

    def sweep(self) -> None:
        """Let the provider and the inbox do what is due."""
        sweep.run(self.desk, self.now, self.platform_id)

    def pass_time(self, **length: float) -> int:
        """Move the clock, firing each step when it is due; let the provider act at the end.

        Return how many steps fired.
        """
        until, fired = self.now + timedelta(**length), 0
        while (instant := self._next_timer()) is not None and instant <= until:
            self.now = max(self.now, instant)
            fired += self.fire()
        self.now = until
        self.sweep()
        return fired

    def sleep(self, **length: float) -> int:
        """Move the clock while nobody works, then do what was missed; return how many fired."""
        self.now += timedelta(**length)
        fired = self.fire()
        self.sweep()
        return fired

    def _next_timer(self) -> datetime | None:
        with db.transaction(self.engine, self.platform_id) as connection:
            row = connection.execute(text("SELECT min(due_at) AS at FROM service.timer")).one()
            at: datetime | None = row.at
            return at

    def fire(self) -> int:
        """Take the clock's steps that are due, and let nobody ask the provider yet."""
        return timers.run(self.engine, self.codes, self.now, only=self.platform_id)

    def act(self, exchange: Exchange, *, succeed: bool) -> None:
        """Do what the payer does on the provider's page, for whatever payment asks for it."""
        for row in self._at_provider(exchange, "requires_action"):
            self.sandbox.act(self.platform_id, row, succeed=succeed)

    def let_go(self, exchange: Exchange) -> None:
        """Let the bank end every block of the exchange before its time, as banks may."""
        for row in self._at_provider(exchange, "authorised"):
            self.sandbox.cancel(self.platform_id, row)

    def _at_provider(self, exchange: Exchange, status: str) -> list[str]:
        with db.transaction(self.engine, db.SYSTEM) as connection:
            return list(
                connection.scalars(
                    text(
                        "SELECT o.ref FROM service.sandbox_object o JOIN service.payment p "
                        "ON p.platform_id = o.platform_id AND p.provider_ref = o.ref "
                        "WHERE p.platform_id = :p AND p.exchange_id = :e AND o.status = :status"
                    ),
                    {"p": self.platform_id, "e": exchange.id, "status": status},
                )
            )

    def read(self, exchange: Exchange) -> Exchange:
        return self.exchange(exchange.id)

    def exchange(self, exchange_id: UUID) -> Exchange:
        with db.transaction(self.engine, self.platform_id) as connection:
            return queries.find(connection, self.platform_id, exchange_id)

    def code(self, exchange: Exchange) -> str:
        """The digits that the holder of the code is shown."""
        exchange = self.read(exchange)
        point = exchange.current
        assert point is not None
        assert point.code is not None
        return self.codes.digits(exchange.id, point.name, point.code.generation)

    def balance(self, path: str, unit: str = "EUR") -> int:
        with db.transaction(self.engine, self.platform_id) as connection:
            return balance(connection, self.platform_id, path, unit)

    def of(self, member_id: UUID, unit: str = "EUR") -> int:
        return self.balance(f"member:{member_id}", unit)

    def outside(self, unit: str = "EUR") -> int:
        """What the provider holds for us, in minor units."""
        return -self.balance("provider:sandbox", unit)

    def events(self, exchange: Exchange) -> list[str]:
        with db.transaction(self.engine, self.platform_id) as connection:
            rows = connection.execute(
                text(
                    "SELECT type FROM service.event WHERE platform_id = :p AND exchange_id = :e "
                    "ORDER BY sequence"
                ),
                {"p": self.platform_id, "e": exchange.id},
            )
            return [row.type for row in rows]

    def problems(self) -> list[Problem]:
        """Everything the audits of the books and of the exchanges find."""
        with db.transaction(self.engine, self.platform_id) as connection:
            found = list(audit_ledger(connection, self.platform_id).problems)
            found += audit.audit(connection, self.platform_id)
            return found + case_audit.audit(connection, self.platform_id)

    def check(self) -> None:
        """Fail unless every audit is clean."""
        assert self.problems() == []
