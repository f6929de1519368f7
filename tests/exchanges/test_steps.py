"""The table of steps: no dead end, every deadline states its outcome, silence never pays."""

from __future__ import annotations

from service.exchanges.decide import _ACTS
from service.exchanges.model import TERMINAL, State
from service.exchanges.steps import BY_NAME, MACHINES, STEPS, By

OPEN = [state for state in State if state not in TERMINAL]
#: Outcomes in which a payee may have been paid.
PAYING = {State.COMPLETED, State.SETTLED}


def _clock_steps(state: State) -> list[set[State]]:
    return [set(step.to) for step in STEPS if step.by is By.CLOCK and state in step.from_]


def test_every_open_state_ends_in_bounded_time_by_the_clock_alone() -> None:
    ends = set(TERMINAL)
    while True:
        # A state ends if some step of the clock can only lead to states that end.
        more = {s for s in OPEN if s not in ends and any(to <= ends for to in _clock_steps(s))}
        if not more:
            break
        ends |= more
    assert ends == set(State)


def test_a_state_without_a_clock_step_would_be_found_as_a_dead_end() -> None:
    without = [step for step in STEPS if step.after != "refund_at"]
    assert not any(
        step.by is By.CLOCK and step.to <= TERMINAL and State.IN_REVIEW in step.from_
        for step in without
    )


def test_the_clock_never_leads_to_a_state_in_which_a_payee_is_paid() -> None:
    for step in STEPS:
        if step.by is By.CLOCK:
            assert not set(step.to) & PAYING, step.name
            assert step.after is not None, step.name


def test_no_step_leaves_a_final_state() -> None:
    for step in STEPS:
        assert not set(step.from_) & TERMINAL, step.name


def test_the_payee_alone_can_take_no_step_that_pays_the_payee() -> None:
    # What pays is confirm and enter_code (both words), accept_proposal (both wills), and a case;
    # what a case decided while a bank contested the payment is paid when the bank is done.
    paying = {step.name for step in STEPS if set(step.to) & PAYING and step.by not in MACHINES}
    assert paying == {"confirm", "enter_code", "accept_proposal"}


def test_each_step_has_one_act_and_each_act_one_step() -> None:
    assert set(_ACTS) == set(BY_NAME)
    assert len(STEPS) == len(BY_NAME)


def test_every_step_says_what_comes_of_it() -> None:
    for step in STEPS:
        assert step.outcome.endswith("."), step.name
