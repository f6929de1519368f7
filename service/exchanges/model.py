"""An exchange as values: what the pure rules read and return. Nothing here touches a database."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, TypeVar
from uuid import UUID

from disputes.model import Cause
from service.exchanges.kinds import Kind, LegRole, Role
from service.payments.payee import Readiness

T = TypeVar("T")


class State(StrEnum):
    """Where an exchange stands. The last six are final."""

    PROPOSED = "proposed"
    AGREED = "agreed"
    FUNDING = "funding"
    ACTIVE = "active"
    IN_REVIEW = "in_review"
    COMPLETED = "completed"
    SETTLED = "settled"
    REFUNDED = "refunded"
    CANCELLED = "cancelled"
    DECLINED = "declined"
    EXPIRED = "expired"


TERMINAL: Final = frozenset(
    {
        State.COMPLETED,
        State.SETTLED,
        State.REFUNDED,
        State.CANCELLED,
        State.DECLINED,
        State.EXPIRED,
    }
)


class LegState(StrEnum):
    """Where a leg's value is: not yet paid in, held for nobody yet, or shared out for good."""

    OPEN = "open"
    HELD = "held"
    SETTLED = "settled"


@dataclass(frozen=True, slots=True)
class Share:
    """How a leg's held value was shared out, in minor units: the three always sum to it."""

    to_payer: int
    to_payee: int
    to_fees: int


@dataclass(frozen=True, slots=True)
class Leg:
    """One value flow of an exchange. ``amount`` and fees are minor units of ``unit``."""

    id: UUID
    position: int
    role: LegRole
    checkpoint: str
    amount: int
    unit: str
    sort: str  # "money" (through a provider) or "community" (no provider)
    payer_fee: int
    payee_fee: int
    state: LegState = LegState.OPEN
    share: Share | None = None
    #: Of a deposit in money: ``capture``, ``authorise`` or ``reauthorise``.
    strategy: str | None = None
    #: The payment that filled the hold.
    collect_id: UUID | None = None
    #: A case is about it: nothing but the case's outcome moves it.
    disputed: bool = False

    @property
    def secured_by_bank(self) -> bool:
        """Whether the payer's bank only blocks the amount, at least to begin with."""
        return self.strategy in {"authorise", "reauthorise"}

    @property
    def held(self) -> int:
        """What the hold contains once funded: the amount and the payer's part of the fee."""
        return self.amount + self.payer_fee


@dataclass(frozen=True, slots=True)
class Code:
    """The hand-over code of a checkpoint: which generation, its keyed hash, its wrong tries."""

    generation: int
    digest: bytes
    wrong_tries: int = 0
    locked_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A moment that both sides must confirm."""

    name: str
    position: int
    due_at: datetime | None
    payer_at: datetime | None = None
    payee_at: datetime | None = None
    met_at: datetime | None = None
    code: Code | None = None
    #: The case whose decision met it, where not both members did.
    case_id: UUID | None = None

    def confirmed_by(self, role: Role) -> datetime | None:
        """Return when ``role`` confirmed, or None."""
        return self.payer_at if role is Role.PAYER else self.payee_at

    def with_confirmation(self, role: Role, at: datetime | None) -> Checkpoint:
        """Return the checkpoint with ``role``'s confirmation set to ``at`` (None: withdrawn)."""
        if role is Role.PAYER:
            return replace(self, payer_at=at)
        return replace(self, payee_at=at)


@dataclass(frozen=True, slots=True)
class Proposal:
    """An open offer to end the exchange by an exact split.

    ``to_payee`` maps each held leg to the part of its amount that the payee would get; the payer
    gets the rest. A cancellation gives everything back.
    """

    id: UUID
    kind: str  # "settlement" or "cancellation"
    by: Role
    to_payee: dict[UUID, int]
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Place:
    """Where a member lives, for hours and holidays: an IANA zone and an ISO 3166-1 country."""

    zone: str
    country: str


@dataclass(frozen=True, slots=True)
class Pause:
    """From and until when clocks stood still for ``role``, or for both sides (None)."""

    role: Role | None
    began_at: datetime
    ended_at: datetime


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What bears on an exchange's time without being part of it; read with it, never written."""

    payer: Place | None = None
    payee: Place | None = None
    pauses: tuple[Pause, ...] = ()
    #: Whose last reminder came back, or could not be sent.
    unreached: frozenset[Role] = frozenset()
    #: Whose last reminder is not sent yet, and may still be.
    on_its_way: frozenset[Role] = frozenset()

    def places(self, roles: Collection[Role]) -> list[tuple[str, str]]:
        """Return zone and country of the members on these sides."""
        found = [self.payer if role is Role.PAYER else self.payee for role in sorted(roles)]
        return [(place.zone, place.country) for place in found if place is not None]


