"""How long each stage of a case lasts, and that all of them fit before value must be settled.

Precedents and reasons: three working days per answer in direct talk, fourteen days in all; a
decision within two weeks after that; a week to appeal, before value moves.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from disputes.model import Stage

#: By stage: how long it has, and how long when somebody on either side is assisted.
LENGTH: Final = {
    Stage.TALK: (timedelta(days=10), timedelta(days=14)),
    Stage.MEDIATION: (timedelta(days=10), timedelta(days=14)),
    Stage.DECISION: (timedelta(days=7), timedelta(days=7)),
    Stage.SECOND_LOOK: (timedelta(days=2), timedelta(days=2)),
    Stage.APPEALABLE: (timedelta(days=7), timedelta(days=10)),
    Stage.APPEAL: (timedelta(days=7), timedelta(days=7)),
    Stage.RETURNING: (timedelta(days=14), timedelta(days=14)),
    Stage.REPAIRING: (timedelta(days=14), timedelta(days=14)),
}
#: An offer or a proposal, unless its maker says less.
OFFER_LIFE: Final = timedelta(days=3)
#: At the very least a stage lasts this long; a case that begins too late for it is looked at now.
LEAST: Final = timedelta(hours=24)

#: The stages in their order: time for those that may still follow is kept free before the limit.
_ORDER: Final = (
    Stage.TALK,
    Stage.MEDIATION,
    Stage.DECISION,
    Stage.SECOND_LOOK,
    Stage.APPEALABLE,
    Stage.APPEAL,
)


def due(stage: Stage, now: datetime, decide_by: datetime, *, gentle: bool) -> datetime:
    """Return when a stage that begins ``now`` is over.

    Where the time left is too short for all that may follow, what follows keeps half of its time
    and this stage at least :data:`LEAST`; nothing lasts beyond ``decide_by``.
    """
    length = LENGTH[stage][gentle]
    after = _ORDER[_ORDER.index(stage) + 1 :] if stage in _ORDER else ()
    later = sum((LENGTH[one][gentle] for one in after), timedelta())
    room = decide_by - now
    if length + later > room:
        length = max(LEAST, room * (length / (length + later)) if room > timedelta() else LEAST)
    return min(now + length, max(decide_by, now + LEAST))
