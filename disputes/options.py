"""What a side can do next in a case: the steps that would be taken if asked for now.

Pure. Each is tried on the case as a value, so that nothing is offered that would be refused.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID

from disputes.acts import take
from disputes.commands import Command
from disputes.model import Case
from disputes.outcomes import Outcome, Side
from disputes.rulings import GROUNDS
from disputes.steps import STEPS, By, Step
from ledger.refusals import Refusal

#: Who of the table is a side of the case.
PARTIES: Final = frozenset({By.PARTY, By.CLAIMANT, By.OFFERER, By.OFFEREE, By.PAYER, By.PAYEE})
#: What a trial names where a step makes something: it is thrown away with the trial.
_TRIAL: Final = UUID(int=0)


def open_steps(case: Case, side: Side, now: datetime) -> list[Step]:
    """Return the steps that ``side`` can take now, in the order of the table."""
    return [step for step in STEPS if step.by in PARTIES and _would_be_taken(case, step, side, now)]


def _would_be_taken(case: Case, step: Step, side: Side, now: datetime) -> bool:
    answered = case.proposal if step.name.endswith("_proposal") else case.offer
    command = Command(
        step.name,
        _TRIAL,
        member_id=case.payer_id if side is Side.PAYER else case.payee_id,
        outcome=Outcome.TO_PAYER,
        text="-",
        reason_code=min(GROUNDS),
        about=None if answered is None else answered.id,
    )
    try:
        take(case, command, now)
    except Refusal:
        return False
    return True
