"""Domain values as JSON of the API."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ledger.accounts import Balance, Line, Posted
from ledger.units import Unit
from service.exchanges.deadlines import deadlines, decide_by
from service.exchanges.kinds import Kind, Role, shows_code
from service.exchanges.model import Checkpoint, Exchange, Leg
from service.exchanges.queries import next_actions
from service.http.paths import public
from service.ids import encode
from service.payments.payee import payout_notice
from service.platforms.helpers import Helper
from service.platforms.keys import Key
from service.platforms.members import Member
from service.platforms.platforms import Platform


def exchange(one: Exchange, viewer: Role | None, now: datetime) -> dict[str, Any]:
    """Show an exchange; ``viewer`` None is the platform, who sees both sides' next actions."""
    public = encode("exchange", one.id)
    proposal = one.proposal
    ends = [
        {"name": line.name, "due_at": line.due_at, "outcome": line.outcome}
        for line in deadlines(one)
    ]
    decide = decide_by(one)
    if decide is not None:
        ends.append(
            {
                "name": "decide_by",
                "due_at": decide,
                "outcome": "A neutral person has decided by then; if not, nothing moves until the "
                "hold limit.",
            }
        )
        ends.sort(key=lambda end: str(end["due_at"]))
    return {
        "id": public,
        "object": "exchange",
        "kind": one.kind,
        "state": one.state,
        "version": one.version,
        "external_id": one.external_id,
        "payer": encode("member", one.payer_id),
        "payee": encode("member", one.payee_id),
        "proposed_by": one.proposed_by,
        "payer_agreed_at": one.payer_agreed_at,
        "payee_agreed_at": one.payee_agreed_at,
        "terms": one.terms,
        "terms_hash": one.terms_hash,
        "steps_version": one.steps_version,
        "legs": [_leg(leg) for leg in one.legs],
        "checkpoints": [_checkpoint(one.kind, point) for point in one.checkpoints],
        "proposal": None
        if proposal is None or now >= proposal.expires_at
        else {
            "id": encode("proposal", proposal.id),
            "kind": proposal.kind,
            "by": proposal.by,
            "to_payee": {encode("leg", leg): part for leg, part in proposal.to_payee.items()},
            "expires_at": proposal.expires_at,
        },
        "payment": None if one.collect_id is None else encode("payment", one.collect_id),
        "deposit_payment": None if one.deposit_id is None else encode("payment", one.deposit_id),
        "deposit_blocked_until": one.deposit_until,
        "payout": _payout(one),
        "reversible_until": one.reversible_until,
        "frozen_at": one.frozen_at,
        "charged_back": one.charged_back,
        "case": None if one.case_id is None else encode("case", one.case_id),
        "proposed_at": one.proposed_at,
        "agreed_at": one.agreed_at,
        "funded_at": one.funded_at,
        "in_review_since": one.review_at,
        "closed_at": one.closed_at,
        "next_actions": [
            {
                "step": step.name,
                "by": side,
                "method": "POST",
                "path": f"/v1/exchanges/{public}/{step.name.replace('_', '-')}",
                "outcome": step.outcome,
            }
            for step, side in next_actions(one, viewer, now)
        ],
        "deadlines": ends,
    }


def _payout(one: Exchange) -> dict[str, Any] | None:
    """Show whether the payee can be paid, so that both sides know before they agree."""
    if one.payout is None:
        return None
    notice = payout_notice(one.payout)
    return {
        "ready": one.payout.ready,
        "due": list(one.payout.due),
        "due_by": one.payout.due_by,
        "notice": None if notice is None else notice["words"],
    }


def _leg(leg: Leg) -> dict[str, Any]:
    share = leg.share
    return {
        "id": encode("leg", leg.id),
        "role": leg.role,
        "checkpoint": leg.checkpoint,
        "amount": leg.amount,
        "unit": leg.unit,
        "payer_fee": leg.payer_fee,
        "payee_fee": leg.payee_fee,
        "state": leg.state,
        "strategy": leg.strategy,
        "to_payer": None if share is None else share.to_payer,
        "to_payee": None if share is None else share.to_payee,
        "to_fees": None if share is None else share.to_fees,
        "disputed": leg.disputed,
    }


def _checkpoint(kind: Kind, point: Checkpoint) -> dict[str, Any]:
    code = "none"
    if point.code is not None and point.met_at is None:
        code = "active" if point.code.locked_at is None else "locked"
    return {
        "name": point.name,
        "due_at": point.due_at,
        "payer_confirmed_at": point.payer_at,
        "payee_confirmed_at": point.payee_at,
        "met_at": point.met_at,
        "met_by_case": None if point.case_id is None else encode("case", point.case_id),
        "code": code,
        "code_shown_to": shows_code(kind, point.name),
    }


def confirmation(row: Mapping[str, Any]) -> dict[str, Any]:
    """Show a word on a checkpoint."""
    return {
        "id": encode("confirmation", row["id"]),
        "checkpoint": row["checkpoint"],
        "by": row["role"],
        "member": encode("member", row["member_id"]),
        "word": row["word"],
        "method": row["method"],
        "via": row["via"],
        "helper": None if row["helper_id"] is None else encode("helper", row["helper_id"]),
        "operator": row["operator"],
        "at": row["at"],
    }


