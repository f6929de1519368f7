"""A case about a protected payment, for tests of what its people do with it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote
from uuid import UUID

import httpx
from sqlalchemy import Engine

from disputes import store
from disputes.commands import Command as CaseCommand
from disputes.model import Case
from ledger.refusals import Refusal
from service import db
from service.exchanges import cases
from service.exchanges.advance import advance
from service.exchanges.commands import ClaimDraft, Command, Who
from service.exchanges.decide import Rules
from service.ids import decode, encode, uuid7
from tests.http.client import Api
from tests.http.deal import Deal

DAMAGED: Final = ClaimDraft(
    "damaged", answers={"what_is_damaged": "The frame.", "when_noticed": "At once."}
)
PRESSURED: Final = ClaimDraft("pressure_or_scam", answers={"what_happened": "He threatened me."})


@dataclass
class Claimed:
    """A case, and everybody who has to do with it."""

    deal: Deal
    case_id: UUID

    @property
    def path(self) -> str:
        """Where its evidence is."""
        return f"/v1/cases/{encode('case', self.case_id)}/evidence"

    @property
    def desk_path(self) -> str:
        """Where its evidence is for a mediator, below the desk's address."""
        return f"/cases/{encode('case', self.case_id)}/evidence"

    @property
    def api(self) -> Api:
        """The platform."""
        return self.deal.api

    @property
    def payer(self) -> Api:
        """The API as the payer meets it."""
        return self.deal.api.acting(self.deal.payer["id"])

    @property
    def payee(self) -> Api:
        """The API as the payee meets it."""
        return self.deal.api.acting(self.deal.payee["id"])

    def send(
        self,
        content: Any,
        by: Api,
        sort: str = "photo",
        key: str | None = None,
        text: str | None = None,
        **query: Any,
    ) -> httpx.Response:
        """Send a file; its declared type is wrong on purpose, and nobody may mind."""
        words = {} if text is None else {"Evidence-Text": quote(text)}
        return by.send(
            "POST",
            f"{self.path}/files",
            key=key,
            headers={"Content-Type": "image/x-whatever", **words},
            content=content,
            params={"sort": sort, **query},
        )

    def sent(self, content: Any, by: Api, sort: str = "photo", **query: Any) -> dict[str, Any]:
        """Send a file and insist that it is taken."""
        answer = self.send(content, by, sort, **query)
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    def case(self) -> Case:
        """The case as it is now."""
        with db.transaction(self.deal.engine, self.deal.platform_id) as connection:
            return store.load(connection, self.deal.platform_id, [self.case_id], lock=False)[
                self.case_id
            ]

    def step(self, step: str, **more: Any) -> Case:
        """Take a step of the case."""
        with db.transaction(self.deal.engine, self.deal.platform_id) as connection:
            command = CaseCommand(step, uuid7(), **more)
            [outcome] = cases.act(
                connection, self.deal.platform_id, [(self.case_id, command)], rules(self.api)
            )
        if isinstance(outcome, Refusal):
            raise outcome
        return outcome


def rules(api: Api) -> Rules:
    """What is to be known for a step now."""
    return Rules(datetime.now(UTC), api.server.app.state.edge.codes)


def claim(deal: Deal, draft: ClaimDraft = DAMAGED) -> Claimed:
    """Let the payer claim."""
    payer, exchange = decode("member", deal.payer["id"]), decode("exchange", deal.exchange["id"])
    with db.transaction(deal.engine, deal.platform_id) as connection:
        command = Command(exchange, "claim", Who(payer, "member"), claim=draft)
        [done] = advance(connection, deal.platform_id, [command], rules(deal.api))
    if isinstance(done, Refusal):
        raise done
    assert done.exchange.case_id is not None
    return Claimed(deal, done.exchange.case_id)


def count(engine: Engine, table: str) -> int:
    """How many rows there are, of all platforms."""
    with db.transaction(engine, db.SYSTEM) as connection:
        return int(connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one())