@dataclass(frozen=True, slots=True)
class Exchange:
    """The agreement between a payer and a payee, with everything the rules need to know."""

    platform_id: UUID
    id: UUID
    kind: Kind
    state: State
    version: int
    steps_version: int
    payer_id: UUID
    payee_id: UUID
    external_id: str | None
    proposed_by: Role
    payer_agreed_at: datetime | None
    payee_agreed_at: datetime | None
    terms: dict[str, Any]
    terms_hash: str
    provider: str | None
    proposed_at: datetime
    legs: tuple[Leg, ...]
    checkpoints: tuple[Checkpoint, ...]
    agreed_at: datetime | None = None
    funded_at: datetime | None = None
    review_at: datetime | None = None
    closed_at: datetime | None = None
    proposal: Proposal | None = None
    collect_id: UUID | None = None
    #: The authorisation of the deposits; ``deposit_until``: it ends by itself then. None once the
    #: amount is taken, or when there is none.
    deposit_id: UUID | None = None
    deposit_until: datetime | None = None
    #: The authorisation asked for to take over from it, while it is not there yet.
    deposit_renewal_id: UUID | None = None
    #: The payer's bank contests the payment: nothing is released meanwhile.
    frozen_at: datetime | None = None
    #: Minor units that the bank took back and that no outcome has accounted for yet.
    charged_back: int = 0
    #: The payment that banks contest, or contested last.
    contested_id: UUID | None = None
    reversible_until: datetime | None = None
    fund_attempts: int = 0
    event_sequence: int = 0
    #: How many reminders the running wait of the members has had.
    reminders: int = 0
    reminded_at: datetime | None = None
    #: When a contest of the payment ended: members could not confirm before.
    resumed_at: datetime | None = None
    #: The open case, or the one whose award waits for a bank; how far its journal was told.
    case_id: UUID | None = None
    case_told: int = 0
    #: What a case decided while the payment was contested: the payee's part of each leg.
    award: Mapping[UUID, int] | None = None
    #: What began the open case; read with the exchange, never written with it.
    case_cause: Cause | None = None
    around: Surroundings = Surroundings()
    #: Whether money can be sent to the payee; read with the exchange, never written with it.
    payout: Readiness | None = None
    #: What was worked out from the rest, by name: a changed exchange is another, and has none.
    worked_out: dict[str, Any] = field(init=False, repr=False, compare=False, default_factory=dict)

    def once(self, name: str, work: Callable[[Exchange], T]) -> T:
        """Return ``work(self)``, done at the first call alone: it may ask for nothing but self."""
        if name not in self.worked_out:
            self.worked_out[name] = work(self)
        found: T = self.worked_out[name]
        return found

    def recounted(self, *, version: int | None = None, events: int = 0) -> Exchange:
        """Return the exchange with another version, or more events told.

        Nothing is worked out from these, so what was worked out stays.
        """
        # Each step counts twice; to set the slots costs a fifth of `replace`, which makes all anew.
        changed = object.__new__(Exchange)
        for name in self.__slots__:
            object.__setattr__(changed, name, getattr(self, name))
        object.__setattr__(changed, "version", self.version if version is None else version)
        object.__setattr__(changed, "event_sequence", self.event_sequence + events)
        return changed

    def role_of(self, member_id: UUID) -> Role | None:
        """Return the side ``member_id`` is on, or None for a stranger."""
        if member_id == self.payer_id:
            return Role.PAYER
        return Role.PAYEE if member_id == self.payee_id else None

    def member(self, role: Role) -> UUID:
        """Return the member on the side ``role``."""
        return self.payer_id if role is Role.PAYER else self.payee_id

    def agreed_by(self, role: Role) -> datetime | None:
        """Return when ``role`` agreed to the present terms, or None."""
        return self.payer_agreed_at if role is Role.PAYER else self.payee_agreed_at

    @property
    def payee_ready(self) -> bool:
        """Whether money can be sent to the payee now."""
        return self.payout is None or self.payout.ready

    @property
    def current(self) -> Checkpoint | None:
        """The first checkpoint not yet met, or None when all are."""
        return next((point for point in self.checkpoints if point.met_at is None), None)

    @property
    def held_legs(self) -> list[Leg]:
        """The legs whose value is held, in order of position."""
        return [leg for leg in self.legs if leg.state is LegState.HELD]

    @property
    def free_legs(self) -> list[Leg]:
        """The held legs that no case is about."""
        return [leg for leg in self.held_legs if not leg.disputed]

    @property
    def money_due(self) -> int:
        """Minor units that the payer pays in through the provider, fees included."""
        return sum(leg.held for leg in self.legs if leg.sort == "money")

    @property
    def deposit_legs(self) -> list[Leg]:
        """The deposits that the payer's bank only blocks, to begin with."""
        return [leg for leg in self.legs if leg.secured_by_bank]

    @property
    def charged_legs(self) -> list[Leg]:
        """The money legs that are taken at once."""
        return [leg for leg in self.legs if leg.sort == "money" and not leg.secured_by_bank]

    def is_blocked(self, leg: Leg) -> bool:
        """Tell whether the leg's amount is blocked at the payer's bank and not taken yet."""
        return leg.secured_by_bank and self.deposit_until is not None

    @property
    def money_unit(self) -> str | None:
        """The one currency of the money legs, or None without any."""
        return next((leg.unit for leg in self.legs if leg.sort == "money"), None)

    def window(self, name: str) -> int:
        """Return the length in hours of a window of the frozen terms."""
        return int(self.terms["windows"][name])

    def with_checkpoint(self, point: Checkpoint) -> Exchange:
        """Return the exchange with ``point`` in place of the checkpoint at its position."""
        points = tuple(point if p.position == point.position else p for p in self.checkpoints)
        return replace(self, checkpoints=points)

    def with_legs(self, changed: dict[UUID, Leg]) -> Exchange:
        """Return the exchange with the legs in ``changed`` put in place, by id."""
        return replace(self, legs=tuple(changed.get(leg.id, leg) for leg in self.legs))
