"""A claim over HTTP, its two sides, and those at the dispute desk who look at it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import httpx
from sqlalchemy import Engine

from disputes import mediators
from service.http.dispute_words import notice
from service.http.schemas.cases import CaseOut, JournalPage
from tests.disputes.people import People
from tests.http.client import Api
from tests.http.deal import Deal
from tests.http.desk import Desk, Person, invite, take_up

DAMAGED: Final[dict[str, Any]] = {
    "reason": "damaged",
    "answers": {"what_is_damaged": "The frame.", "when_noticed": "At once."},
}
PRESSURED: Final[dict[str, Any]] = {
    "reason": "pressure_or_scam",
    "answers": {"what_happened": "He threatened me."},
}
WHY: Final = (
    "The message shows the threat, and the other side does not deny having written it. " * 2
)


def _as_promised(shown: dict[str, Any]) -> dict[str, Any]:
    """Insist that a case is shown as the contract says, with its notice last, and return it."""
    CaseOut.model_validate(shown)
    assert list(shown)[-1] == "notice"
    assert shown["notice"] == notice()
    return shown


@dataclass
class Heard:
    """A case over HTTP, and its two sides with tokens of their own."""

    deal: Deal
    id: str
    payer: Api
    payee: Api

    @property
    def path(self) -> str:
        return f"/v1/cases/{self.id}"

    @property
    def platform(self) -> Api:
        return self.deal.api

    def read(self, by: Api | None = None) -> dict[str, Any]:
        """The case as somebody sees it, by default the platform."""
        return _as_promised((by or self.platform).read(self.path))

    def steps(self, by: Api) -> set[str]:
        """What somebody can do next."""
        return {one["step"] for one in self.read(by)["next_actions"]}

    def post(self, by: Api, step: str, body: Any = None, **more: Any) -> httpx.Response:
        """Take a step, or try to."""
        return by.post(f"{self.path}/{step}", body, **more)

    def made(self, by: Api, step: str, body: Any = None) -> dict[str, Any]:
        """Take a step and insist on it."""
        return _as_promised(by.made(f"{self.path}/{step}", body))

    def offer(self, by: Api, outcome: str = "split", **more: Any) -> str:
        """Offer, and return the offer's id."""
        return str(self.made(by, "make-offer", {"outcome": outcome, **more})["offer"]["id"])

    def split(self, to_payee: int) -> list[dict[str, Any]]:
        """A split of the one leg that is disputed."""
        (line,) = self.read()["lines"]
        return [{"leg": line["leg"], "to_payee": to_payee}]

    def exchange(self) -> dict[str, Any]:
        return self.platform.read(f"/v1/exchanges/{self.deal.exchange['id']}")

    def shares(self) -> list[tuple[int | None, int | None]]:
        """What each side got of each leg of the exchange."""
        return [(leg["to_payer"], leg["to_payee"]) for leg in self.exchange()["legs"]]

    def journal(self, by: Api | None = None) -> list[dict[str, Any]]:
        page = (by or self.platform).read(f"{self.path}/journal")
        JournalPage.model_validate(page)
        found: list[dict[str, Any]] = page["data"]
        return found

    def said(self) -> list[str | None]:
        """What the lines of the journal are that the sides may read."""
        return [line["type"] for line in self.journal()]

    def later(self, by: str) -> None:
        """Let time pass on the platform, ISO 8601, with all that falls due on the way."""
        self.platform.made("/v1/sandbox/clock/advance", {"by": by})


def hear(deal: Deal, body: dict[str, Any] = DAMAGED, by: str = "payer", **more: Any) -> Heard:
    """Let a side claim by their own token."""
    claimant = deal.api.acting((deal.payer if by == "payer" else deal.payee)["id"])
    made = claimant.made(f"/v1/exchanges/{deal.exchange['id']}/claim", body | more)
    return known(deal, str(made["case"]))


def known(deal: Deal, case: str) -> Heard:
    """Return a case of a deal that was opened by whomever."""
    payer, payee = (deal.api.acting(one["id"]) for one in (deal.payer, deal.payee))
    return Heard(deal, case, payer, payee)


@dataclass
class Bench:
    """A pool that serves the platform of a deal, and how somebody joins it."""

    people: People
    operator: Api
    new_desk: Callable[[], Desk]

    def join(self, **more: Any) -> tuple[Api, Person]:
        """Somebody joins the pool and signs in: the API as they meet it, and who they are."""
        person = take_up(self.new_desk(), invite(self.operator, **more))
        with self.people.everywhere() as connection:
            mediators.put_in_pool(connection, self.people.pool_id, [person.uuid])
        return Api(self.operator.server, str(person.sign_in()["token"])), person


def make_bench(deal: Deal, engine: Engine, operator: Api, new_desk: Callable[[], Desk]) -> Bench:
    """Return a pool that serves the platform of a deal, with nobody in it."""
    return Bench(People(engine, deal.platform_id), operator, new_desk)


def desk_path(case: Heard) -> str:
    """Where the case is at the dispute desk."""
    return f"/v1/mediation/cases/{case.id}"
