"""What we can show a bank about a contested payment, and when it is shown.

Everything comes from what was recorded when it happened: the frozen terms and their hash, both
agreements, each confirmation with its method and instant, the events, the payments. The platform
may add its own words. The names of the fields are Stripe's ("Dispute evidence"), which the sandbox
takes as well; each may hold 20,000 characters and all together 150,000.

An answer is decided first (a row), then sent outside of any transaction, then recorded. The same
answer again is harmless: it is kept as it was decided, and sent as it is kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import orjson
import structlog
from sqlalchemy import Connection, RowMapping, text

from ledger import units
from ledger.refusals import Refusal
from service import db
from service.events import outbox
from service.exchanges import chargebacks, looks, queries
from service.exchanges.decide import Rules
from service.exchanges.desk import Desk
from service.exchanges.evidence_length import FIELD_MOST, lines_within, within
from service.exchanges.kinds import Role
from service.exchanges.model import Exchange, State
from service.ids import encode
from service.operations.dead_letters import loudly
from service.payments import contests
from service.payments.contests import ChargebackOver
from service.payments.port import (
    DisputeStatus,
    Evidence,
    ProviderRefused,
    ProviderUnavailable,
)
from service.platforms import members

_log = structlog.get_logger(__name__)

#: How many answers one round sends.
BATCH: Final = 20
_ANSWERABLE: Final = frozenset({DisputeStatus.WARNING, DisputeStatus.NEEDS_RESPONSE})
_ENDED_BY_BOTH: Final = frozenset({State.COMPLETED, State.SETTLED})


class NothingToShow(Refusal):
    """By our records the payer is right: they have confirmed nothing."""

    code = "nothing_to_show"


@dataclass(frozen=True, slots=True)
class Pack:
    """What would be sent now. ``right``: by our records, the payment was rightly made."""

    fields: Mapping[str, str]
    right: bool


def pack(connection: Connection, row: RowMapping) -> Pack:
    """Put together what we have on a chargeback's exchange, and the platform's own words."""
    platform_id, exchange_id = row["platform_id"], row["exchange_id"]
    exchange = queries.find(connection, platform_id, exchange_id)
    payer = members.find_many(connection, platform_id, [exchange.payer_id])[exchange.payer_id]
    words = queries.confirmations(connection, platform_id, exchange_id)
    paid = queries.payments(connection, platform_id, exchange_id)
    money = _Money(connection, platform_id)
    fields = {
        "product_description": _product(exchange, money),
        "customer_name": payer.name,
        "customer_email_address": payer.email,
        "service_date": _service_date(exchange),
        "access_activity_log": _log_of(connection, exchange),
        "refund_policy_disclosure": _policy(exchange),
        "refund_refusal_explanation": _refusal(exchange, paid, money),
        "uncategorized_text": _statement(exchange, words, paid, money, row["own_words"]),
    }
    kept = {name: value for name, value in fields.items() if value}
    return Pack(within(kept), _is_right(exchange, words))


def _is_right(exchange: Exchange, words: Sequence[RowMapping]) -> bool:
    """Tell whether the payer has said, by word, code or agreement, that they got what they paid."""
    standing: dict[str, str] = {}
    for word in words:
        if word["role"] == Role.PAYER:
            standing[word["checkpoint"]] = word["word"]
    return exchange.state in _ENDED_BY_BOTH or "confirmed" in standing.values()


class _Money:
    """Amounts in words, with the decimals of their unit."""

    def __init__(self, connection: Connection, platform_id: UUID) -> None:
        self._connection, self._platform_id = connection, platform_id

    def __call__(self, amount: int, unit: str) -> str:
        exponent = units.get(self._connection, self._platform_id, unit).exponent
        whole, rest = divmod(amount, 10**exponent)
        return f"{whole}.{rest:0{exponent}} {unit}" if exponent else f"{whole} {unit}"


def _at(instant: datetime | None) -> str:
    if instant is None:
        return "-"
    return instant.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _product(exchange: Exchange, money: _Money) -> str:
    terms = exchange.terms
    lines = [f"A {exchange.kind} between two members of a community: {terms['title']}"]
    if terms.get("description"):
        lines.append(terms["description"])
    lines += [
        f"{leg.role} of {money(leg.amount, leg.unit)} at '{leg.checkpoint}'"
        for leg in exchange.legs
    ]
    return "\n".join(lines)


def _service_date(exchange: Exchange) -> str:
    """Return the day of the last checkpoint that both met, in UTC; nothing without one."""
    met = [point.met_at for point in exchange.checkpoints if point.met_at is not None]
    return max(met).astimezone(UTC).date().isoformat() if met else ""


_EVENTS: Final = text(
    "SELECT type, data, at FROM service.event WHERE platform_id = :platform_id "
    "AND exchange_id = :exchange_id ORDER BY sequence"
)
#: What an event's facts tell a bank; the rest is for programs.
_TOLD: Final = ("by", "checkpoint", "method", "amount", "unit", "to_payer", "to_payee", "failure")


def _log_of(connection: Connection, exchange: Exchange) -> str:
    values = {"platform_id": exchange.platform_id, "exchange_id": exchange.id}
    lines = []
    for row in connection.execute(_EVENTS, values):
        facts = [f"{name} {row.data[name]}" for name in _TOLD if row.data.get(name) is not None]
        lines.append(" ".join([_at(row.at), row.type, *facts]))
    return lines_within(lines, FIELD_MOST)


def _policy(exchange: Exchange) -> str:
    defaults = exchange.terms.get("defaults") or []
    lines = [
        "Both members agreed to these terms before anything was paid. The payment was held and "
        "released only as they say.",
        *(f"- {_default(one)}" for one in defaults),
        f"Terms agreed to: SHA-256 {exchange.terms_hash}",
    ]
    return "\n".join(lines)


def _default(one: Any) -> str:
    return " ".join(str(value) for value in one.values()) if isinstance(one, dict) else str(one)


def _refusal(exchange: Exchange, paid: Sequence[RowMapping], money: _Money) -> str:
    given = [row for row in paid if row["kind"] == "refund" and row["state"] == "succeeded"]
    back = [f"{money(row['amount'], row['unit'])} on {_at(row['settled_at'])}" for row in given]
    if back:
        return "Given back to the payer already: " + "; ".join(back) + "."
    if exchange.state in _ENDED_BY_BOTH:
        return "The payer agreed to the release of the payment and asked for nothing back."
    return ""


def _statement(
    exchange: Exchange,
    words: Sequence[RowMapping],
    paid: Sequence[RowMapping],
    money: _Money,
    own_words: str | None,
) -> str:
    """Tell the exchange in plain text, the platform's own words first."""
    parts = [] if not own_words else ["From the platform:", own_words, ""]
    parts += [
        f"Exchange {encode('exchange', exchange.id)}, {exchange.kind}, now {exchange.state}.",
        f"Proposed {_at(exchange.proposed_at)}; agreed to by the payer "
        f"{_at(exchange.payer_agreed_at)} and by the payee {_at(exchange.payee_agreed_at)}.",
        f"Both agreed to the same terms: SHA-256 {exchange.terms_hash}.",
        "",
        "What was to be handed over or done, and when both said that it was:",
        *(f"- {point.name}: {_at(point.met_at)}" for point in exchange.checkpoints),
        "Confirmations, each recorded when it was given and never changed:",
        *([_word(word) for word in words] or ["(none)"]),
        "",
        "Payments:",
        *(_payment(row, money) for row in paid),
        "",
        "The terms as frozen:",
        orjson.dumps(exchange.terms, option=orjson.OPT_SORT_KEYS).decode(),
    ]
    return "\n".join(parts)


