"""The signed decision of a case: what was asked, decided and paid, by whom, and on which journal.

It is made of rows that do not change any more: a closed case, or one whose decision both sides were
told, with the journal up to the line that told them. What came later has a document of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection

from disputes import journal, store
from disputes.journal import Line
from disputes.model import Case, Ruling, Stage
from disputes.refusals import CaseNotFound
from ledger import units
from ledger.refusals import Refusal
from ledger.units import Unit
from service.ids import encode
from service.platforms import platforms
from service.records import signed
from service.records.signed import instant
from service.sealing import Sealer

#: The lines by which both sides are told a decision.
_TELLS: Final = frozenset({"decided", "appeal_decided"})
#: A decision is told while the case goes on in one of these.
_TOLD: Final = frozenset({Stage.APPEALABLE, Stage.APPEAL, Stage.RETURNING})


class NotDecided(Refusal):
    """Nobody was told a decision of this case yet, and it has not ended otherwise."""

    code = "not_decided_yet"


@dataclass(frozen=True, slots=True)
class Known:
    """A case with its journal and what else its documents say."""

    case: Case
    lines: Sequence[Line]
    #: "live" or "sandbox".
    mode: str
    #: The base address of the instance, where its keys are published.
    issuer: str
    #: Of all amounts, by code: how many decimals they have.
    units: Mapping[str, Unit]


def read(connection: Connection, platform_id: UUID, case_id: UUID, issuer: str) -> Known:
    """Return a case of the platform.

    Raises:
        CaseNotFound
    """
    case = store.load(connection, platform_id, [case_id], lock=False).get(case_id)
    if case is None:
        raise CaseNotFound("No case with this id.")
    lines = journal.read(connection, platform_id, case_id)
    codes = {line.unit for line in case.lines} | _units(case.file)
    codes |= {one["unit"] for one in _extras(lines)}
    used = units.find_many(connection, platform_id, codes)
    return Known(case, lines, platforms.find(connection, platform_id).mode, issuer, used)


def _units(value: Any) -> set[str]:
    """Return every unit that JSON speaks of, however deep: what was agreed has its own."""
    if isinstance(value, list):
        return set().union(*(_units(one) for one in value))
    if not isinstance(value, dict):
        return set()
    own = {value["unit"]} if isinstance(value.get("unit"), str) else set()
    return own.union(*(_units(one) for one in value.values()))


def signed_decision(connection: Connection, sealer: Sealer, known: Known, now: datetime) -> str:
    """Return the signed decision of a case: the last one that both sides were told.

    Raises:
        NotDecided, SigningKeyUnreadable
    """
    case, said = known.case, document(known)
    part: int = said["journal"]["lines"]
    return signed.sign(connection, sealer, case.platform_id, "decision", case.id, said, now, part)


def document(known: Known) -> dict[str, Any]:
    """Return what is signed of a case.

    Raises:
        NotDecided
    """
    case = known.case
    told = _telling(known)
    before = [line for line in known.lines if line.sequence <= told.sequence]
    ruling = case.ruling if _is_told(before) else None
    outcome = case.outcome if case.closed_at is not None or ruling is None else ruling.outcome
    to_payee = case.settlement if case.closed_at is not None or ruling is None else ruling.to_payee
    return {
        "type": "decision",
        "version": 1,
        "issuer": known.issuer,
        "mode": known.mode,
        "platform": encode("platform", case.platform_id),
        "case": encode("case", case.id),
        "exchange": encode("exchange", case.subject_id),
        "payer": encode("member", case.payer_id),
        "payee": encode("member", case.payee_id),
        "kind": case.kind,
        "cause": case.cause,
        "reason": case.reason,
        "claimant": case.claimant,
        "question": case.file.get("question"),
        "outcomes": case.file.get("outcomes"),
        "file_sha256": case.file_hash,
        "opened_at": instant(case.opened_at),
        "told_at": instant(told.at),
        "closed_at": None if case.closed_at is None else instant(case.closed_at),
        # Until then either side may ask for other people, or goods are on their way back.
        "final": case.closed_at is not None,
        "ended_by": _ended_by(before) if case.closed_at is not None else None,
        "outcome": outcome,
        "lines": _lines(known, to_payee),
        "extra": _extra(known, before),
        "decision": _lifted(before[-1]) if ruling is None else _ruling(ruling),
        "appeal": _appeal(case, before),
        "journal": {"lines": told.sequence, "last_hash": told.hash.hex()},
    }


def _telling(known: Known) -> Line:
    """Return the line that told both sides how it ends, or was decided."""
    case, lines = known.case, reversed(known.lines)
    if case.closed_at is not None:
        return next(line for line in lines if line.at <= case.closed_at)
    if case.stage in _TOLD and case.ruling is not None:
        return next(line for line in lines if line.type in _TELLS)
    raise NotDecided("This case is not decided yet.", stage=case.stage)


def _is_told(lines: Sequence[Line]) -> bool:
    """Tell whether the ruling that the case has is one that both sides know.

    One that a second mediator had not read when the limit came is nobody's to see; nor is what a
    disputed return has undone.
    """
    told = [line.sequence for line in lines if line.type in _TELLS]
    undone = [line.sequence for line in lines if line.type == "return_disputed"]
    return max(told, default=0) > max(undone, default=0)


def _ended_by(lines: Sequence[Line]) -> str:
    """Return what ended the case: the line before the one that closes it, or what did so itself."""
    last = lines[-1]
    return last.type if last.type != "closed" else lines[-2].type


def _lines(known: Known, to_payee: Mapping[UUID, int] | None) -> list[dict[str, Any]]:
    return [
        {
            "leg": encode("leg", line.id),
            "unit": line.unit,
            "decimals": known.units[line.unit].exponent,
            "amount": line.amount,
            # Nothing is shared out by a claim that was withdrawn.
            "to_payee": None if to_payee is None else to_payee[line.id],
            "to_payer": None if to_payee is None else line.amount - to_payee[line.id],
        }
        for line in known.case.lines
    ]


def _extras(lines: Sequence[Line]) -> list[Mapping[str, Any]]:
    """Return what was offered beside what is disputed, such as hours, by each offer that did."""
    return [line.data["extra"] for line in lines if line.data.get("extra") is not None]


def _extra(known: Known, lines: Sequence[Line]) -> dict[str, Any] | None:
    """Return what one side gave the other beside, by the offer that ended the case."""
    if lines[-1].type != "closed" or lines[-2].type != "offer_accepted":
        return None
    offer = next(line for line in reversed(lines) if line.type == "offer_made")
    extra = offer.data.get("extra")
    if extra is None:
        return None
    unit = known.units[extra["unit"]]
    return {
        "by": extra["by"],
        "unit": unit.code,
        "decimals": unit.exponent,
        "amount": extra["amount"],
    }


def _ruling(ruling: Ruling) -> dict[str, Any]:
    second = ruling.seconded_by
    return {
        "reason_code": ruling.reason_code,
        "reasons": ruling.reasons,
        "made_at": instant(ruling.made_at),
        "by": [encode("mediator", one) for one in ruling.by],
        "seconded_by": None if second is None else encode("mediator", second),
    }


def _lifted(last: Line) -> dict[str, Any] | None:
    """Return why a mediator found nothing wrong with what was flagged, if that ended the case."""
    if last.type != "flag_lifted":
        return None
    by = UUID(last.actor.removeprefix("mediator:"))
    return {
        "reason_code": last.data["reason_code"],
        "reasons": last.data["reasons"],
        "made_at": instant(last.at),
        "by": [encode("mediator", by)],
        "seconded_by": None,
    }


def _appeal(case: Case, lines: Sequence[Line]) -> dict[str, Any] | None:
    if case.appeal is None or not any(line.type == "appealed" for line in lines):
        return None
    heard = next((line for line in reversed(lines) if line.type == "appeal_decided"), None)
    return {
        "by": case.appeal.by,
        "ground": case.appeal.ground,
        "made_at": instant(case.appeal.made_at),
        "panel": [encode("mediator", one) for one in case.appeal.panel],
        # Not heard in time: the decision stands.
        "heard": heard is not None,
        "changed": heard is not None and not heard.data["stands"],
    }
