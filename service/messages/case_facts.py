"""What a message about a case can speak of: its line in the journal, and the case as it stands."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from textwrap import wrap
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, text

from disputes.model import Case, Cause, Stage
from disputes.outcomes import MOVES_NOTHING, Outcome, Side
from ledger import units
from ledger.units import Unit
from service.exchanges import cases
from service.exchanges.kinds import Role
from service.exchanges.model import Exchange, LegState
from service.ids import decode
from service.messages import words
from service.messages.compose import Recipient

#: What every message has of a case, where its template uses it. ``mine`` and ``theirs`` are amounts
#: in words; ``said`` is what somebody wrote, made harmless, in as many paragraphs as they wrote.
NOTHING: Final[Mapping[str, Any]] = {
    "cause": None,
    "claim": None,
    "disputed": None,
    "stage": None,
    "outcome": None,
    "mine": None,
    "theirs": None,
    "extra_mine": None,
    "extra_theirs": None,
    "said": None,
    "asked": None,
    "neutral": None,
    "stands": False,
    "flagged": False,
    "task": None,
}

_ENTRY: Final = text(
    "SELECT type, actor, data FROM disputes.entry WHERE platform_id = :platform_id "
    "AND case_id = :case_id AND sequence = :sequence"
)
_NEUTRAL: Final = text("SELECT name FROM disputes.mediator WHERE id = :id")
_EXTRA: Final = text(
    "SELECT o.data->'extra' FROM disputes.entry AS o WHERE o.platform_id = :platform_id "
    "AND o.case_id = :case_id AND o.type = 'offer_made' AND EXISTS (SELECT FROM disputes.entry "
    "AS a WHERE a.platform_id = o.platform_id AND a.case_id = o.case_id "
    "AND a.type = 'offer_accepted') ORDER BY o.sequence DESC LIMIT 1"
)
_LIMIT: Final = text(
    "SELECT EXISTS (SELECT FROM disputes.entry WHERE platform_id = :platform_id "
    "AND case_id = :case_id AND type = 'limit_reached')"
)

#: Somebody's text is made harmless in pieces of so many characters.
_PIECE: Final = 100


def case_id_of(facts: Mapping[str, Any]) -> UUID | None:
    """Return the case that a message is about, None if it is about none."""
    told: str | None = facts.get("case")
    return None if told is None else decode("case", told)


def of_case(
    connection: Connection,
    exchange: Exchange,
    member_id: UUID,
    recipient: Recipient,
    facts: Mapping[str, Any],
) -> dict[str, Any]:
    """Return what can be said of the case that ``facts`` name to one of its two sides.

    Raises:
        CaseNotFound: the platform has no such case.
    """
    case_id = case_id_of(facts)
    assert case_id is not None
    case = cases.find(connection, exchange.platform_id, case_id)
    side, locale = case.side_of(member_id), recipient.locale
    assert side is not None
    key = {"platform_id": case.platform_id, "case_id": case.id}
    values = {**key, "sequence": facts.get("entry")}
    entry = connection.execute(_ENTRY, values).one_or_none()
    type_: str = "" if entry is None else entry.type
    data: Mapping[str, Any] = {} if entry is None else entry.data
    if type_ == "closed" and (extra := connection.execute(_EXTRA, key).scalar_one_or_none()):
        data = {**data, "extra": extra}
    known = units.find_many(connection, case.platform_id, _units(case, data))
    said = words.catalogue(locale, "disputes")
    due = _due(case, type_, facts, data)
    limit = case.closed_at is not None and connection.execute(_LIMIT, key).scalar_one()
    return {
        "cause": str(case.cause),
        "claim": said["reasons"][case.reason],
        "disputed": words.several(_sum(case, {}), known, locale),
        "stage": "limit" if limit else facts.get("stage"),
        "due": None if due is None else words.instant(due, recipient.time_zone, locale),
        "said": _said(case, type_, side, data),
        "asked": _asked(type_, said, data),
        "neutral": _neutral(connection, case),
        "stands": bool(data.get("stands")),
        "flagged": case.cause is Cause.FRAUD,
        "task": _task(data, locale),
        **_amounts(case, exchange, side, data, known, locale),
    }


def _units(case: Case, data: Mapping[str, Any]) -> set[str]:
    extra = data.get("extra")
    return {line.unit for line in case.lines} | ({extra["unit"]} if extra else set())


def _due(
    case: Case, type_: str, facts: Mapping[str, Any], data: Mapping[str, Any]
) -> datetime | None:
    """Return by when the side can act: what an offer or a question says, else the stage's end."""
    open_ = {"offer_made": case.offer, "proposal_made": case.proposal}.get(type_)
    if open_ is not None:
        return open_.expires_at
    told = data.get("due_at") or facts.get("due_at")
    return None if told is None else datetime.fromisoformat(told)


