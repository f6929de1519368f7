"""The export of a case for whoever judges it next, such as a court's conciliator.

All that the case's people have, as one JSON document that ``tierce verify`` can prove: the file as
it was frozen, the journal with its hashes, the list of the evidence, the signed decision, and a
signed extract that binds the journal as a whole, decided or not.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from disputes.model import Case
from service.ids import encode
from service.records import signed
from service.records.decisions import Known, NotDecided, signed_decision
from service.records.signed import instant
from service.records.verify import EXPORT, line_as_said
from service.sealing import Sealer


def export(connection: Connection, sealer: Sealer, known: Known, now: datetime) -> dict[str, Any]:
    """Return the export of a case: the same as long as nothing more happens in it.

    Raises:
        SigningKeyUnreadable
    """
    case = known.case
    try:
        decision = signed_decision(connection, sealer, known, now)
    except NotDecided:
        decision = None
    return {
        "type": EXPORT,
        "version": 1,
        "mode": known.mode,
        "issuer": known.issuer,
        "platform": encode("platform", case.platform_id),
        "case": encode("case", case.id),
        "exchange": encode("exchange", case.subject_id),
        # As the journal and the file name what has public ids elsewhere.
        "names": _names(case),
        "stage": case.stage,
        "opened_at": instant(case.opened_at),
        "closed_at": None if case.closed_at is None else instant(case.closed_at),
        "file": case.file,
        "file_sha256": case.file_hash,
        "journal": [line_as_said(line) for line in known.lines],
        "extract": _extract(connection, sealer, known, now),
        "decision": decision,
    }


def _names(case: Case) -> dict[str, str]:
    people = {"payer": case.payer_id, "payee": case.payee_id}
    return {
        **{str(id_): encode("member", id_) for id_ in people.values()},
        **{str(line.id): encode("leg", line.id) for line in case.lines},
    }


def _extract(connection: Connection, sealer: Sealer, known: Known, now: datetime) -> str:
    case, last = known.case, known.lines[-1]
    document = {
        "type": "extract",
        "version": 1,
        "issuer": known.issuer,
        "mode": known.mode,
        "platform": encode("platform", case.platform_id),
        "case": encode("case", case.id),
        "exchange": encode("exchange", case.subject_id),
        "file_sha256": case.file_hash,
        "journal": {"lines": last.sequence, "last_hash": last.hash.hex(), "at": instant(last.at)},
    }
    return signed.sign(
        connection, sealer, case.platform_id, "extract", case.id, document, now, last.sequence
    )
