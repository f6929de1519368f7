"""The export of a case for whoever judges it next, such as a court's conciliator.

All that the case's people have, as one JSON document that ``tierce verify`` can prove: the file as
it was frozen, the journal with its hashes, the list of the evidence, the signed decision, and a
signed extract that binds the journal as a whole, decided or not.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection

from disputes import views
from service.exchanges.casework import TOLD
from service.ids import encode
from service.records import signed
from service.records.decisions import Known, NotDecided, signed_decision
from service.records.signed import instant
from service.records.verify import EXPORT, line_as_said, line_withheld, piece_as_said
from service.sealing import Sealer

#: What the two sides read of the journal. How those who decided came to it, and why somebody asked
#: not to be on the case or may not be, is theirs: of other lines there is the place in the chain
#: alone.
SHOWN: Final = (TOLD - {"declined", "nobody_eligible"}) | {"appeal_time_over", "appeal_not_heard"}


def export(
    connection: Connection,
    sealer: Sealer,
    known: Known,
    viewer: str,
    now: datetime,
) -> dict[str, Any]:
    """Return the export of a case: the same as long as nothing more happens in it.

    It shows the evidence, so it is written down who looked. Mediators get every line of the
    journal, the sides and the platform what they may read of it.

    Args:
        viewer: as the journal names actors: a side, "platform" or "mediator:<id>".

    Raises:
        SigningKeyUnreadable
    """
    case = known.case
    try:
        decision = signed_decision(connection, sealer, known, now)
    except NotDecided:
        decision = None
    whole = viewer.startswith("mediator:")
    evidence = views.see_list(connection, case.platform_id, case.id, viewer, now)
    about = _about(known)
    return {
        **about,
        "type": EXPORT,
        "version": 1,
        "file": case.file,
        "journal": [
            line_as_said(line) if whole or line.type in SHOWN else line_withheld(line)
            for line in known.lines
        ],
        "evidence": [piece_as_said(piece) for piece in evidence],
        "extract": _extract(connection, sealer, known, about, now),
        "decision": decision,
    }


def _about(known: Known) -> dict[str, Any]:
    """Return what the extract signs beside the journal: everything that is short."""
    case = known.case
    people = {"payer": case.payer_id, "payee": case.payee_id}
    return {
        "mode": known.mode,
        "issuer": known.issuer,
        "platform": encode("platform", case.platform_id),
        "case": encode("case", case.id),
        "exchange": encode("exchange", case.subject_id),
        **{side: encode("member", id_) for side, id_ in people.items()},
        "kind": case.kind,
        "cause": case.cause,
        "reason": case.reason,
        "claimant": case.claimant,
        "stage": case.stage,
        "opened_at": instant(case.opened_at),
        "closed_at": None if case.closed_at is None else instant(case.closed_at),
        "lines": [
            {
                "id": str(line.id),
                "leg": encode("leg", line.id),
                "unit": line.unit,
                "decimals": known.units[line.unit].exponent,
                "amount": line.amount,
            }
            for line in case.lines
        ],
        # How many decimals the amounts of file and journal have, which are in minor units.
        "units": {code: unit.exponent for code, unit in known.units.items()},
        # As the journal and the file name what has public ids elsewhere.
        "names": {
            **{str(id_): encode("member", id_) for id_ in people.values()},
            **{str(line.id): encode("leg", line.id) for line in case.lines},
        },
        "file_sha256": case.file_hash,
    }


def _extract(
    connection: Connection, sealer: Sealer, known: Known, about: dict[str, Any], now: datetime
) -> str:
    case, last = known.case, known.lines[-1]
    document = {
        **about,
        "type": "extract",
        "version": 1,
        "journal": {"lines": last.sequence, "last_hash": last.hash.hex(), "at": instant(last.at)},
    }
    return signed.sign(
        connection, sealer, case.platform_id, "extract", case.id, document, now, last.sequence
    )
