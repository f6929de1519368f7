"""Terms: what the parties agree to, checked against the kind, frozen as JSON and hashed.

The hash is SHA-256 of the canonical JSON (sorted keys, no white space, UTF-8; integers and strings
only, so RFC 8785's rules for numbers never come into play). Both parties agree to this hash.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time, timedelta
from typing import Any, Final
from uuid import UUID

import orjson

from ledger.units import Unit
from service.exchanges.fees import FeeRule, quote
from service.exchanges.kinds import SHAPES, Kind, LegRole, Shape
from service.exchanges.model import Checkpoint, Leg
from service.exchanges.refusals import InvalidTerms, UnknownUnit
from service.exchanges.secured import deposit_defaults, deposit_json, secured
from service.ids import uuid7
from service.policies.decent import DECENT_FROM, DECENT_UNTIL
from service.policies.pauses import MOST_PAUSE, UNREACHED_GRACE
from service.policies.reminders import BEFORE
from service.policies.windows import (
    DECIDE_BY,
    ESCALATE_AFTER,
    PAYMENT_GRACE,
    REFUND_AFTER,
    WINDOWS,
)

#: Largest sum of one exchange, in minor units: far below BIGINT, so that no fee or sum overflows.
MOST_AMOUNT: Final = 10**15
MOST_CHECKPOINTS: Final = 20
MOST_LEGS_IN_ALL: Final = 20
#: Who may bear it when a bank takes released money back.
BEARERS: Final = ("platform", "payee")


@dataclass(frozen=True, slots=True)
class LegDraft:
    """A leg as proposed: ``amount`` in minor units of ``unit``."""

    role: LegRole
    amount: int
    unit: str
    checkpoint: str | None = None


@dataclass(frozen=True, slots=True)
class CheckpointDraft:
    """A checkpoint as proposed, with the instant it is planned for, if any."""

    name: str
    due_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """Everything a proposer says about an exchange, before it is checked."""

    kind: Kind
    title: str
    legs: tuple[LegDraft, ...] = ()
    checkpoints: tuple[CheckpointDraft, ...] = ()
    description: str | None = None
    meeting_point: str | None = None
    fee: FeeRule | None = None
    windows: Mapping[str, int] = field(default_factory=dict)
    #: How deposits in money are secured; see service/policies/deposits.py.
    deposit: str = "automatic"
    #: Who bears it when a bank takes a payment back after it was released.
    chargeback_borne_by: str = "platform"


@dataclass(frozen=True, slots=True)
class Checked:
    """Terms that hold: the frozen JSON, its hash, and the legs and checkpoints made of them."""

    terms: dict[str, Any]
    terms_hash: str
    legs: tuple[Leg, ...]
    checkpoints: tuple[Checkpoint, ...]


def check(draft: Draft, units: Mapping[str, Unit], provider: str, now: datetime) -> Checked:
    """Check ``draft`` against its kind and freeze it.

    ``units`` holds every unit of the legs that exists; ``provider`` is who holds the money legs.

    Raises:
        InvalidTerms, UnknownUnit: with a JSON Pointer to the field at fault.
    """
    shape = SHAPES[draft.kind]
    points = _checkpoints(draft, shape, now)
    windows = _windows(draft.windows)
    legs = _legs(draft, shape, points, units)
    _reach(draft.kind, legs, points, windows, now)
    if draft.chargeback_borne_by not in BEARERS:
        raise InvalidTerms(
            f"A chargeback is borne by one of: {', '.join(BEARERS)}.",
            pointer="/chargeback_borne_by",
        )
    rule = draft.fee or FeeRule()
    legs = secured(_with_fees(legs, rule), draft.deposit, points[-1].due_at, windows, now)
    terms: dict[str, Any] = {
        "kind": draft.kind,
        "title": draft.title,
        "description": draft.description,
        "meeting_point": draft.meeting_point,
        "legs": [_leg_json(leg) for leg in legs],
        "checkpoints": [
            {"name": p.name, "due_at": None if p.due_at is None else _instant(p.due_at)}
            for p in points
        ],
        "fee": {
            "fixed": rule.fixed,
            "basis_points": rule.basis_points,
            "borne_by": rule.borne_by,
            "on_refund": rule.on_refund,
        },
        "windows": windows,
        "deposit": deposit_json(legs),
        "chargeback": {"borne_by": draft.chargeback_borne_by}
        if any(leg.sort == "money" for leg in legs)
        else None,
        "provider": provider if any(leg.sort == "money" for leg in legs) else None,
        "defaults": _defaults(legs, windows) + deposit_defaults(legs),
        "fair_time": _FAIR_TIME,
    }
    return Checked(terms, fingerprint(terms), legs, points)


def fingerprint(terms: Mapping[str, Any]) -> str:
    """Return the SHA-256 of the canonical JSON of ``terms``, in hexadecimal."""
    return hashlib.sha256(orjson.dumps(terms, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _checkpoints(draft: Draft, shape: Shape, now: datetime) -> tuple[Checkpoint, ...]:
    given = {point.name: point for point in draft.checkpoints}
    if len(given) != len(draft.checkpoints):
        raise InvalidTerms("Two checkpoints have the same name.", pointer="/checkpoints")
    if shape.checkpoints:
        for index, point in enumerate(draft.checkpoints):
            if point.name not in shape.checkpoints:
                raise InvalidTerms(
                    f"A {draft.kind} has the checkpoints {', '.join(shape.checkpoints)}; "
                    f"'{point.name}' is not one of them.",
                    pointer=f"/checkpoints/{index}/name",
                )
        names: Sequence[str] = shape.checkpoints
    else:
        names = [point.name for point in draft.checkpoints]
        if not 1 <= len(names) <= MOST_CHECKPOINTS:
            raise InvalidTerms(
                f"A {draft.kind} names 1 to {MOST_CHECKPOINTS} checkpoints, one a milestone.",
                pointer="/checkpoints",
            )
    points, before = [], now
    for position, name in enumerate(names):
        due = given[name].due_at if name in given else None
        if due is not None and due < before:
            raise InvalidTerms(
                f"Checkpoint '{name}' is planned before now or before the one it follows.",
                pointer=f"/checkpoints/{position}/due_at",
            )
        before = due or before
        points.append(Checkpoint(name, position, due))
    return tuple(points)


def _windows(given: Mapping[str, int]) -> dict[str, int]:
    windows = {name: window.default for name, window in WINDOWS.items()}
    for name, hours in given.items():
        window = WINDOWS.get(name)
        if window is None:
            raise InvalidTerms(
                f"There is no window '{name}'; the windows are {', '.join(WINDOWS)}.",
                pointer=f"/windows/{name}",
            )
        if not window.least <= hours <= window.most:
            raise InvalidTerms(
                f"{name} must be from {window.least} to {window.most} hours.",
                pointer=f"/windows/{name}",
                least=window.least,
                most=window.most,
            )
        windows[name] = hours
    return windows


def _legs(
    draft: Draft, shape: Shape, points: tuple[Checkpoint, ...], units: Mapping[str, Unit]
) -> tuple[Leg, ...]:
    if len(draft.legs) > MOST_LEGS_IN_ALL:
        raise InvalidTerms(f"At most {MOST_LEGS_IN_ALL} legs.", pointer="/legs")
    legs = tuple(
        _leg(index, leg, shape, points, units, draft.kind) for index, leg in enumerate(draft.legs)
    )
    for role, (least, most) in (
        (LegRole.PRICE, shape.prices),
        (LegRole.DEPOSIT, shape.deposits),
    ):
        count = sum(leg.role is role for leg in legs)
        if not least <= count <= most:
            raise InvalidTerms(
                f"A {draft.kind} has {least} to {most} legs of role {role}, not {count}.",
                pointer="/legs",
                role=role,
                least=least,
                most=most,
            )
    missing = shape.needs - {leg.sort for leg in legs}
    if missing:
        raise InvalidTerms(
            f"A {draft.kind} joins money and a community unit; {' and '.join(missing)} is missing.",
            pointer="/legs",
        )
    if len({leg.unit for leg in legs if leg.sort == "money"}) > 1:
        raise InvalidTerms(
            "All money legs of one exchange are in one currency, for they are one payment.",
            pointer="/legs",
        )
    if sum(leg.amount for leg in legs) > MOST_AMOUNT:
        raise InvalidTerms(f"The legs sum to more than {MOST_AMOUNT}.", pointer="/legs")
    return legs


def _leg(
    index: int,
    draft: LegDraft,
    shape: Shape,
    points: tuple[Checkpoint, ...],
    units: Mapping[str, Unit],
    kind: Kind,
) -> Leg:
    at = f"/legs/{index}"
    unit = units.get(draft.unit)
    if unit is None:
        raise UnknownUnit(
            f"'{draft.unit}' is neither an ISO 4217 currency nor a unit of this platform.",
            pointer=f"{at}/amount/unit",
            unit=draft.unit,
        )
    if not 1 <= draft.amount <= MOST_AMOUNT:
        raise InvalidTerms(
            f"An amount is from 1 to {MOST_AMOUNT} minor units.", pointer=f"{at}/amount/amount"
        )
    sort = "community" if unit.community else "money"
    if sort in shape.forbids:
        raise InvalidTerms(
            f"A {kind} is not paid in {sort}; use a unit of the community, or the kind 'mixed'.",
            pointer=f"{at}/amount/unit",
        )
    fixed = shape.price_at if draft.role is LegRole.PRICE else shape.deposit_at
    name = draft.checkpoint or fixed
    if name is None or name not in {point.name for point in points}:
        raise InvalidTerms(
            "The leg must name one of the exchange's checkpoints: "
            f"{', '.join(point.name for point in points)}.",
            pointer=f"{at}/checkpoint",
        )
    if fixed is not None and name != fixed:
        raise InvalidTerms(
            f"In a {kind}, a {draft.role} hangs on the checkpoint '{fixed}'.",
            pointer=f"{at}/checkpoint",
        )
    return Leg(uuid7(), index, draft.role, name, draft.amount, draft.unit, sort, 0, 0)


def _reach(
    kind: Kind,
    legs: tuple[Leg, ...],
    points: tuple[Checkpoint, ...],
    windows: Mapping[str, int],
    now: datetime,
) -> None:
    """Refuse a plan whose last confirmation may fall outside the provider's limit on holds."""
    last = max((point.due_at for point in points if point.due_at is not None), default=None)
    if last is None or not any(leg.sort == "money" for leg in legs):
        return
    latest = now + ESCALATE_AFTER - timedelta(hours=windows["confirm_hours"])
    if last > latest:
        raise InvalidTerms(
            f"Money is held for {ESCALATE_AFTER.days} days at most before a person must look; "
            f"with this window to confirm, the last checkpoint of a {kind} can be planned for "
            f"{_instant(latest)} at the latest.",
            pointer="/checkpoints",
            latest=_instant(latest),
        )


