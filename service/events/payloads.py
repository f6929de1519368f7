"""What the ``data`` of every type of event holds, as JSON Schema for whoever reads webhooks.

A field that is added later breaks nobody, so other fields are allowed everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from service.events.catalogue import TYPES, EventType
from service.ids import PREFIXES

Schema = Mapping[str, Any]

_TEXT: Final = {"type": "string"}
_TEXT_OR_NULL: Final = {"type": ["string", "null"]}
_SIDE: Final = {"type": "string", "enum": ["payer", "payee"]}
_SIDES: Final = {"type": "array", "items": _SIDE}
_NUMBER: Final = {"type": "integer"}
_INSTANT: Final = {"type": "string", "format": "date-time"}
_INSTANT_OR_NULL: Final = {"type": ["string", "null"], "format": "date-time"}
_MINOR: Final = {"type": "integer", "description": "Minor units."}


def _id(kind: str) -> dict[str, Any]:
    return {"type": "string", "pattern": f"^{PREFIXES[kind]}_[0-9a-hjkmnp-tv-z]{{26}}$"}


def _id_or_null(kind: str) -> dict[str, Any]:
    return {**_id(kind), "type": ["string", "null"]}


#: Fields by their names; ``family.field`` where a family gives a name a meaning of its own.
_FIELDS: Final[Mapping[str, Schema]] = {
    "about": {**_TEXT, "description": "The deadline, by the name that the exchange gives it."},
    "case.about": {**_TEXT, "description": "What waits for the side."},
    "amount": _MINOR,
    "arrives_at": _INSTANT_OR_NULL,
    "borne_by": _TEXT,
    "assisted": {**_SIDE, "description": "The side for which somebody else acted."},
    "by": _SIDE,
    "case": _id("case"),
    "case.by": {
        **_TEXT,
        "description": "A side, or who acts for neither: mediator, panel, platform, draw, clock…",
    },
    "case.reason": {**_TEXT, "description": "Of GET /v1/claim-reasons, or silence."},
    "cause": {"type": "string", "enum": ["claim", "silence", "chargeback", "fraud"]},
    "chargeback": _id("chargeback"),
    "checkpoint": _TEXT,
    "day": {"type": "string", "format": "date"},
    "decide_by": _INSTANT,
    "detail": _TEXT,
    "difference": _id("difference"),
    "disabled_at": _INSTANT,
    "due": {"type": "array", "items": _TEXT},
    "due_at": _INSTANT,
    "due_by": _INSTANT_OR_NULL,
    "ended_by": _TEXT,
    "endpoint": _id("webhook_endpoint"),
    "ends_at": _INSTANT,
    "entry": {**_NUMBER, "description": "The line of the case's journal."},
    "error": _TEXT_OR_NULL,
    "exchange": _id("exchange"),
    "external_id": _TEXT_OR_NULL,
    "failing_since": _INSTANT_OR_NULL,
    "failure": _TEXT_OR_NULL,
    "from": _INSTANT,
    "ground": {"type": "string", "enum": ["new_evidence", "procedure"]},
    "helper": _id("helper"),
    "kind": _TEXT,
    "last": {"type": "boolean", "description": "No further reminder follows."},
    "leg": _id("leg"),
    "limit": {
        "type": ["object", "null"],
        "description": "What an exchange may be worth; null: as much as it is.",
        "properties": {"amount": _MINOR, "unit": _TEXT},
    },
    "may": {"type": "array", "items": _TEXT},
    "member": _id("member"),
    "message": _id("message"),
    "message.exchange": _id_or_null("exchange"),
    "method": {**_TEXT, "description": "How: by word, or by code."},
    "movement": _TEXT_OR_NULL,
    "notice": {**_TEXT_OR_NULL, "description": "In plain words, why nothing can be paid yet."},
    "named_by": {**_TEXT, "description": "The member, or the platform with their consent."},
    "number": _NUMBER,
    "of_exchange": {**_id_or_null("exchange"), "description": "null: all of the member's."},
    "operator": {**_TEXT, "description": "Who served the member at the platform's desk."},
    "ours": _MINOR,
    "outcome": _TEXT,
    "part": {"type": "string", "enum": ["mediator", "second", "panel"]},
    "pause": _id("pause"),
    "payment": _id("payment"),
    "payments": {"type": "array", "items": _id("payment")},
    "proposal": _id("proposal"),
    "provider": _TEXT,
    "provider_ref": _TEXT,
    "ready": {"type": "boolean"},
    "reason": _TEXT_OR_NULL,
    "reason_code": _TEXT,
    "reconciliation.member": _id_or_null("member"),
    "reconciliation.payment": _id_or_null("payment"),
    "refund": _id("payment"),
    "resolution": _TEXT,
    "side": {**_SIDE, "description": "The side that is meant."},
    "sort": _TEXT_OR_NULL,
    "stage": {**_TEXT, "description": "In which the case is now."},
    "step": {**_TEXT, "description": "What was done, by its name in the table of steps."},
    "stands": {"type": "boolean", "description": "The first decision holds."},
    "state": {**_TEXT, "description": "In which the exchange is now."},
    "template": _TEXT,
    "terms_hash": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
    "theirs": _MINOR,
    "to": _SIDES,
    "to_fees": _MINOR,
    "to_payee": {
        "type": "object",
        "additionalProperties": _MINOR,
        "description": "What the payee gets of each leg; the payer gets the rest.",
    },
    "leg.to_payee": _MINOR,
    "to_payer": _MINOR,
    "tries_left": _NUMBER,
    "unconfirmed": _SIDES,
    "unit": _TEXT,
    "unreached": _SIDES,
    "until": _INSTANT_OR_NULL,
    "url": _TEXT,
    "via": {"type": "string", "enum": ["helper", "desk"]},
    "version": {**_NUMBER, "description": "Of the exchange."},
    "withdrawn": {**_MINOR, "description": "How much the bank has taken back by now."},
}
#: Told of an exchange, every type says where that stands.
_OF_EXCHANGE: Final = ("exchange", "external_id", "state", "version")
#: Whose hand took a step for a member, where it was not their own.
_HAND: Final = ("assisted?", "via?", "helper?", "operator?")
_MAYBE_OF_EXCHANGE: Final = tuple(f"{name}?" for name in _OF_EXCHANGE)
_OF_CASE: Final = (*_OF_EXCHANGE, "case", "entry", "by", "stage", "due_at?", "decide_by?")
_TERMS: Final = ("by", "terms_hash")
_SPLIT: Final = ("outcome", "to_payee")
_PAID: Final = (*_MAYBE_OF_EXCHANGE, "payment", "member", "amount", "unit")
_LEG: Final = (*_OF_EXCHANGE, "leg", "unit", "to_payer", "to_payee", "to_fees")
_PAYEE: Final = ("member", "provider", "ready", "due", "due_by", "reason", "notice")
_BANK: Final = ("member", "provider_ref", "amount", "unit", "arrives_at", "failure")
_DIFFERENCE: Final = ("difference", "kind", "day", "movement", "payment", "ours", "theirs", "unit")
_CONTEST: Final = ("chargeback", "payment", "amount", "withdrawn", "unit", "reason", "due_by")

#: What a type has beside what its family has; ``?`` where it is not always there.
TOLD: Final[Mapping[str, tuple[str, ...]]] = {
    "exchange.proposed": _TERMS,
    "exchange.counter_offered": _TERMS,
    "exchange.agreed": _TERMS,
    "exchange.declined": ("by",),
    "exchange.funding": ("payments",),
    "exchange.funding_failed": ("payment", "failure"),
    "exchange.payment_abandoned": ("payments",),
    "exchange.confirmed": ("checkpoint", "by", "method"),
    "exchange.confirmation_withdrawn": ("checkpoint", "by"),
    "exchange.checkpoint_met": ("checkpoint",),
    "exchange.code_wrong": ("checkpoint", "tries_left"),
    "exchange.code_locked": ("checkpoint",),
    "exchange.code_renewed": ("checkpoint", "by"),
    "exchange.settlement_proposed": ("by", "proposal", "to_payee"),
    "exchange.cancellation_proposed": ("by", "proposal", "to_payee"),
    "exchange.proposal_accepted": ("by", "proposal"),
    "exchange.proposal_rejected": ("by", "proposal"),
    "exchange.proposal_withdrawn": ("by", "proposal"),
    "exchange.reminder": ("to", "about", "due_at", "number", "last"),
    "exchange.in_review": ("reason", "unconfirmed", "unreached"),
    "exchange.frozen": ("reason",),
    "exchange.charged_back": ("amount", "unit"),
    "exchange.given_back": ("amount", "unit", "borne_by", "reason_code", "reason"),
    "exchange.cancelled": ("by?",),
    "case.opened": ("reason", "cause"),
    "case.offer_made": _SPLIT,
    "case.assigned": ("part",),
    "case.nobody_eligible": ("part",),
    "case.proposal_made": _SPLIT,
    "case.decided": (*_SPLIT, "reason_code"),
    "case.appealed": ("ground",),
    "case.appeal_decided": (*_SPLIT, "stands"),
    "case.flag_lifted": ("reason_code",),
    "case.closed": _SPLIT,
    "case.evidence_added": ("sort",),
    "case.evidence_requested": ("sort?",),
    "case.evidence_answered": ("sort?",),
    "case.reminded": ("side", "about"),
    "deposit.authorised": ("payment",),
    "deposit.renewing": ("payment",),
    "deposit.action_needed": ("payment", "member", "failure"),
    "deposit.unwanted": ("payment",),
    "deposit.lapsed": ("payment", "amount", "unit"),
    "deposit.taking": ("payment",),
    "deposit.taken": ("payment", "amount"),
    "deposit.lost": ("payment", "member", "amount", "unit"),
    "payment.late": (*_OF_EXCHANGE, "payment", "refund?"),
    "payment.amount_differs": ("payment", "detail"),
    "refund.asked": (*_OF_EXCHANGE, "payment", "amount?"),
    "payout.asked": ("payment", "amount", "unit", "exchange?"),
    "payout.waiting": (*_OF_EXCHANGE, "member", "amount", "unit"),
    "reversal.asked": (*_OF_EXCHANGE, "payment", "amount"),
    **{f"{kind}.succeeded": _PAID for kind in ("refund", "payout", "reversal")},
    **{
        f"{kind}.{end}": (*_PAID, "failure")
        for kind in ("refund", "payout", "reversal")
        for end in ("failed", "returned")
    },
    "receivable.open": (*_OF_EXCHANGE, "amount", "unit"),
    "receivable.written_off": (*_OF_EXCHANGE, "amount", "unit", "reason"),
    "chargeback.warned": (*_OF_EXCHANGE, "chargeback", "payment", "reason"),
    "chargeback.opened": (*_OF_EXCHANGE, *_CONTEST),
    "chargeback.updated": (*_OF_EXCHANGE, *_CONTEST),
    "chargeback.won": (*_OF_EXCHANGE, *_CONTEST),
    "chargeback.lost": (*_OF_EXCHANGE, *_CONTEST),
    "chargeback.closed": (
        *_OF_EXCHANGE,
        "chargeback",
        "reason",
        "payment?",
        "amount?",
        "withdrawn?",
        "unit?",
        "due_by?",
    ),
    "chargeback.answered": ("chargeback", "exchange"),
    "chargeback.answer_refused": ("chargeback", "exchange", "failure"),
    "chargeback.left_unanswered": ("chargeback", "exchange", "reason"),
    "chargeback.given_on": (*_OF_EXCHANGE, "amount", "unit"),
    "payee.refused": ("failure",),
    "payouts.stopped": ("reason",),
    "payouts.resumed": ("reason",),
    "reconciliation.resolved": ("resolution", "reason?", "member?"),
    "member.assisted": (
        *_OF_EXCHANGE,
        "member",
        "by",
        "assisted",
        "step",
        "via",
        "helper?",
        "operator?",
        "checkpoint?",
        "case?",
    ),
    "helper.named": ("member", "helper", "may", "of_exchange", "limit", "ends_at", "named_by"),
    "helper.ended": ("member", "helper", "ended_by"),
    "member.paused": ("member", "pause", "from", "until"),
    "member.resumed": ("member", "pause", "from", "until"),
    "message.bounced": ("message", "member", "exchange", "template", "reason"),
    "webhook_endpoint.failing": ("url", "failing_since", "error", "disabled_at"),
    "webhook_endpoint.disabled": ("url", "failing_since", "error", "reason"),
}
#: What every type of a family has.
_OF_FAMILY: Final[Mapping[str, tuple[str, ...]]] = {
    "exchange": (*_OF_EXCHANGE, *_HAND),
    "case": (*_OF_CASE, "helper?"),
    "leg": _LEG,
    "deposit": _OF_EXCHANGE,
    "payee": _PAYEE,
    "bank_payout": _BANK,
    "reconciliation": _DIFFERENCE,
    "webhook_endpoint": ("endpoint",),
}


_SCHEMAS: Final = "#/components/schemas/"


def _object(family: str, names: Sequence[str]) -> dict[str, Any]:
    properties = {}
    for name in names:
        bare = name.rstrip("?")
        properties[bare] = {**(_FIELDS.get(f"{family}.{bare}") or _FIELDS[bare])}
    required = [name for name in names if not name.endswith("?")]
    return {"type": "object", "properties": properties, "required": required}


def _family_schema(family: str) -> str:
    """Return the name of the schema of what every event of a family holds."""
    return "".join(part.title() for part in family.split("_")) + "EventData"


def shared_schemas() -> dict[str, Any]:
    """Return what the schemas of messages refer to, by the names of OpenAPI's components."""
    properties = {
        "id": {**_id("event"), "description": "The webhook-id: keep it, and act once."},
        "type": _TEXT,
        "version": {**_NUMBER, "description": "Of the type: rises when a reader could break."},
        "timestamp": _INSTANT,
        "exchange": _id_or_null("exchange"),
        "member": _id_or_null("member"),
        "sequence": {
            "type": ["integer", "null"],
            "description": "Counts the events of one exchange from 1.",
        },
        "data": {"type": "object"},
    }
    left_out = {
        "const": True,
        "description": "There only where the data would be too large: GET /v1/events has it.",
    }
    return {
        "EventMessage": {
            "type": "object",
            "description": "The body of a webhook.",
            "properties": {**properties, "data_left_out": left_out},
            "required": list(properties),
            "if": {"properties": {"data": {"maxProperties": 0}}},
            "then": {"required": ["data_left_out"]},
        },
        "NoEventData": {
            "type": "object",
            "description": "Of a message with `data_left_out`.",
            "maxProperties": 0,
        },
        **{
            _family_schema(family): {
                **_object(family, names),
                "description": f"What every `{family}.*` holds.",
            }
            for family, names in _OF_FAMILY.items()
        },
    }


