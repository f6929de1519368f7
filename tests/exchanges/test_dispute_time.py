"""However slowly everybody acts, a case ends before what is held must go back to the payer."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import product
from typing import Final
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from disputes import clocks
from disputes.acts import take
from disputes.cases import clock_step
from disputes.commands import Command, Move
from disputes.model import Case, Cause, Stage
from disputes.outcomes import Line, Outcome
from disputes.reasons import REASONS, Reason
from disputes.steps import STEPS, By
from ledger.refusals import Refusal
from service.exchanges.claims import check_open
from service.exchanges.deadlines import decide_case_by, refund_at
from service.exchanges.model import Exchange
from service.exchanges.refusals import NothingToDispute
from tests.exchanges.court import REASONS as WORDS
from tests.exchanges.world import START, World

TICK: Final = timedelta(microseconds=1)
#: Value has to be sent before the time to hold it is over: this much is left at the very least.
TO_PAY: Final = timedelta(days=1)


@pytest.fixture
def exchange(world: World) -> Exchange:
    """A sale that was paid at ``START``."""
    return world.funded(world.sale())


def opened(exchange: Exchange, reason: Reason, at: datetime, panel: int, *, gentle: bool) -> Case:
    """A case as it is opened on the exchange."""
    stage = Stage.MEDIATION if reason.at_once else Stage.TALK
    limit = decide_case_by(exchange, at)
    return Case(
        platform_id=uuid4(),
        id=uuid4(),
        subject_id=exchange.id,
        kind=exchange.kind,
        cause=Cause.CLAIM,
        reason=reason.code,
        claimant=sorted(reason.by)[0],
        payer_id=exchange.payer_id,
        payee_id=exchange.payee_id,
        lines=(Line(uuid4(), "EUR", 3),),
        stage=stage,
        stage_since=at,
        due_at=clocks.due(stage, at, limit, gentle=gentle),
        decide_by=limit,
        opened_at=at,
        version=1,
        file={"panel": panel},
        file_hash="",
        gentle=gentle,
        mediator_id=uuid4() if reason.at_once else None,
    )


def drawn(move: Move) -> Case:
    """Somebody new is always there: that takes the longest."""
    case = move.case
    if not move.draw:
        return case
    if case.stage is Stage.SECOND_LOOK:
        return replace(case, second_id=uuid4())
    if case.stage is Stage.APPEAL and case.appeal is not None:
        people = tuple(uuid4() for _ in range(case.file["panel"]))
        return replace(case, appeal=replace(case.appeal, panel=people))
    return replace(case, mediator_id=uuid4())


def tried(case: Case, name: str, outcome: Outcome, at: datetime) -> Case:
    """Take a step as whoever may take it; the case as it is where they may not."""
    step = next(one for one in STEPS if one.name == name)
    panel = () if case.appeal is None else case.appeal.panel
    free = [one for one in panel if case.appeal is not None and one not in case.appeal.votes]
    neutral = {By.MEDIATOR: case.mediator_id, By.SECOND: case.second_id}
    neutral[By.PANEL] = free[0] if free else None
    of_payee = step.by is By.PAYEE or name == "make_offer"
    member = case.payee_id if of_payee else case.payer_id
    about = case.offer or case.proposal
    command = Command(
        name,
        uuid4(),
        member_id=None if step.by in neutral else member,
        mediator_id=neutral.get(step.by),
        outcome=outcome,
        split={line.id: 1 for line in case.lines} if outcome is Outcome.SPLIT else None,
        text=WORDS,
        reason_code="procedure" if name == "appeal" else "evidence",
        about=None if about is None else about.id,
        needs_second=True,
    )
    try:
        return drawn(take(case, command, at))
    except Refusal:
        return case


def chosen(case: Case, choice: tuple[int, int], at: datetime) -> Case:
    """Take the step and the outcome of a choice, or the next outcome that is open."""
    step, outcome = choice
    names = _SLOW[case.stage]
    for further in range(len(_OUTCOMES)):
        name = names[step % len(names)]
        changed = tried(case, name, _OUTCOMES[(outcome + further) % len(_OUTCOMES)], at)
        if changed is not case:
            return changed
    return case


def acts_at(case: Case) -> datetime:
    """When the clock has something to do in a case."""
    limited = any(one.name == "reach_limit" and case.stage in one.from_ for one in STEPS)
    return min(case.due_at, case.decide_by) if limited else case.due_at


#: What makes a case last, by its stage; the outcomes that make it last longest are named first.
_SLOW: Final = {
    Stage.TALK: ("make_offer", "accept_offer", "call_mediator"),
    Stage.MEDIATION: ("propose", "reject_proposal", "decide", "decide", "challenge"),
    Stage.DECISION: ("decide", "decide", "decide", "challenge"),
    Stage.SECOND_LOOK: ("agree_with", "agree_with", "send_back", "challenge"),
    Stage.APPEALABLE: ("appeal",),
    Stage.APPEAL: ("vote", "vote", "vote", "challenge"),
    Stage.RETURNING: ("mark_returned",),
    Stage.REPAIRING: ("reject_repair", "mark_repaired"),
}
_OUTCOMES: Final = (Outcome.RETURN_THEN_REFUND, Outcome.TO_PAYEE, Outcome.REPAIR, Outcome.SPLIT)
#: Somebody's choice of a step and an outcome, by number; None leaves it to the clock.
_TRIES: Final = st.lists(
    st.sampled_from([None, *product(range(5), range(4))]), min_size=5, max_size=60
)
#: Hours after the payment; most disputes that come to the limit begin near it.
_BEGINS: Final = st.integers(0, 24 * 78) | st.integers(24 * 70, 24 * 78)


@pytest.mark.parametrize("panel", [1, 3])
@pytest.mark.parametrize("more_time", [False, True])
@pytest.mark.parametrize("code", sorted(REASONS))
def test_every_case_ends_within_the_time_for_which_value_may_be_held(
    exchange: Exchange, code: str, more_time: bool, panel: int
) -> None:
    @settings(max_examples=30, deadline=None)
    @given(_BEGINS, _TRIES)
    def live(hours: int, tries: list[tuple[int, int] | None]) -> None:
        now = START + timedelta(hours=hours)
        assert check_open(exchange, now) is None
        case = opened(exchange, REASONS[code], now, panel, gentle=more_time)
        rounds = 0
        while case.stage is not Stage.CLOSED:
            # Everybody waits to the last moment; then the clock does what is due.
            choice = tries.pop(0) if tries else None
            at = max(now, acts_at(case) - TICK)
            changed = case if choice is None else chosen(case, choice, at)
            if changed is not case:
                case, now = changed, at
                continue
            now = max(now, acts_at(case))
            step = clock_step(case, now)
            assert step is not None, (case.stage, now, case.due_at, case.decide_by)
            case = drawn(take(case, Command(step, uuid4()), now))
            rounds += 1
            assert rounds < 200, "it goes on for ever"
        assert case.closed_at is not None
        assert case.closed_at <= refund_at(exchange) - TO_PAY

    live()


def test_no_case_is_opened_when_there_is_too_little_time_for_the_other_side_to_answer(
    exchange: Exchange,
) -> None:
    last = START + timedelta(days=78)
    for at in (START, last - timedelta(days=30), last):
        assert check_open(exchange, at) is None
        assert decide_case_by(exchange, at) >= at + timedelta(days=3)
        assert decide_case_by(exchange, at) < refund_at(exchange)
    assert isinstance(check_open(exchange, last + TICK), NothingToDispute)
