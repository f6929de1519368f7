"""The one table of a case's steps: who may do what, at which stage, and what time does.

Everything that shows or decides what can happen next in a case reads this table, like that of
exchanges.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from disputes.model import Stage


class By(StrEnum):
    """Who takes a step of a case."""

    PARTY = "party"
    CLAIMANT = "claimant"
    OFFERER = "offerer"  # the side whose offer is open
    OFFEREE = "offeree"  # the other side
    PAYER = "payer"
    PAYEE = "payee"
    MEDIATOR = "mediator"  # the one to whom the case is assigned
    SECOND = "second"  # the other one, who reads the decision
    PANEL = "panel"  # each of those who hear the appeal
    SYSTEM = "system"  # the draw
    CLOCK = "clock"


@dataclass(frozen=True, slots=True)
class Step:
    """One row: ``by`` may bring a case from a stage in ``from_`` to one in ``to``.

    ``outcome`` says in plain words what it means; a step of the clock is taken when the stage's
    time is over.
    """

    name: str
    by: By
    from_: frozenset[Stage]
    to: frozenset[Stage]
    outcome: str


def _stages(*stages: Stage) -> frozenset[Stage]:
    return frozenset(stages)


_T, _M, _D, _S, _W, _A, _R, _F, _C = (
    Stage.TALK,
    Stage.MEDIATION,
    Stage.DECISION,
    Stage.SECOND_LOOK,
    Stage.APPEALABLE,
    Stage.APPEAL,
    Stage.RETURNING,
    Stage.REPAIRING,
    Stage.CLOSED,
)
_END: Final = _stages(_R, _C)
_AGREED: Final = _stages(_R, _F, _C)
_OPEN: Final = _stages(_T, _M, _D)

STEPS: Final = (
    Step("make_offer", By.PARTY, _OPEN, _OPEN, "If the other accepts, it is carried out at once."),
    Step("withdraw_offer", By.OFFERER, _OPEN, _OPEN, "Your offer is taken back."),
    Step("reject_offer", By.OFFEREE, _OPEN, _OPEN, "The offer ends; nothing moves."),
    Step("accept_offer", By.OFFEREE, _OPEN, _AGREED, "The offer is carried out at once."),
    Step(
        "withdraw_claim",
        By.CLAIMANT,
        _stages(_T, _M, _D),
        _stages(_C),
        "The exchange goes on as if nothing had been claimed.",
    ),
    Step("call_mediator", By.PARTY, _stages(_T), _stages(_M), "A neutral person joins."),
    Step("end_talk", By.CLOCK, _stages(_T), _stages(_M), "Not settled in time: a neutral joins."),
    Step("propose", By.MEDIATOR, _stages(_M), _stages(_M), "It holds when both have accepted it."),
    Step(
        "accept_proposal",
        By.PARTY,
        _stages(_M),
        _stages(_M, _R, _F, _C),
        "When both have accepted, it is carried out at once.",
    ),
    Step("reject_proposal", By.PARTY, _stages(_M), _stages(_D), "The neutral decides."),
    Step("end_mediation", By.CLOCK, _stages(_M), _stages(_D), "Not settled: the neutral decides."),
    Step(
        "decide",
        By.MEDIATOR,
        _stages(_M, _D),
        _stages(_S, _W),
        "Both are told; it is carried out when the time to appeal is over.",
    ),
    Step("agree_with", By.SECOND, _stages(_S), _stages(_W), "Two agree: both sides are told."),
    Step("send_back", By.SECOND, _stages(_S), _stages(_D), "It is decided again."),
    Step(
        "reassign",
        By.CLOCK,
        _stages(_D, _S),
        _stages(_D, _S),
        "No word in time: it goes to somebody else, and both are told.",
    ),
    Step("appeal", By.PARTY, _stages(_W), _stages(_A), "Other people look again."),
    Step("end_appeal_time", By.CLOCK, _stages(_W), _END, "The decision is carried out."),
    Step("vote", By.PANEL, _stages(_A), _stages(_A, _R, _C), "What most of them decide holds."),
    Step("end_appeal", By.CLOCK, _stages(_A), _END, "No answer in time: the decision stands."),
    Step("mark_returned", By.PAYER, _stages(_R), _stages(_R), "You say that it went back."),
    Step("confirm_returned", By.PAYEE, _stages(_R), _stages(_C), "The payer gets the money back."),
    Step(
        "end_return",
        By.CLOCK,
        _stages(_R),
        _stages(_D, _C),
        "Not returned: the payee is paid. If the payer says it was, a neutral decides.",
    ),
    Step("mark_repaired", By.PAYEE, _stages(_F), _stages(_F), "You say that it is mended."),
    Step("confirm_repaired", By.PAYER, _stages(_F), _stages(_C), "It goes on as agreed."),
    Step(
        "reject_repair", By.PAYER, _stages(_F), _stages(_D), "It is not mended: a neutral decides."
    ),
    Step("end_repair", By.CLOCK, _stages(_F), _stages(_D), "Not confirmed: a neutral decides."),
    Step(
        "reach_limit",
        By.CLOCK,
        _stages(_T, _M, _D, _S),
        _stages(_C),
        "Nobody could decide in time: what the terms presume for this reason holds.",
    ),
    Step(
        "lift_flag",
        By.MEDIATOR,
        _stages(_M, _D),
        _stages(_C),
        "Nothing is wrong with what was flagged: the exchange goes on as agreed.",
    ),
    Step(
        "moot",
        By.SYSTEM,
        _stages(_T, _M, _D, _S, _W, _A, _R, _F),
        _stages(_C),
        "What it was about has found its end without it.",
    ),
    Step(
        "challenge",
        By.PARTY,
        _stages(_M, _D, _S, _A),
        _stages(_M, _D, _S, _A),
        "Somebody else takes the case; once for each side.",
    ),
)
BY_NAME: Final = {step.name: step for step in STEPS}
