"""A steady load of exchanges lived by good clients, and what each of them was promised."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import Event, Lock, Thread
from typing import Any, Final

from tests.chaos.client import Client, Refused

_Json = dict[str, Any]
#: Lets an exchange grow old: called with its id.
Age = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Lived:
    """An exchange as its clients were told of it; it must be so in the end.

    ``words`` counts the confirmations that were answered, ``paid`` the payments by the payer;
    ``roles`` how many sides said a word, where not every side said one.
    """

    id: str
    external_id: str
    ends: str
    words: int = 0
    paid: int = 0
    roles: int | None = None

    @property
    def left_alone(self) -> bool:
        """Whether it is the clock that has to end it."""
        return self.ends in {"expired", "in_review"}


@dataclass
class Told:
    """Everything that clients were answered."""

    lived: list[Lived] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    troubles: Counter[str] = field(default_factory=Counter)
    answers: int = 0


class Shopper:
    """Lives exchanges between two members of its own, one after the other."""

    def __init__(self, client: Client, name: str, chance: random.Random, age: Age) -> None:
        """Live by ``client``; ``name`` is new for each shopper."""
        self._client = client
        self._name = name
        self._chance = chance
        self._age = age
        self._count = 0
        self._payer, self._payee = (self._member(side) for side in ("payer", "payee"))

    def _member(self, side: str) -> str:
        body = {"external_id": f"{self._name}-{side}", "name": side, "locale": "fr"}
        return str(self._client.post("/v1/members", body)["id"])

    def live(self) -> Sequence[Lived]:
        """Live one exchange through, or some together, of a sort drawn at random."""
        return [self._chance.choice(LIVES)(self)]

    # How an exchange begins.

    def _propose(self, *, agreed: bool = True, **more: Any) -> tuple[str, str]:
        """Propose a sale; return its id and the client's own name for it."""
        self._count += 1
        external_id = f"{self._name}-{self._count}"
        terms: _Json = {
            "kind": "sale",
            "title": "A bicycle",
            "payer": self._payer,
            "payee": self._payee,
            "external_id": external_id,
            "both_agreed": agreed,
            "legs": [{"amount": {"amount": self._amount(), "unit": "EUR"}}],
            "windows": {"agree_hours": 1, "fund_hours": 1, "confirm_hours": 24},
            **more,
        }
        return str(self._client.post("/v1/exchanges", terms)["id"]), external_id

    def _amount(self) -> int:
        """Minor units whose last digits ask nothing peculiar of the sandbox provider."""
        return 10_000 + self._chance.randrange(1_000, 9_000)

    def _step(self, exchange: str, step: str, member: str, **more: Any) -> _Json:
        return self._client.post(f"/v1/exchanges/{exchange}/{step}", {"member": member, **more})

    def _funded(self, exchange: str) -> None:
        method = self._chance.choice(["pm_sandbox_ok", "pm_sandbox_duplicate_event"])
        self._step(exchange, "fund", self._payer, payment_method=method)
        self._client.until(f"/v1/exchanges/{exchange}", lambda one: one["state"] == "active")

    # The lives.

    def confirmed(self) -> Lived:
        """Paid for, and confirmed by both."""
        exchange, name = self._propose()
        self._funded(exchange)
        for member in (self._payer, self._payee):
            self._step(exchange, "confirm", member, checkpoint="handover")
        return Lived(exchange, name, "completed", words=2, paid=1)

    def by_code(self) -> Lived:
        """Paid for, and closed by the code that is told in person."""
        exchange, name = self._propose()
        self._funded(exchange)
        token = self._client.post(f"/v1/members/{self._payer}/tokens", {})["token"]
        code = self._client.get(f"/v1/exchanges/{exchange}/hand-over-code", token=token)["code"]
        self._step(exchange, "enter-code", self._payee, checkpoint="handover", code=code)
        return Lived(exchange, name, "completed", words=2, paid=1)

    def in_hours(self) -> Lived:
        """Help for community hours: no provider at all."""
        legs = [{"amount": {"amount": 1, "unit": "HOURS"}}]
        exchange, name = self._propose(kind="help", legs=legs)
        self._step(exchange, "fund", self._payer)
        for member in (self._payee, self._payer):
            self._step(exchange, "confirm", member, checkpoint="done")
        return Lived(exchange, name, "completed", words=2)

    def cancelled(self) -> Lived:
        """Agreed, and cancelled before anything was paid."""
        exchange, name = self._propose()
        self._step(exchange, "cancel", self._chance.choice([self._payer, self._payee]))
        return Lived(exchange, name, "cancelled")

    def given_back(self) -> Lived:
        """Paid for, and given up by both: what is held goes back."""
        exchange, name = self._propose()
        self._funded(exchange)
        self._step(exchange, "propose-cancellation", self._payer)
        offer = self._client.get(f"/v1/exchanges/{exchange}")["proposal"]["id"]
        self._step(exchange, "accept-proposal", self._payee, proposal=offer)
        return Lived(exchange, name, "cancelled", paid=1)

    def never_answered(self) -> Lived:
        """Proposed, and left alone."""
        exchange, name = self._propose(agreed=False)
        self._age(exchange)
        return Lived(exchange, name, "expired")

    def never_paid(self) -> Lived:
        """Agreed, and left alone."""
        exchange, name = self._propose()
        self._age(exchange)
        return Lived(exchange, name, "expired")

    def never_confirmed(self) -> Lived:
        """Paid for, and left alone: a neutral looks. It never pays by itself."""
        exchange, name = self._propose()
        self._funded(exchange)
        self._age(exchange)
        return Lived(exchange, name, "in_review", paid=1)


LIVES: Final[Sequence[Callable[[Shopper], Lived]]] = (
    Shopper.confirmed,
    Shopper.by_code,
    Shopper.in_hours,
    Shopper.cancelled,
    Shopper.given_back,
    Shopper.never_answered,
    Shopper.never_paid,
    Shopper.never_confirmed,
)


class Load:
    """Shoppers in threads of their own, until told to stop."""

    def __init__(
        self,
        urls: Sequence[str],
        key: str,
        seed: int,
        age: Age,
        *,
        shoppers: int = 3,
        person: Callable[[Client, str, random.Random, Age], Shopper] = Shopper,
    ) -> None:
        """Let ``shoppers`` live at the APIs of ``urls`` by the platform's ``key``.

        ``person`` makes each of them.
        """
        self._stop = Event()
        self._person = person
        self._lock = Lock()
        self.told: Final = Told()
        self._threads = [
            Thread(
                target=self._run,
                args=(urls, key, f"s{number}", random.Random(f"{seed}-{number}"), age),
                name=f"shopper-{number}",
                daemon=True,
            )
            for number in range(shoppers)
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def finish(self) -> Told:
        """Let each finish the life that it is in; return what all were told."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        return self.told

    def _run(
        self, urls: Sequence[str], key: str, name: str, chance: random.Random, age: Age
    ) -> None:
        client = Client(urls, key, chance)
        try:
            shopper = self._person(client, name, chance, age)
            while not self._stop.is_set():
                lived = shopper.live()
                with self._lock:
                    self.told.lived += lived
        except Refused as refused:
            with self._lock:
                self.told.failures.append(f"{name}: {refused}")
        except Exception as error:  # an answer that is not what a client can go on with
            with self._lock:
                self.told.failures.append(f"{name}: {error!r}")
        finally:
            with self._lock:
                self.told.troubles += client.troubles
                self.told.answers += client.answers
            client.close()