#: How a word came to be on record. A bank is not told that somebody spoke who was spoken for.
_HOW: Final = {
    ("word", "member"): "by their own word",
    ("word", "platform"): "to the platform, which recorded it for them",
    ("code", "member"): "by the hand-over code, told in person by one and entered by the other",
    ("code", "platform"): "by the hand-over code, entered at the platform",
}


def _word(word: RowMapping) -> str:
    how = _HOW.get((word["method"], word["via"]), word["method"])
    return f"{_at(word['at'])} the {word['role']} {word['word']} '{word['checkpoint']}' {how}"


def _payment(row: RowMapping, money: _Money) -> str:
    settled = "" if row["settled_at"] is None else f" on {_at(row['settled_at'])}"
    ref = "" if row["provider_ref"] is None else f", {row['provider']} {row['provider_ref']}"
    return f"- {row['kind']} of {money(row['amount'], row['unit'])}: {row['state']}{settled}{ref}"


def say(connection: Connection, platform_id: UUID, chargeback_id: UUID, words: str | None) -> None:
    """Keep what the platform wants to tell the bank beside what we know.

    Raises:
        ChargebackNotFound
        ChargebackOver: the bank has its answer, or none is taken any more.
    """
    row = contests.lock(connection, platform_id, chargeback_id)
    _must_be_open(row)
    left = None if words else row["left_reason"]  # what is said late may still be in time
    contests.update(connection, row, own_words=words, left_reason=left)


def _must_be_open(row: RowMapping) -> None:
    if row["kind"] != "dispute" or row["status"] not in _ANSWERABLE:
        raise ChargebackOver("The bank takes no answer to this (any more).")
    if row["answered_as"] == row["status"] or _is_decided(row):
        raise ChargebackOver("The bank was answered; most banks take one answer only.")
    if row["evidence_refused"] is not None:
        raise ChargebackOver(f"The provider refused the answer: {row['evidence_refused']}.")


def _is_decided(row: RowMapping) -> bool:
    """Tell whether an answer was decided on and is not with the provider yet."""
    return row["evidence_asked_at"] is not None and row["evidence_sent_at"] is None


