"""More lives than the steady load has: talk, deposits, batches, problems, and hot accounts."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Any, Final

from tests.chaos.client import Client
from tests.chaos.load import LIVES, Age, Lived, Shopper

_Json = dict[str, Any]
#: Hours are given in hundredths; nobody runs out of them.
_HOURS: Final = {"amount": 25, "unit": "HOURS"}
#: The first who comes makes the neighbour known, the others find them.
_MEETING: Final = Lock()
_DAMAGED: Final = {
    "reason": "damaged",
    "answers": {"what_is_damaged": "The frame.", "when_noticed": "At once."},
}


class Villager(Shopper):
    """Lives what a shopper does and more; knows one neighbour whom everybody else knows, too."""

    def __init__(self, client: Client, name: str, chance: random.Random, age: Age) -> None:
        """Live by ``client``; ``name`` is new for each villager."""
        super().__init__(client, name, chance, age)
        body = {"external_id": "the-neighbour", "name": "Neighbour", "locale": "br"}
        with _MEETING:
            found = client.get("/v1/members?external_id=the-neighbour")["data"]
            self._neighbour = str((found or [client.post("/v1/members", body)])[0]["id"])

    def live(self) -> Sequence[Lived]:
        """Live one life through, or some together, of a sort drawn at random."""
        life = self._chance.choice(MORE_LIVES)
        return life(self)

    def _get(self, exchange: str) -> _Json:
        return self._client.get(f"/v1/exchanges/{exchange}")

    def _confirm(self, exchange: str, checkpoint: str, *members: str) -> None:
        for member in members or (self._payer, self._payee):
            self._step(exchange, "confirm", member, checkpoint=checkpoint)

    # The lives.

    def declined(self) -> Sequence[Lived]:
        """Proposed, and not wanted."""
        exchange, name = self._propose(agreed=False)
        self._step(exchange, "decline", self._payer)
        return [Lived(exchange, name, "declined")]

    def haggled(self) -> Sequence[Lived]:
        """Proposed, countered, agreed to, paid for, confirmed."""
        exchange, name = self._propose(agreed=False)
        legs = [{"amount": {"amount": self._amount(), "unit": "EUR"}}]
        terms = {"kind": "sale", "title": "A bicycle, with its bell", "legs": legs}
        countered = self._step(exchange, "counter-offer", self._payer, terms=terms)
        self._step(exchange, "agree", self._payee, terms_hash=countered["terms_hash"])
        self._funded(exchange)
        self._confirm(exchange, "handover")
        return [Lived(exchange, name, "completed", words=2, paid=1)]

    def wavered(self) -> Sequence[Lived]:
        """Confirmed, taken back, confirmed again: each word is a fact of its own."""
        exchange, name = self._propose()
        self._funded(exchange)
        self._confirm(exchange, "handover", self._payee)
        self._step(exchange, "withdraw-confirmation", self._payee, checkpoint="handover")
        self._confirm(exchange, "handover")
        return [Lived(exchange, name, "completed", words=4, paid=1, roles=2)]

    def settled(self) -> Sequence[Lived]:
        """Paid for, and shared out as both say."""
        exchange, name = self._propose()
        self._funded(exchange)
        legs = [{"to_payee": leg["amount"] // 3} for leg in self._get(exchange)["legs"]]
        self._step(exchange, "propose-settlement", self._payee, legs=legs)
        offer = self._get(exchange)["proposal"]["id"]
        self._step(exchange, "accept-proposal", self._payer, proposal=offer)
        return [Lived(exchange, name, "settled", paid=1)]

    def borrowed(self) -> Sequence[Lived]:
        """Rented with a deposit that is paid like a price, and brought back."""
        due = (datetime.now(UTC) + timedelta(days=2)).isoformat()
        exchange, name = self._propose(
            kind="rental",
            deposit="capture",
            legs=[
                {"amount": {"amount": self._amount(), "unit": "EUR"}},
                {"role": "deposit", "amount": {"amount": 15_000, "unit": "EUR"}},
            ],
            checkpoints=[{"name": "handover"}, {"name": "return", "due_at": due}],
        )
        self._funded(exchange)
        self._confirm(exchange, "handover")
        self._confirm(exchange, "return")
        return [Lived(exchange, name, "completed", words=4, paid=1, roles=2)]

    def many(self) -> Sequence[Lived]:
        """Proposed in one request, and cancelled or paid for one by one."""
        terms: list[_Json] = []
        for _ in range(self._chance.randrange(2, 6)):
            self._count += 1
            terms.append(
                {
                    "kind": "sale",
                    "title": "Eggs",
                    "payer": self._payer,
                    "payee": self._payee,
                    "external_id": f"{self._name}-{self._count}",
                    "both_agreed": True,
                    "legs": [{"amount": {"amount": self._amount(), "unit": "EUR"}}],
                }
            )
        outcomes = self._client.post("/v1/exchanges/batch", {"exchanges": terms})["outcomes"]
        lived = []
        for made in (one["exchange"] for one in outcomes):
            if paid := self._chance.random() < 1 / 3:
                self._funded(made["id"])
                self._confirm(made["id"], "handover")
            else:
                self._step(made["id"], "cancel", self._payer)
            ends = "completed" if paid else "cancelled"
            lived.append(Lived(made["id"], made["external_id"], ends, 2 * paid, int(paid)))
        return lived

    def neighbourly(self) -> Sequence[Lived]:
        """An hour of the neighbour's, or for them: their account is everybody's."""
        sides = [self._payer, self._neighbour]
        self._chance.shuffle(sides)
        payer, payee = sides
        exchange, name = self._propose(
            kind="help", payer=payer, payee=payee, legs=[{"amount": _HOURS}]
        )
        self._step(exchange, "fund", payer)
        self._confirm(exchange, "done", payee, payer)
        return [Lived(exchange, name, "completed", words=2)]

    def regretted(self) -> Sequence[Lived]:
        """Paid for, a problem told, the problem withdrawn, confirmed."""
        exchange, name = self._propose()
        self._funded(exchange)
        case = self._step(exchange, "claim", self._payer, **_DAMAGED)["case"]
        self._client.post(f"/v1/cases/{case}/withdraw-claim", {"member": self._payer})
        self._confirm(exchange, "handover")
        return [Lived(exchange, name, "completed", words=2, paid=1)]

    def made_up(self) -> Sequence[Lived]:
        """Paid for, a problem told, and shared out by an offer that the other side takes."""
        exchange, name = self._propose()
        self._funded(exchange)
        claimed = self._step(exchange, "claim", self._payer, **_DAMAGED)
        (leg,) = claimed["legs"]
        path = f"/v1/cases/{claimed['case']}"
        split = [{"leg": leg["id"], "to_payee": leg["amount"] // 2}]
        body = {"member": self._payee, "outcome": "split", "split": split}
        offer = self._client.post(f"{path}/make-offer", body)["offer"]["id"]
        self._client.post(f"{path}/accept-offer", {"member": self._payer, "offer": offer})
        return [Lived(exchange, name, "settled", paid=1)]

    def contested(self) -> Sequence[Lived]:
        """Paid for, contested with the bank, which finds for us; confirmed after that."""
        exchange, name = self._contest("won")
        self._client.until(f"/v1/exchanges/{exchange}", lambda one: one["frozen_at"] is None)
        self._confirm(exchange, "handover")
        return [Lived(exchange, name, "completed", words=2, paid=1)]

    def taken_back(self) -> Sequence[Lived]:
        """Paid for, and contested with the bank, which gives the payer all of it back."""
        exchange, name = self._contest("lost")
        self._client.until(f"/v1/exchanges/{exchange}", lambda one: one["state"] == "refunded")
        return [Lived(exchange, name, "refunded", paid=1)]

    def _contest(self, outcome: str) -> tuple[str, str]:
        """Pay for something, and let the payer's bank contest that and find so."""
        exchange, name = self._propose()
        self._funded(exchange)
        (paid,) = self._client.get(f"/v1/exchanges/{exchange}/payments")["data"]
        reason = {"reason": "product_not_received"}
        self._client.post(f"/v1/sandbox/payments/{paid['id']}/dispute", reason)
        heard = self._client.until(
            f"/v1/chargebacks?exchange={exchange}", lambda page: bool(page["data"])
        )
        chargeback = heard["data"][0]["id"]
        self._client.post(f"/v1/sandbox/chargebacks/{chargeback}/close", {"outcome": outcome})
        return exchange, name


def _one(life: Callable[[Shopper], Lived]) -> Callable[[Villager], Sequence[Lived]]:
    return lambda villager: [life(villager)]


MORE_LIVES: Final[Sequence[Callable[[Villager], Sequence[Lived]]]] = (
    *(_one(life) for life in LIVES),
    Villager.declined,
    Villager.haggled,
    Villager.wavered,
    Villager.settled,
    Villager.borrowed,
    Villager.many,
    Villager.neighbourly,
    Villager.neighbourly,
    Villager.regretted,
    Villager.made_up,
    Villager.contested,
    Villager.taken_back,
)
