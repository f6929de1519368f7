"""Lives of cases as values: every one ends in time, by rules that both sides could read before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from disputes import clocks
from disputes.acts import check, take
from disputes.commands import Command, Move, reason_of
from disputes.model import NEUTRAL_ACTS, Case, Cause, Stage
from disputes.outcomes import MOVES_NOTHING, Line, Outcome, Presumed, Side, SplitInvalid, effect
from disputes.reasons import REASONS
from disputes.refusals import ChallengeUsed, NotYourCase, NotYourTurn, OutcomeNotOpen, TooSoon
from disputes.steps import BY_NAME, STEPS, By
from ledger.refusals import Refusal

NOW: Final = datetime(2027, 3, 1, 9, 0, tzinfo=UTC)
PAYER, PAYEE = uuid4(), uuid4()
NEUTRALS: Final = tuple(uuid4() for _ in range(8))
REASONS_TEXT: Final = "The photographs show the scratch that the seller's own text denies. " * 3


def made(reason: str = "not_received", amounts: tuple[int, ...] = (6_500,), **more: Any) -> Case:
    """A case that was opened now."""
    lines = tuple(Line(uuid4(), "EUR", amount) for amount in amounts)
    decide_by = NOW + timedelta(days=60)
    case = Case(
        platform_id=uuid4(),
        id=uuid4(),
        subject_id=uuid4(),
        kind="sale",
        cause=Cause.CLAIM,
        reason=reason,
        claimant=Side.PAYER,
        payer_id=PAYER,
        payee_id=PAYEE,
        lines=lines,
        stage=Stage.TALK,
        stage_since=NOW,
        due_at=clocks.due(Stage.TALK, NOW, decide_by, gentle=False),
        decide_by=decide_by,
        opened_at=NOW,
        version=1,
        file={},
        file_hash="",
    )
    return replace(case, **more)


def step(case: Case, name: str, now: datetime = NOW, **more: Any) -> Case:
    """Take a step; a case that wants somebody gets the next who is not on it yet."""
    return drawn(take(case, Command(name, uuid4(), **more), now))


def drawn(move: Move) -> Case:
    """Assign whoever is wanted."""
    case = move.case
    if not move.draw:
        return case
    on_it = {case.mediator_id, case.second_id}
    # A long life uses up everybody: then somebody who was on the case before comes again.
    free = [one for one in NEUTRALS if one not in on_it | case.left] or [
        one for one in NEUTRALS if one not in on_it
    ]
    free = (free * 3)[:3]
    if case.stage is Stage.SECOND_LOOK:
        return replace(case, second_id=free[0])
    if case.stage is Stage.APPEAL:
        assert case.appeal is not None
        return replace(case, appeal=replace(case.appeal, panel=tuple(free[:3])))
    return replace(case, mediator_id=free[0])


def decided(outcome: Outcome = Outcome.TO_PAYEE, **more: Any) -> Case:
    """A case that a mediator has decided."""
    case = made()
    mediation = step(case, "call_mediator", NOW + timedelta(days=3), member_id=PAYER)
    return step(
        mediation,
        "decide",
        NOW + timedelta(days=4),
        mediator_id=mediation.mediator_id,
        outcome=outcome,
        reason_code="evidence",
        text=REASONS_TEXT,
        **more,
    )


_MOMENTS = st.tuples(
    st.sampled_from([one.name for one in STEPS]),
    st.sampled_from([PAYER, PAYEE, *NEUTRALS, None]),
    st.sampled_from(list(Outcome)),
    st.integers(0, 6_500),
    st.integers(0, 72),
)


@settings(max_examples=300)
@given(st.lists(_MOMENTS, max_size=40), st.sampled_from(sorted(REASONS)), st.booleans())
def test_whatever_is_tried_the_sums_hold_and_the_clock_alone_ends_every_case(
    tries: list[tuple[str, UUID | None, Outcome, int, int]], reason: str, gentle: bool
) -> None:
    case = made(reason, (6_500, 1), gentle=gentle)
    now = NOW
    for name, who, outcome, part, hours in tries:
        now += timedelta(hours=hours)
        neutral = who in NEUTRALS
        about = (case.offer or case.proposal or case).id
        command = Command(
            name,
            uuid4(),
            member_id=None if neutral else who,
            mediator_id=who if neutral else None,
            outcome=outcome,
            split={line.id: min(part, line.amount) for line in case.lines}
            if outcome is Outcome.SPLIT
            else None,
            text=REASONS_TEXT,
            reason_code="new_evidence",
            about=about,
        )
        try:
            move = take(case, command, now)
        except Refusal:
            continue
        _holds(case, move)
        case = drawn(move)
    rounds = 0
    while case.stage is not Stage.CLOSED:
        rounds += 1
        assert rounds < 60, f"{case.stage} does not end"
        now = max(now, min(case.due_at, case.decide_by))
        move = _clock(case, now)
        _holds(case, move)
        case = drawn(move)
    assert case.closed_at is not None


def _clock(case: Case, now: datetime) -> Move:
    """Take the step that the clock may take, the limit first."""
    for one in reversed(STEPS):
        if one.by is By.CLOCK and case.stage in one.from_:
            try:
                return take(case, Command(one.name, uuid4()), now)
            except TooSoon:
                continue
    raise AssertionError(f"nothing ends {case.stage} at {now}, due {case.due_at}")


def _holds(before: Case, move: Move) -> None:
    after = move.case
    assert after.version == before.version + 1
    assert move.entries, "every step leaves a line in the journal"
    assert (after.stage is Stage.CLOSED) == (after.closed_at is not None)
    assert (move.settlement is not None or move.resumed) == (after.stage is Stage.CLOSED)
    if move.settlement is not None:
        assert set(move.settlement) == {line.id for line in after.lines}
        assert all(0 <= move.settlement[line.id] <= line.amount for line in after.lines)
    if after.stage is not Stage.CLOSED:
        assert after.due_at > NOW


@given(
    st.sampled_from([one for one in Outcome if one not in MOVES_NOTHING]),
    st.lists(st.integers(1, 10**15), min_size=1, max_size=20),
    st.sampled_from(list(Presumed)),
    st.data(),
)
def test_every_effect_says_of_each_line_what_both_get_to_the_last_cent(
    outcome: Outcome, amounts: list[int], presumed: Presumed, data: st.DataObject
) -> None:
    lines = [Line(uuid4(), "JPY", amount) for amount in amounts]
    split = None
    if outcome is Outcome.SPLIT:
        split = {line.id: data.draw(st.integers(0, line.amount)) for line in lines}
    found = effect(outcome, lines, presumed, split)
    assert set(found) == {line.id for line in lines}
    assert all(0 <= found[line.id] <= line.amount for line in lines)
    if split is not None:
        assert found == split


@pytest.mark.parametrize("wrong", [-1, 6_501, None])
def test_a_split_that_does_not_fit_is_refused(wrong: int | None) -> None:
    line, other = Line(uuid4(), "EUR", 6_500), Line(uuid4(), "HOURS", 1)
    given_ = {line.id: 1} if wrong is None else {line.id: wrong, other.id: 0}
    with pytest.raises(SplitInvalid):
        effect(Outcome.SPLIT, [line, other], Presumed.PAYER, given_)
    with pytest.raises(SplitInvalid):
        effect(Outcome.TO_PAYER, [line], Presumed.PAYER, {line.id: 0})


def test_half_of_one_cent_stays_with_who_paid_it() -> None:
    line = Line(uuid4(), "EUR", 1)
    assert effect(Outcome.CANNOT_DECIDE, [line], Presumed.HALVES) == {line.id: 0}


def test_an_offer_that_the_other_accepts_ends_the_case_at_once() -> None:
    case = made(amounts=(6_500, 300))
    split = {line.id: 100 for line in case.lines}
    offered = step(case, "make_offer", member_id=PAYEE, outcome=Outcome.SPLIT, split=split)
    assert offered.offer is not None
    with pytest.raises(NotYourTurn):
        step(offered, "accept_offer", member_id=PAYEE, about=offered.offer.id)
    accepted = step(offered, "accept_offer", member_id=PAYER, about=offered.offer.id)
    assert accepted.stage is Stage.CLOSED
    assert accepted.settlement == split


def test_a_neutral_is_called_after_some_talk_and_by_the_clock_otherwise() -> None:
    case = made()
    with pytest.raises(TooSoon):
        step(case, "call_mediator", NOW + timedelta(hours=47), member_id=PAYER)
    assert step(case, "call_mediator", NOW + timedelta(hours=48), member_id=PAYEE).mediator_id
    assert step(case, "end_talk", case.due_at).stage is Stage.MEDIATION


def test_a_proposal_holds_when_both_have_accepted_it() -> None:
    case = step(made(), "end_talk", made().due_at)
    later = case.stage_since + timedelta(hours=1)
    proposed = step(
        case, "propose", later, mediator_id=case.mediator_id, outcome=Outcome.TO_PAYER, text="…"
    )
    assert proposed.proposal is not None
    about = proposed.proposal.id
    one = step(proposed, "accept_proposal", later, member_id=PAYER, about=about)
    assert one.stage is Stage.MEDIATION
    both = step(one, "accept_proposal", later, member_id=PAYEE, about=about)
    assert both.outcome is Outcome.TO_PAYER


def test_a_decision_moves_nothing_before_the_time_to_appeal_is_over() -> None:
    case = decided()
    assert case.stage is Stage.APPEALABLE
    assert case.settlement is None
    with pytest.raises(TooSoon):
        step(case, "end_appeal_time", case.due_at - timedelta(seconds=1))
    over = step(case, "end_appeal_time", case.due_at)
    assert over.settlement == {case.lines[0].id: 6_500}


def test_an_appeal_at_the_last_second_is_heard_by_three_others() -> None:
    case = decided()
    last = case.due_at - timedelta(microseconds=1)
    appealed = step(case, "appeal", last, member_id=PAYER, reason_code="new_evidence", text="…")
    assert appealed.appeal is not None
    panel = appealed.appeal.panel
    assert case.mediator_id not in panel
    for one in panel[:2]:
        appealed = step(
            appealed,
            "vote",
            last,
            mediator_id=one,
            outcome=Outcome.TO_PAYER,
            reason_code="evidence",
            text=REASONS_TEXT,
        )
    assert appealed.stage is Stage.CLOSED
    assert appealed.settlement == {case.lines[0].id: 0}
    assert appealed.ruling is not None
    assert set(appealed.ruling.by) == set(panel[:2])


def test_a_panel_that_does_not_agree_leaves_the_decision_as_it_stands() -> None:
    case = decided()
    appealed = step(
        case, "appeal", case.stage_since, member_id=PAYER, text="…", reason_code="procedure"
    )
    assert appealed.appeal is not None
    line = case.lines[0].id
    for part, one in enumerate(appealed.appeal.panel, start=1):
        appealed = step(
            appealed,
            "vote",
            case.stage_since,
            mediator_id=one,
            outcome=Outcome.SPLIT,
            split={line: part},
            reason_code="evidence",
            text=REASONS_TEXT,
        )
    assert appealed.settlement == {line: 6_500}


def test_two_of_three_who_differ_wait_for_the_third_whose_seat_is_empty_for_now() -> None:
    case = decided()
    appealed = step(
        case, "appeal", case.stage_since, member_id=PAYER, text="…", reason_code="procedure"
    )
    assert appealed.appeal is not None
    panel = appealed.appeal.panel
    left = replace(appealed.appeal, panel=panel[:2])
    appealed = replace(appealed, appeal=left, file={**appealed.file, "panel": 3})
    line = appealed.lines[0].id

    def word(by: UUID, to_payee: int) -> Case:
        return step(
            appealed,
            "vote",
            appealed.stage_since,
            mediator_id=by,
            outcome=Outcome.SPLIT,
            split={line: to_payee},
            reason_code="evidence",
            text=REASONS_TEXT,
        )

    appealed = word(panel[0], 1_000)
    appealed = word(panel[1], 2_000)
    assert (appealed.stage, appealed.settlement) == (Stage.APPEAL, None)
    assert appealed.appeal is not None
    appealed = replace(appealed, appeal=replace(appealed.appeal, panel=panel))
    appealed = word(panel[2], 2_000)
    assert (appealed.stage, appealed.settlement) == (Stage.CLOSED, {line: 2_000})


@pytest.mark.parametrize("outcome", [Outcome.CANNOT_DECIDE, Outcome.NO_SHOW_PAYEE])
def test_an_unusual_outcome_is_read_by_a_second_before_it_is_told(outcome: Outcome) -> None:
    case = decided(outcome)
    assert case.stage is Stage.SECOND_LOOK
    assert case.second_id is not None
    assert case.second_id != case.mediator_id
    with pytest.raises(NotYourCase):
        step(case, "agree_with", case.stage_since, mediator_id=case.mediator_id)
    agreed = step(case, "agree_with", case.stage_since, mediator_id=case.second_id)
    assert agreed.stage is Stage.APPEALABLE
    assert agreed.ruling is not None
    assert agreed.ruling.seconded_by == case.second_id
    back = step(case, "send_back", case.stage_since, mediator_id=case.second_id, text="…")
    assert (back.stage, back.ruling) == (Stage.DECISION, None)


def test_a_mediator_who_says_nothing_is_replaced_and_the_limit_ends_what_nobody_decides() -> None:
    case = step(made(), "end_talk", made().due_at)
    deciding = step(case, "end_mediation", case.due_at)
    first = deciding.mediator_id
    again = step(deciding, "reassign", deciding.due_at)
    assert again.mediator_id != first
    assert again.stage is Stage.DECISION
    ended = step(again, "reach_limit", again.decide_by)
    assert ended.outcome is Outcome.CANNOT_DECIDE
    assert ended.settlement == effect(Outcome.CANNOT_DECIDE, case.lines, reason_of(case).presumed)


def test_each_side_may_ask_once_for_somebody_else() -> None:
    case = step(made(), "end_talk", made().due_at)
    first = case.mediator_id
    other = step(case, "challenge", case.stage_since, member_id=PAYER, text="My cousin.")
    assert other.mediator_id != first
    with pytest.raises(ChallengeUsed):
        step(other, "challenge", case.stage_since, member_id=PAYER, text="Again.")
    step(other, "challenge", case.stage_since, member_id=PAYEE, text="Mine.")


def _returning() -> Case:
    case = made("not_as_described")
    offered = step(case, "make_offer", member_id=PAYEE, outcome=Outcome.RETURN_THEN_REFUND)
    assert offered.offer is not None
    return step(offered, "accept_offer", member_id=PAYER, about=offered.offer.id)


@pytest.mark.parametrize(
    ("acts", "stage", "to_payee"),
    [
        (("confirm_returned",), Stage.CLOSED, 0),
        (("end_return",), Stage.CLOSED, 6_500),
        (("mark_returned", "end_return"), Stage.DECISION, None),
    ],
)
def test_goods_go_back_before_the_money_and_silence_about_them_pays_nobody(
    acts: tuple[str, ...], stage: Stage, to_payee: int | None
) -> None:
    case = _returning()
    assert case.stage is Stage.RETURNING
    who: dict[str, Callable[[], dict[str, Any]]] = {
        "confirm_returned": lambda: {"member_id": PAYEE},
        "mark_returned": lambda: {"member_id": PAYER},
        "end_return": dict,
    }
    for name in acts:
        at = case.due_at if name == "end_return" else case.due_at - timedelta(seconds=1)
        case = step(case, name, at, **who[name]())
    assert case.stage is stage
    expected = None if to_payee is None else {case.lines[0].id: to_payee}
    assert case.settlement == expected


def test_an_outcome_that_the_reason_does_not_know_is_refused() -> None:
    with pytest.raises(OutcomeNotOpen):
        step(made("counterfeit"), "make_offer", member_id=PAYEE, outcome=Outcome.NO_SHOW_PAYER)


def test_strangers_are_refused_at_every_step() -> None:
    stranger = uuid4()
    for stage in Stage:
        case = made(stage=stage, mediator_id=NEUTRALS[0], second_id=NEUTRALS[1])
        for one in STEPS:
            if one.by in {By.CLOCK, By.SYSTEM} or stage not in one.from_:
                continue
            for command in (
                Command(one.name, uuid4(), member_id=stranger),
                Command(one.name, uuid4(), mediator_id=stranger),
                Command(one.name, uuid4()),
            ):
                with pytest.raises(NotYourCase):
                    check(case, one, command, NOW)


@given(
    st.sampled_from([stage for stage in Stage if stage is not Stage.CLOSED]),
    st.integers(-24, 24 * 80),
    st.booleans(),
)
def test_a_stage_ends_before_the_limit_and_lasts_a_day_at_least(
    stage: Stage, hours_left: int, gentle: bool
) -> None:
    limit = NOW + timedelta(hours=hours_left)
    due = clocks.due(stage, NOW, limit, gentle=gentle)
    assert NOW < due <= max(limit, NOW + clocks.LEAST)


def test_every_stage_but_the_end_has_a_step_of_the_clock_that_leaves_it() -> None:
    for stage in set(Stage) - {Stage.CLOSED}:
        assert any(one.by is By.CLOCK and stage in one.from_ for one in STEPS), stage
    assert set(BY_NAME) == {one.name for one in STEPS}
    assert Stage.CLOSED not in NEUTRAL_ACTS


def test_every_reason_says_what_holds_when_nobody_can_tell() -> None:
    for reason in REASONS.values():
        assert Outcome.CANNOT_DECIDE in reason.outcomes
        assert reason.questions
        assert reason.needs <= reason.helps
        assert reason.by