def decide(connection: Connection, platform_id: UUID, chargeback_id: UUID, now: datetime) -> None:
    """Decide to answer with what there is now; :func:`send` sends it.

    Raises:
        ChargebackNotFound
        ChargebackOver: the bank has its answer, or none is taken any more.
        NothingToShow: the payer has confirmed nothing and the platform says nothing either.
    """
    row = contests.lock(connection, platform_id, chargeback_id)
    _must_be_open(row)
    made = pack(connection, row)
    if not made.right and not row["own_words"]:
        raise NothingToShow(
            "The payer has confirmed nothing, so by what is recorded they are right. If you know "
            "more, say it first: PUT …/evidence."
        )
    _decide(connection, row, made, now)


def _decide(connection: Connection, row: RowMapping, made: Pack, now: datetime) -> None:
    contests.update(
        connection,
        row,
        evidence=dict(made.fields),
        evidence_asked_at=now,
        evidence_sent_at=None,
        answered_as=None,
        left_reason=None,
        answer_at=now + contests.ANSWER_AGAIN,
    )


def send(desk: Desk, platform_id: UUID, chargeback_id: UUID, now: datetime) -> None:
    """Send what was decided, and write what the provider said; again is harmless.

    If the bank takes no answer any more, the provider is asked whether it has ours: one that was
    taken and whose receipt was lost was given; one that never arrived came too late.

    Raises:
        ProviderUnavailable: nothing is known; a later round sends it again.
    """
    with db.transaction(desk.engine, platform_id) as connection:
        row = contests.find(connection, platform_id, chargeback_id)
    if not _is_decided(row) or row["evidence_refused"] is not None:
        return
    db.outside_transaction()
    provider, ref = desk.providers[row["provider"]], row["ref"]
    try:
        if row["status"] in _ANSWERABLE:
            seen = provider.submit_evidence(platform_id, ref, Evidence(row["evidence"]))
        else:
            seen = provider.retrieve_dispute(platform_id, ref)
    except ProviderRefused as refusal:
        with db.transaction(desk.engine, platform_id) as connection:
            _refused(connection, row, refusal.failure, now)
        return
    with db.transaction(desk.engine, platform_id) as connection:
        rules = Rules(now, desk.codes)
        # The order of locks is the exchange's first; what the answer changed is written after it.
        chargebacks.record(connection, platform_id, row["provider"], seen, rules)
        if not seen.evidence_submitted:
            _refused(connection, row, "too_late", now)
            return
        sent = contests.lock(connection, platform_id, chargeback_id)
        if _is_decided(sent):
            inquiry = row["status"] == DisputeStatus.WARNING
            of = DisputeStatus.WARNING if inquiry else DisputeStatus.NEEDS_RESPONSE
            contests.update(connection, sent, evidence_sent_at=now, answered_as=of, answer_at=None)
            _tell(connection, sent, "chargeback.answered", now)


def _refused(connection: Connection, row: RowMapping, failure: str, now: datetime) -> None:
    row = contests.lock(connection, row["platform_id"], row["id"])
    contests.update(connection, row, evidence_refused=failure, answer_at=None)
    _tell(connection, row, "chargeback.answer_refused", now, failure=failure)


def answer_due(desk: Desk, now: datetime, only: UUID | None = None) -> int:
    """Answer what is due in a day and nobody answered; go on with what was not taken yet.

    Where the payer has confirmed nothing, and the platform has said nothing, the payer is right by
    our records: the bank is left to give the money back, and that is written down. ``only`` keeps
    to one platform.
    """
    with db.transaction(desk.engine, db.SYSTEM) as connection:
        rows = contests.claim_answers(connection, now, BATCH, only)
    done = 0
    for row in rows:
        try:
            if _prepare(desk, row, now):
                send(desk, row["platform_id"], row["id"], now)
            looks.worked(desk.engine, looks.EVIDENCE, row)
            done += 1
        except ProviderUnavailable as error:
            _log.warning("answer_put_off", chargeback=str(row["id"]), error=str(error))
        except Exception as error:  # whatever it is, it must not keep the others waiting
            loudly(_log, error)("answer_put_off", chargeback=str(row["id"]), exc_info=error)
            if not looks.is_outside(error):
                looks.failed(desk.engine, looks.EVIDENCE, row, error, now)
    return done


def _prepare(desk: Desk, claimed: RowMapping, now: datetime) -> bool:
    """Decide the answer if that was not done; tell whether there is one to send."""
    with db.transaction(desk.engine, claimed["platform_id"]) as connection:
        row = contests.lock(connection, claimed["platform_id"], claimed["id"])
        if _is_decided(row):
            return True
        if row["status"] not in _ANSWERABLE:
            contests.update(connection, row, answer_at=None)
            return False
        made = pack(connection, row)
        if made.right or row["own_words"]:
            _decide(connection, row, made, now)
            return True
        why = "the payer has confirmed nothing"
        contests.update(connection, row, left_reason=why, answer_at=None)
        _tell(connection, row, "chargeback.left_unanswered", now, reason=why)
        return False


def _tell(connection: Connection, row: RowMapping, type_: str, now: datetime, **facts: Any) -> None:
    told = {
        "chargeback": encode("chargeback", row["id"]),
        "exchange": encode("exchange", row["exchange_id"]),
        **facts,
    }
    outbox.append(connection, row["platform_id"], [outbox.NewEvent(type_, told)], now)
