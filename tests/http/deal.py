"""Two members of a sandbox, what they agreed to, and the messages and links that they get."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import pytest
from sqlalchemy import Engine, text

from service import db
from service.exchanges import sweep
from service.ids import decode
from service.messages import make, send
from service.messages.channels import Channels
from tests.http.client import Api
from tests.readable import wait_until_readable

PUBLIC: Final = "http://tierce.test"


@dataclass
class Deal:
    """An exchange of two members of a sandbox platform, and their messages."""

    api: Api
    engine: Engine
    payer: dict[str, Any]
    payee: dict[str, Any]
    exchange: dict[str, Any]

    def tell(self) -> None:
        """Let the worker tell members what happened, as it would before long."""
        now = datetime.now(UTC)
        wait_until_readable(self.engine)
        while make.make(self.engine, now):
            pass
        send.run(self.engine, Channels(PUBLIC), datetime.now(UTC), self.platform_id)

    @property
    def platform_id(self) -> Any:
        with db.transaction(self.engine, db.SYSTEM) as connection:
            query = text("SELECT platform_id FROM service.member WHERE id = :id")
            return connection.scalar(query, {"id": decode("member", self.payer["id"])})

    def message(self, member: dict[str, Any]) -> dict[str, Any]:
        """The newest message of a member, whole."""
        self.tell()
        (newest, *_) = self.api.read("/v1/messages", member=member["id"])["data"]
        return self.api.read(f"/v1/messages/{newest['id']}")

    def link(self, member: dict[str, Any]) -> str:
        """The path of the link in the newest message of a member."""
        found = re.findall(rf"{PUBLIC}(/l/[\w-]+)", self.message(member)["text"])
        assert len(found) == 1
        return str(found[0])

    def state(self) -> str:
        return str(self.api.read(f"/v1/exchanges/{self.exchange['id']}")["state"])

    def fund(self) -> None:
        path = f"/v1/exchanges/{self.exchange['id']}"
        self.api.made(f"{path}/fund", {"member": self.payer["id"]})
        desk = self.api.server.app.state.edge.desk
        sweep.run(desk, datetime.now(UTC), self.platform_id)


def make_deal(api: Api, engine: Engine, kind: str = "sale", *, agreed: bool, **more: Any) -> Deal:
    """Let two new members, of whom the payee proposes, come together."""
    payer = api.member(name="Anna", email="anna@example.org", **more)
    payee = api.member(name="Yann", email="yann@example.org")
    body: dict[str, Any] = {
        "kind": kind,
        "title": "Un <b>vélo</b>",
        "payer": payer["id"],
        "payee": payee["id"],
        "proposed_by": "payee",
        "both_agreed": agreed,
    }
    if kind != "gift":
        body["legs"] = [{"role": "price", "amount": {"amount": 6500, "unit": "EUR"}}]
    return Deal(api, engine, payer, payee, api.made("/v1/exchanges", body))


@pytest.fixture
def proposed(api: Api, engine: Engine) -> Deal:
    """A sale that the payer has not agreed to yet."""
    return make_deal(api, engine, agreed=False)


@pytest.fixture
def paid(api: Api, engine: Engine) -> Deal:
    """A sale whose payment is protected."""
    deal = make_deal(api, engine, agreed=True)
    deal.tell()
    deal.fund()
    assert deal.state() == "active"
    return deal
