"""What the server remembers: accounts, their objects, the clock and what happens by it."""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from tests.stripe_server.errors import Obj, missing

API_VERSION = "2026-10-28.endive"


@dataclass(frozen=True)
class Asked:
    """The request that is being executed: events name it."""

    request_id: str
    key: str | None


@dataclass
class Fees:
    """What the provider takes, in minor units. ``card_rate`` is in thousandths of the amount."""

    card_rate: int = 15
    card_fixed: int = 25
    sepa: int = 35
    dispute: int = 2000
    #: Whether the fee of a dispute comes back with a won one.
    dispute_returned: bool = False
    #: Where one unit is worth much less than a cent of a euro.
    dispute_in: dict[str, int] = field(
        default_factory=lambda: {"jpy": 3000, "xof": 13119, "xaf": 13119, "mga": 100_000}
    )

    def of_card(self, amount: int) -> int:
        """The fee of a card payment, rounded half up."""
        return (amount * self.card_rate + 500) // 1000 + self.card_fixed

    def of_dispute(self, currency: str) -> int:
        """The fee of a dispute."""
        return self.dispute_in.get(currency, self.dispute)


@dataclass
class Funds:
    """What an account has in one currency, in minor units."""

    available: int = 0
    pending: int = 0


class Account:
    """One account with its own objects; ``platform`` is set for a connected one."""

    def __init__(self, world: World, ref: str, country: str, platform: Account | None) -> None:
        self.world = world
        self.id = ref
        self.country = country
        self.platform = platform
        self.currency = CURRENCY_OF.get(country, "eur")
        self.secret_keys: list[str] = []
        self.tables: dict[str, dict[str, Obj]] = {}
        self.funds: dict[str, Funds] = {}
        #: What events said last about an object: the next one tells what changed since.
        self.told: dict[str, Obj] = {}
        self.balance_event_due: datetime | None = None
        #: The account object itself; the platform sees its connected accounts' ones in a table.
        self.obj: Obj = {}
        self.settings: Obj = {}

    def table(self, kind: str) -> dict[str, Obj]:
        """All objects of one kind, oldest first."""
        return self.tables.setdefault(kind, {})

    def add(self, obj: Obj) -> Obj:
        """Keep a new object."""
        self.table(obj["object"])[obj["id"]] = obj
        return obj

    def get(self, kind: str, ref: str, param: str = "id", status: int = 404) -> Obj:
        """Return an object of this account.

        Raises:
            ApiError: 404 ``resource_missing``.
        """
        found = self.table(kind).get(ref)
        if found is None:
            raise missing(kind, ref, param, status)
        return found

    def find(self, ref: str) -> Obj | None:
        """Return the object of this id, whatever its kind."""
        for table in self.tables.values():
            if ref in table:
                return table[ref]
        return None

    def fund(self, currency: str) -> Funds:
        """Return the funds in a currency."""
        return self.funds.setdefault(currency, Funds())

    @property
    def connected(self) -> list[Account]:
        """The accounts connected to this platform."""
        return [other for other in self.world.accounts.values() if other.platform is self]


#: Europe counts as one region for transfers; every other country as its own.
EUROPE = frozenset(
    {"AT", "BE", "BG", "CH", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GB", "GI", "GR", "HR"}
    | {"HU", "IE", "IS", "IT", "LI", "LT", "LU", "LV", "MT", "NL", "NO", "PL", "PT", "RO", "SE"}
    | {"SI", "SK"}
)
CURRENCY_OF = {"GB": "gbp", "US": "usd", "CH": "chf", "JP": "jpy", "TH": "thb", "SE": "sek"}


def region(country: str) -> str:
    """Return the region in which transfers may go."""
    return "EUROPE" if country in EUROPE else country


class World:
    """Everything behind the HTTP door, under one lock."""

    def __init__(self, now: datetime | None = None, run: str | None = None) -> None:
        self.lock = threading.RLock()
        self.now = (now or datetime.now(UTC)).replace(microsecond=0)
        #: A part of every id, so that several servers over one database never share one.
        self.run = run if run is not None else uuid4().hex[:10]
        self.fees = Fees()
        self.url = ""
        self.accounts: dict[str, Account] = {}
        self.keys: dict[str, Account] = {}
        self.asked: Asked | None = None
        self._numbers = itertools.count(1)
        self._order = itertools.count()
        self._timers: list[tuple[datetime, int, Callable[[], object]]] = []
        #: Called with each new event: the queue of webhooks.
        self.on_event: Callable[[Account, Obj], None] = lambda _account, _event: None
        #: Called when a payment intent changed: a checkout session follows its own.
        self.on_intent: Callable[[Account, Obj], None] = lambda _account, _intent: None
        #: Called when a charge was paid: some test methods are disputed afterwards.
        self.on_paid: Callable[[Account, Obj], None] = lambda _account, _charge: None
        #: Called when funds became available: refunds may wait for them.
        self.on_available: Callable[[Account, str], None] = lambda _account, _currency: None

    @property
    def ts(self) -> int:
        """The clock in Unix seconds."""
        return int(self.now.timestamp())

    def new_id(self, prefix: str) -> str:
        """Return an id; a later one sorts after an earlier one of the same kind."""
        return f"{prefix}_{self.run}{next(self._numbers):010d}"

    def at(self, when: datetime, action: Callable[[], object]) -> None:
        """Do something when the clock gets there."""
        heapq.heappush(self._timers, (when, next(self._order), action))

    def run_until(self, when: datetime) -> None:
        """Move the clock, doing on the way what is due, each at its own instant."""
        if when < self.now:
            raise ValueError("the clock only moves forward")
        with self.lock:
            while self._timers and self._timers[0][0] <= when:
                due, _, action = heapq.heappop(self._timers)
                self.now = max(self.now, due)
                action()
            self.now = when

    @contextmanager
    def asking(self, asked: Asked) -> Iterator[None]:
        """Name the request that causes what happens inside."""
        self.asked = asked
        try:
            yield
        finally:
            self.asked = None


def stamp(when: datetime) -> int:
    """Return an instant in Unix seconds."""
    return int(when.timestamp())


def instant(seconds: int) -> datetime:
    """Return Unix seconds as an instant."""
    return datetime.fromtimestamp(seconds, UTC)


def days(number: float) -> timedelta:
    """Return some days."""
    return timedelta(days=number)