def _said(case: Case, type_: str, side: Side, data: Mapping[str, Any]) -> str | None:
    """Return what somebody wrote to this side with the step, in their own words."""
    if type_ == "opened":
        written = "" if case.claimant is side else str(case.file.get("text", ""))
    else:
        written = data.get("reasons") or data.get("text") or ""
    return quoted(written) or None


def quoted(written: str) -> str:
    """Return what somebody wrote, in its paragraphs, so that it can do no harm inside of ours."""
    kept = []
    for paragraph in written.splitlines():
        pieces = wrap(paragraph, _PIECE, break_on_hyphens=False)
        kept.append(" ".join(words.clean(piece) for piece in pieces).strip())
    return "\n\n".join(one for one in kept if one)


def _asked(type_: str, said: Mapping[str, Any], data: Mapping[str, Any]) -> str | None:
    if type_ != "evidence_requested":
        return None
    question, sort = data.get("question"), data.get("sort")
    found: str = said["questions"][question] if question else said["sorts"][sort]
    return found


def _neutral(connection: Connection, case: Case) -> str | None:
    if case.mediator_id is None:
        return None
    name = connection.execute(_NEUTRAL, {"id": case.mediator_id}).scalar_one_or_none()
    return None if name is None else words.clean(name)


def _sum(case: Case, less: Mapping[str, int]) -> dict[str, int]:
    """Return what is disputed of each unit, less what of each line somebody else gets."""
    total: dict[str, int] = {}
    for line in case.lines:
        part = line.amount - less.get(str(line.id), 0)
        total[line.unit] = total.get(line.unit, 0) + part
    return total


def _amounts(
    case: Case,
    exchange: Exchange,
    side: Side,
    data: Mapping[str, Any],
    known: Mapping[str, Unit],
    locale: str,
) -> dict[str, Any]:
    """Return how it ends or would end: in words, and what each side gets of what is disputed."""
    named = data.get("outcome") or (case.outcome if case.closed_at is not None else None)
    if named is None:
        return {}
    outcome = Outcome(named)
    phrase = words.catalogue(locale, "disputes")["outcomes"][outcome]
    found: dict[str, Any] = {"outcome": phrase[:1].lower() + phrase[1:]}
    extra = data.get("extra")
    if extra:
        given = words.amount(extra["amount"], known[extra["unit"]], locale)
        found["extra_theirs" if extra["by"] == side else "extra_mine"] = given
    if outcome in MOVES_NOTHING or "to_payee" not in data:
        return found
    settled = _settled(case, exchange) if case.stage is Stage.CLOSED else None
    to_payee = _of_lines(case, data["to_payee"])
    payer, payee = settled or (_sum(case, data["to_payee"]), to_payee)
    mine, theirs = (payer, payee) if side is Side.PAYER else (payee, payer)
    return found | {
        "mine": words.several(mine, known, locale),
        "theirs": words.several(theirs, known, locale),
    }


def _of_lines(case: Case, parts: Mapping[str, int]) -> dict[str, int]:
    total: dict[str, int] = {}
    for line in case.lines:
        total[line.unit] = total.get(line.unit, 0) + parts.get(str(line.id), 0)
    return total


def _settled(case: Case, exchange: Exchange) -> tuple[dict[str, int], dict[str, int]] | None:
    """Return what payer and payee really got of what was disputed, after fees; None: not yet."""
    legs = [leg for leg in exchange.legs if leg.id in {line.id for line in case.lines}]
    if any(leg.state is not LegState.SETTLED or leg.share is None for leg in legs):
        return None
    got: dict[Role, dict[str, int]] = {Role.PAYER: {}, Role.PAYEE: {}}
    for leg in legs:
        assert leg.share is not None
        for role, part in ((Role.PAYER, leg.share.to_payer), (Role.PAYEE, leg.share.to_payee)):
            got[role][leg.unit] = got[role].get(leg.unit, 0) + part
    return got[Role.PAYER], got[Role.PAYEE]


def _task(data: Mapping[str, Any], locale: str) -> str | None:
    """Return what a reminder reminds of, None for everything else."""
    about = data.get("about") if data.get("side") is not None else None
    if about is None:
        return None
    tasks: Mapping[str, str] = words.catalogue(locale, "words")["case_tasks"]
    return tasks[about]