def payment(row: Mapping[str, Any]) -> dict[str, Any]:
    """Show a payment."""
    exchange_id, collect_id = row["exchange_id"], row["collect_id"]
    payout_id = row["payout_id"]
    return {
        "id": encode("payment", row["id"]),
        "object": "payment",
        "kind": row["kind"],
        "state": row["state"],
        "amount": row["amount"],
        "unit": row["unit"],
        "exchange": None if exchange_id is None else encode("exchange", exchange_id),
        "member": encode("member", row["member_id"]),
        "provider": row["provider"],
        "provider_ref": row["provider_ref"],
        "refund_of": None if collect_id is None else encode("payment", collect_id),
        "reversal_of": None if payout_id is None else encode("payment", payout_id),
        "waits_for": encode("payment", row["after_id"]) if row["waiting"] else None,
        "capture": row["capture"],
        "captured": row["captured"],
        "capture_before": row["capture_before"],
        "saved_method": row["saved_method"],
        "next_action": row["next_action"],
        "failure": row["failure"],
        "created_at": row["created_at"],
        "settled_at": row["settled_at"],
    }


def event(row: Mapping[str, Any]) -> dict[str, Any]:
    """Show an event."""
    exchange_id, member_id = row["exchange_id"], row["member_id"]
    return {
        "id": encode("event", row["id"]),
        "object": "event",
        "type": row["type"],
        "exchange": None if exchange_id is None else encode("exchange", exchange_id),
        "member": None if member_id is None else encode("member", member_id),
        "sequence": row["sequence"],
        "data": row["data"],
        "at": row["at"],
    }


def platform(one: Platform) -> dict[str, Any]:
    """Show a platform."""
    return {
        "id": encode("platform", one.id),
        "object": "platform",
        "name": one.name,
        "mode": one.mode,
        "twin": encode("platform", one.twin_id),
        "phone": one.phone,
        "created_at": one.created_at,
    }


def api_key(one: Key, secret: str | None = None) -> dict[str, Any]:
    """Show a key; its secret only when it has just been made."""
    return {
        "id": encode("api_key", one.id),
        "object": "api_key",
        "label": one.label,
        "hint": one.hint,
        "scopes": list(one.scopes),
        "created_at": one.created_at,
        "last_used_at": one.last_used_at,
        "expires_at": one.expires_at,
        "revoked_at": one.revoked_at,
        "rotated_to": None if one.rotated_to is None else encode("api_key", one.rotated_to),
        "secret": secret,
    }


def member(one: Member) -> dict[str, Any]:
    """Show a member."""
    return {
        "id": encode("member", one.id),
        "object": "member",
        "external_id": one.external_id,
        "locale": one.locale,
        "time_zone": one.time_zone,
        "country": one.country,
        "name": one.name,
        "email": one.email,
        "phone": one.phone,
        "assisted": one.assisted,
        "created_at": one.created_at,
        "erased_at": one.erased_at,
    }


def helper(one: Helper, now: datetime, url: str | None = None) -> dict[str, Any]:
    """Show a helper; the link that is theirs only when they have just been named."""
    limit = {"amount": one.limit_amount, "unit": one.limit_unit}
    return {
        "id": encode("helper", one.id),
        "object": "helper",
        "member": encode("member", one.member_id),
        "exchange": None if one.exchange_id is None else encode("exchange", one.exchange_id),
        "name": one.name,
        "email": one.email,
        "phone": one.phone,
        "may": [str(may) for may in one.listed],
        "limit": None if one.limit_amount is None else limit,
        "named_by": one.named_by,
        "consent": one.consent,
        "named_at": one.named_at,
        "ends_at": one.ends_at,
        "ended_at": one.ended_at,
        "ended_by": one.ended_by,
        "works": one.works(now),
        "url": url,
    }


def unit(one: Unit) -> dict[str, Any]:
    """Show a unit."""
    return {
        "code": one.code,
        "object": "unit",
        "name": one.name,
        "exponent": one.exponent,
        "community": one.community,
        "credit_limit": one.credit_limit if one.community else None,
    }


def line(one: Line) -> dict[str, Any]:
    """Show a line of a statement."""
    return {
        "posting": encode("posting", one.posting_id),
        "kind": one.kind,
        "reference": _reference(one.reference),
        "at": one.recorded_at,
        "other_account": public(one.other),
        "amount": one.amount,
        "balance": one.balance,
    }


def posting(one: Posted) -> dict[str, Any]:
    """Show a posting with its transfers."""
    return {
        "id": encode("posting", one.id),
        "object": "posting",
        "key": one.key,
        "kind": one.kind,
        "reference": _reference(one.reference),
        "at": one.recorded_at,
        "reverses": None if one.reverses is None else encode("posting", one.reverses),
        "transfers": [
            {
                "debit": public(m.debit),
                "credit": public(m.credit),
                "amount": m.amount,
                "unit": m.unit,
            }
            for m in one.transfers
        ],
    }


def balance(one: Balance) -> dict[str, Any]:
    """Show a balance."""
    return {
        "account": public(one.path),
        "unit": one.unit,
        "balance": one.balance,
        "floor": one.floor,
    }


def _reference(one: str | None) -> str | None:
    return None if one is None else public(one)