def _with_fees(legs: tuple[Leg, ...], rule: FeeRule) -> tuple[Leg, ...]:
    """Quote the fee on the money prices, in the one currency they share."""
    priced = [leg for leg in legs if leg.role is LegRole.PRICE and leg.sort == "money"]
    if (rule.fixed or rule.basis_points) and not priced:
        raise InvalidTerms(
            "A fee needs a price in money to be taken from; mutual help bears none.", pointer="/fee"
        )
    quoted = dict(
        zip(
            (leg.id for leg in priced),
            quote(rule, [leg.amount for leg in priced]),
            strict=True,
        )
    )
    result = []
    for leg in legs:
        payer_fee, payee_fee = quoted.get(leg.id, (0, 0))
        if payee_fee > leg.amount or payer_fee > MOST_AMOUNT:
            raise InvalidTerms("The fee is larger than the price it is taken from.", pointer="/fee")
        free = not payer_fee and not payee_fee
        result.append(leg if free else replace(leg, payer_fee=payer_fee, payee_fee=payee_fee))
    return tuple(result)


def _leg_json(leg: Leg) -> dict[str, Any]:
    return {
        "role": leg.role,
        "checkpoint": leg.checkpoint,
        "amount": leg.amount,
        "unit": leg.unit,
        "payer_fee": leg.payer_fee,
        "payee_fee": leg.payee_fee,
    }


