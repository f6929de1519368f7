"""What a scripted member does: acts in order, and plans of acts with names. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from service.exchanges.deadlines import deadlines
from service.exchanges.decide import check
from service.exchanges.kinds import Role
from service.exchanges.model import Exchange
from service.exchanges.steps import BY_NAME
from service.sandbox import durations

#: Steps of the table that a member takes by themselves, by the names that the API has for them.
MEMBER_STEPS: Final = (
    "agree",
    "decline",
    "counter_offer",
    "cancel",
    "fund",
    "confirm",
    "withdraw_confirmation",
    "enter_code",
    "propose_cancellation",
    "propose_settlement",
    "accept_proposal",
    "reject_proposal",
)
#: What is not done here: the payer asks their bank for the money back.
DISPUTE: Final = "dispute"
DOABLE: Final = (*MEMBER_STEPS, DISPUTE)
#: How often a plan does again what can come again: no exchange has more checkpoints.
_AGAIN: Final = 20
#: The part of a price, in percent, that a counter-offer keeps and a settlement gives the payee.
USUAL_PERCENT: Final[Mapping[str, int]] = {"counter_offer": 90, "propose_settlement": 50}


@dataclass(frozen=True, slots=True)
class Act:
    """One thing that a member does.

    ``after``: how long after it can be done. With ``before_deadline`` it is done so long before the
    next deadline instead. ``method``: how a payment is paid. ``percent``: of the price.
    """

    do: str
    after: timedelta = timedelta()
    before_deadline: timedelta | None = None
    method: str | None = None
    percent: int | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the act as it is kept and shown."""
        before = self.before_deadline
        return {
            "do": self.do,
            "after": durations.say(self.after) if before is None else None,
            "before_deadline": None if before is None else durations.say(before),
            "method": self.method,
            "percent": self.percent,
        }


def from_json(kept: Mapping[str, Any]) -> Act:
    """Return an act that was kept."""
    before = kept["before_deadline"]
    return Act(
        kept["do"],
        timedelta() if kept["after"] is None else durations.read(kept["after"]),
        None if before is None else durations.read(before),
        kept["method"],
        kept["percent"],
    )


_Plan = Callable[[timedelta], Sequence[Act]]
#: Plans by name: what each does, given how long it waits each time it could act.
PLANS: Final[Mapping[str, _Plan]] = {
    "stays_silent": lambda _after: (),
    "agrees": lambda after: (Act("agree", after),),
    "declines": lambda after: (Act("decline", after),),
    "counter_offers": lambda after: (Act("counter_offer", after),),
    "cancels": lambda after: (Act("cancel", after),),
    "pays": lambda after: (Act("fund", after),),
    # In the last second, by a debit that takes a while: it was under way in time.
    "pays_late": lambda _after: (
        Act("fund", before_deadline=timedelta(seconds=1), method="pm_sandbox_slow"),
    ),
    "confirms_after": lambda after: (Act("confirm", after),) * _AGAIN,
    "enters_code": lambda after: (Act("enter_code", after),) * _AGAIN,
    "offers_to_cancel": lambda after: (Act("propose_cancellation", after),),
    "offers_settlement": lambda after: (Act("propose_settlement", after),),
    "accepts_offers": lambda after: (Act("accept_proposal", after),) * _AGAIN,
    "rejects_offers": lambda after: (Act("reject_proposal", after),) * _AGAIN,
    "claims": lambda after: (Act("claim", after),),
    "disputes": lambda after: (Act(DISPUTE, after),),
    "cooperates": lambda after: (
        Act("agree", after),
        Act("fund", after),
        *(Act("confirm", after),) * _AGAIN,
    ),
}


@dataclass(frozen=True, slots=True)
class Next:
    """Which act of a script comes next, and when."""

    place: int
    at: datetime


def next_act(
    acts: Sequence[Act],
    place: int,
    exchange: Exchange,
    side: Role,
    possible_since: datetime,
    now: datetime,
    *,
    disputable: bool,
) -> Next | None:
    """Return the first act from ``place`` on that can be done now, and when it will be.

    Acts before it whose time has passed, or never came, are passed over. None: nothing of the
    script can be done as things stand.

    Args:
        possible_since: when what can be done now became possible.
        disputable: whether a payment was collected that its bank can take back.
    """
    for index, act in enumerate(acts[place:], place):
        if act.do == DISPUTE:
            possible = disputable and side is Role.PAYER
        else:
            possible = check(exchange, BY_NAME[act.do], side, now) is None
        if not possible:
            continue
        if act.before_deadline is None:
            return Next(index, possible_since + act.after)
        ends = [line.due_at for line in deadlines(exchange) if line.name != "remind_at"]
        if ends:
            return Next(index, max(possible_since, min(ends) - act.before_deadline))
    return None