def data_schema(type_: str) -> dict[str, Any]:
    """Return the JSON Schema of the ``data`` of a type of event.

    Raises:
        KeyError: there is no such type, or nothing says what it holds; a bug of ours.
    """
    family = TYPES[type_].family
    parts: list[dict[str, Any]] = []
    if family in _OF_FAMILY:
        parts.append({"$ref": _SCHEMAS + _family_schema(family)})
    if type_ in TOLD:
        parts.append(_object(family, TOLD[type_]))
    if not parts:
        raise KeyError(type_)
    return parts[0] if len(parts) == 1 else {"allOf": parts}


def fields_of(type_: str) -> set[str]:
    """Return the names of all fields that the data of a type may have by its schema."""
    names = (*_OF_FAMILY.get(TYPES[type_].family, ()), *TOLD.get(type_, ()))
    return {name.rstrip("?") for name in names}


def message_schema(one: EventType) -> dict[str, Any]:
    """Return the JSON Schema of the body of a webhook about an event of a type."""
    told = {"anyOf": [data_schema(one.name), {"$ref": f"{_SCHEMAS}NoEventData"}]}
    own = {"type": {"const": one.name}, "version": {"const": one.version}, "data": told}
    return {"allOf": [{"$ref": f"{_SCHEMAS}EventMessage"}, {"properties": own}]}