def _defaults(legs: tuple[Leg, ...], windows: Mapping[str, int]) -> list[dict[str, Any]]:
    """State what happens by default at every deadline, before anyone pays (design §3)."""
    lines: list[dict[str, Any]] = [
        {"when": "not_agreed", "after_hours": windows["agree_hours"], "outcome": "expired"},
        {"when": "not_funded", "after_hours": windows["fund_hours"], "outcome": "expired"},
        {
            "when": "payment_under_way",
            "after_hours": windows["fund_hours"] + _hours(PAYMENT_GRACE),
            "outcome": "expired",
        },
        {"when": "not_confirmed", "after_hours": windows["confirm_hours"], "outcome": "in_review"},
        {"when": "still_open", "after_hours": _hours(ESCALATE_AFTER), "outcome": "in_review"},
        {"when": "no_decision", "after_hours": _hours(DECIDE_BY), "outcome": "in_review"},
        {"when": "hold_limit", "after_hours": _hours(REFUND_AFTER), "outcome": "refunded"},
    ]
    if not legs:
        lines = [line for line in lines if line["when"] not in {"not_funded", "payment_under_way"}]
        lines[-1]["outcome"] = "expired"
    return lines


def _clock(of: time) -> str:
    return of.isoformat(timespec="minutes")


def _hours(length: timedelta) -> int:
    return int(length.total_seconds() // 3600)


def parties_differ(payer_id: UUID, payee_id: UUID) -> None:
    """Refuse an exchange of a member with itself.

    Raises:
        InvalidTerms: both sides are the same member.
    """
    if payer_id == payee_id:
        raise InvalidTerms(
            "Payer and payee are the same member; an exchange needs two.", pointer="/payee"
        )


#: How a deadline of the members is moved in their favour, and never the other way. The limits on
#: how long value is held do not move.
_FAIR_TIME: Final = {
    "due_from": _clock(DECENT_FROM),
    "due_until": _clock(DECENT_UNTIL),
    "holidays": False,
    "most_pause_hours": _hours(MOST_PAUSE),
    "not_reached_hours": _hours(UNREACHED_GRACE),
    "reminders_before_hours": [_hours(before) for before in BEFORE],
}
