"""Between the values of ``model`` and the rows of the tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import RowMapping

from disputes.model import Cause
from service.exchanges.kinds import Kind, LegRole, Role
from service.exchanges.model import (
    Checkpoint,
    Code,
    Exchange,
    Leg,
    LegState,
    Pause,
    Place,
    Proposal,
    Share,
    State,
    Surroundings,
)
from service.payments.payee import Readiness


def from_row(
    row: RowMapping,
    legs: Sequence[Mapping[str, Any]],
    points: Sequence[Mapping[str, Any]],
    payout: Readiness | None = None,
    around: Surroundings = Surroundings(),  # noqa: B008 - frozen
    case_cause: str | None = None,
) -> Exchange:
    """Build the value from its rows."""
    return Exchange(
        platform_id=row["platform_id"],
        id=row["id"],
        kind=Kind(row["kind"]),
        state=State(row["state"]),
        version=row["version"],
        steps_version=row["steps_version"],
        payer_id=row["payer_id"],
        payee_id=row["payee_id"],
        external_id=row["external_id"],
        proposed_by=Role(row["proposed_by"]),
        payer_agreed_at=row["payer_agreed_at"],
        payee_agreed_at=row["payee_agreed_at"],
        terms=row["terms"],
        terms_hash=row["terms_hash"],
        provider=row["provider"],
        proposed_at=row["proposed_at"],
        legs=tuple(_leg(leg) for leg in legs),
        checkpoints=tuple(_checkpoint(point) for point in points),
        agreed_at=row["agreed_at"],
        funded_at=row["funded_at"],
        review_at=row["review_at"],
        closed_at=row["closed_at"],
        proposal=_proposal(row["proposal"]),
        collect_id=row["collect_id"],
        deposit_id=row["deposit_id"],
        deposit_until=row["deposit_until"],
        deposit_renewal_id=row["deposit_renewal_id"],
        frozen_at=row["frozen_at"],
        charged_back=row["charged_back"],
        contested_id=row["contested_id"],
        reversible_until=row["reversible_until"],
        fund_attempts=row["fund_attempts"],
        event_sequence=row["event_sequence"],
        reminders=row["reminders"],
        reminded_at=row["reminded_at"],
        resumed_at=row["resumed_at"],
        case_id=row["case_id"],
        case_told=row["case_told"],
        award=_award(row["award"]),
        case_cause=None if case_cause is None else Cause(case_cause),
        around=around,
        payout=payout,
    )


def surroundings(
    payer: Sequence[str],
    payee: Sequence[str],
    pauses: Sequence[Mapping[str, Any]],
    not_delivered: Mapping[str, bool],
) -> Surroundings:
    """Build what bears on an exchange's time: places as zone and country, and pauses.

    ``not_delivered``: whose last reminder did not arrive, and whether it is known that it will not.
    """
    return Surroundings(
        payer=Place(*payer),
        payee=Place(*payee),
        pauses=tuple(
            Pause(
                None if pause["role"] is None else Role(pause["role"]),
                datetime.fromisoformat(pause["began_at"]),
                datetime.fromisoformat(pause["ended_at"]),
            )
            for pause in pauses
        ),
        unreached=frozenset(Role(role) for role, known in not_delivered.items() if known),
        on_its_way=frozenset(Role(role) for role, known in not_delivered.items() if not known),
    )


def _id(value: str | None) -> UUID | None:
    return None if value is None else UUID(value)


def _instant(value: str | None) -> datetime | None:
    return None if value is None else datetime.fromisoformat(value)


def _award(row: Mapping[str, int] | None) -> dict[UUID, int] | None:
    return None if row is None else {UUID(leg): amount for leg, amount in row.items()}


def _leg(row: Mapping[str, Any]) -> Leg:
    share = None
    if row["state"] == LegState.SETTLED:
        share = Share(row["to_payer"], row["to_payee"], row["to_fees"])
    return Leg(
        id=UUID(row["id"]),
        position=row["position"],
        role=LegRole(row["role"]),
        checkpoint=row["checkpoint"],
        amount=row["amount"],
        unit=row["unit"],
        sort=row["sort"],
        payer_fee=row["payer_fee"],
        payee_fee=row["payee_fee"],
        state=LegState(row["state"]),
        share=share,
        strategy=row["strategy"],
        collect_id=_id(row["collect_id"]),
        disputed=row["disputed"],
    )


def _checkpoint(row: Mapping[str, Any]) -> Checkpoint:
    code = None
    if row["code_digest"] is not None:
        code = Code(
            row["code_generation"],
            bytes.fromhex(row["code_digest"].removeprefix("\\x")),
            row["code_tries"],
            _instant(row["code_locked_at"]),
        )
    return Checkpoint(
        name=row["name"],
        position=row["position"],
        due_at=_instant(row["due_at"]),
        payer_at=_instant(row["payer_at"]),
        payee_at=_instant(row["payee_at"]),
        met_at=_instant(row["met_at"]),
        code=code,
        case_id=_id(row["case_id"]),
    )


def _proposal(row: Mapping[str, Any] | None) -> Proposal | None:
    if row is None:
        return None
    return Proposal(
        id=UUID(row["id"]),
        kind=row["kind"],
        by=Role(row["by"]),
        to_payee={UUID(leg): amount for leg, amount in row["to_payee"].items()},
        expires_at=datetime.fromisoformat(row["expires_at"]),
    )


def exchange_row(exchange: Exchange) -> dict[str, Any]:
    """The columns that a step may change, with the keys; the rest never changes."""
    proposal = exchange.proposal
    return {
        "platform_id": exchange.platform_id,
        "id": exchange.id,
        "state": exchange.state,
        "version": exchange.version,
        "proposed_by": exchange.proposed_by,
        "payer_agreed_at": exchange.payer_agreed_at,
        "payee_agreed_at": exchange.payee_agreed_at,
        "terms": exchange.terms,
        "terms_hash": exchange.terms_hash,
        "provider": exchange.provider,
        "proposed_at": exchange.proposed_at,
        "agreed_at": exchange.agreed_at,
        "funded_at": exchange.funded_at,
        "review_at": exchange.review_at,
        "closed_at": exchange.closed_at,
        "proposal": None
        if proposal is None
        else {
            "id": proposal.id,
            "kind": proposal.kind,
            "by": proposal.by,
            "to_payee": {str(leg): amount for leg, amount in proposal.to_payee.items()},
            "expires_at": proposal.expires_at,
        },
        "collect_id": exchange.collect_id,
        "deposit_id": exchange.deposit_id,
        "deposit_until": exchange.deposit_until,
        "deposit_renewal_id": exchange.deposit_renewal_id,
        "frozen_at": exchange.frozen_at,
        "charged_back": exchange.charged_back,
        "contested_id": exchange.contested_id,
        "reversible_until": exchange.reversible_until,
        "fund_attempts": exchange.fund_attempts,
        "event_sequence": exchange.event_sequence,
        "reminders": exchange.reminders,
        "reminded_at": exchange.reminded_at,
        "resumed_at": exchange.resumed_at,
        "case_id": exchange.case_id,
        "case_told": exchange.case_told,
        "award": None
        if exchange.award is None
        else {str(leg): amount for leg, amount in exchange.award.items()},
    }


def leg_row(exchange: Exchange, leg: Leg) -> dict[str, Any]:
    share = leg.share
    return {
        "platform_id": exchange.platform_id,
        "id": leg.id,
        "exchange_id": exchange.id,
        "position": leg.position,
        "role": leg.role,
        "checkpoint": leg.checkpoint,
        "amount": leg.amount,
        "unit": leg.unit,
        "sort": leg.sort,
        "payer_fee": leg.payer_fee,
        "payee_fee": leg.payee_fee,
        "state": leg.state,
        "to_payer": None if share is None else share.to_payer,
        "to_payee": None if share is None else share.to_payee,
        "to_fees": None if share is None else share.to_fees,
        "collect_id": leg.collect_id,
        "strategy": leg.strategy,
        "disputed": leg.disputed,
    }


def checkpoint_row(exchange: Exchange, point: Checkpoint) -> dict[str, Any]:
    code = point.code
    return {
        "platform_id": exchange.platform_id,
        "exchange_id": exchange.id,
        "position": point.position,
        "name": point.name,
        "due_at": point.due_at,
        "payer_at": point.payer_at,
        "payee_at": point.payee_at,
        "met_at": point.met_at,
        "code_generation": None if code is None else code.generation,
        "code_digest": None if code is None else code.digest,
        "code_tries": 0 if code is None else code.wrong_tries,
        "code_locked_at": None if code is None else code.locked_at,
        "case_id": point.case_id,
    }
