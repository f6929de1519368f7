"""The pace of calls: a budget, and a circuit that opens when the provider is in trouble."""

from __future__ import annotations

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.payments.port import ProviderUnavailable
from service.payments.stripe.limits import LONGEST_WAIT, RATES, Budget, Circuit


class _Time:
    """Seconds that pass when they are told to, and when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept = 0.0

    def ticks(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.slept += seconds
        self.now += seconds


def _calls(budget: Budget, count: int) -> int:
    done = 0
    for _ in range(count):
        try:
            budget.take()
        except ProviderUnavailable:
            return done
        done += 1
    return done


def test_a_burst_of_a_second_s_calls_passes_at_once() -> None:
    time = _Time()
    assert _calls(Budget(RATES["sandbox"], time.ticks, time.wait), 25) == 25
    assert time.slept == 0.0


def test_what_is_beyond_the_budget_waits_its_turn_at_the_rate() -> None:
    time = _Time()
    budget = Budget(RATES["live"], time.ticks, time.wait)
    began = time.now
    assert _calls(budget, 350) == 350
    assert time.now - began == pytest.approx(2.5)


def test_a_thread_that_would_wait_too_long_is_told_when_to_come_back() -> None:
    time = _Time()
    held: list[float] = []
    budget = Budget(10.0, time.ticks, held.append)  # everybody waits at the same time
    assert _calls(budget, 100) == 10 + int(LONGEST_WAIT * 10)
    with pytest.raises(ProviderUnavailable) as full:
        budget.take()
    assert LONGEST_WAIT < (full.value.retry_after or 0.0) <= LONGEST_WAIT + 0.1
    assert max(held) <= LONGEST_WAIT
    time.now += full.value.retry_after or 0.0
    budget.take()


@given(st.lists(st.floats(min_value=0.0, max_value=2.0), max_size=200))
def test_no_order_of_calls_passes_more_than_the_rate(pauses: list[float]) -> None:
    time = _Time()
    budget = Budget(5.0, time.ticks, lambda _seconds: None)
    passed: list[float] = []
    for pause in pauses:
        time.now += pause
        try:
            budget.take()
        except ProviderUnavailable:
            continue
        passed.append(time.now)
    for first, at in enumerate(passed):
        inside = [one for one in passed[first:] if one - at < 1.0]
        # A burst of five, five more in the second, and one that waits for its turn.
        assert len(inside) <= 5 + 5 + 1 + int(LONGEST_WAIT * 5)


def _is_open(circuit: Circuit) -> float:
    with pytest.raises(ProviderUnavailable) as left_alone:
        circuit.check()
    return left_alone.value.retry_after or 0.0


def test_the_circuit_opens_after_three_failures_in_a_row() -> None:
    time = _Time()
    circuit = Circuit(time.ticks, lambda: 1.0)
    for _ in range(2):
        circuit.failed()
        circuit.check()
    circuit.succeeded()
    for _ in range(2):
        circuit.failed()
        circuit.check()
    circuit.failed()
    assert _is_open(circuit) == pytest.approx(1.0)


def test_each_further_failure_doubles_the_rest_up_to_a_minute() -> None:
    time = _Time()
    circuit = Circuit(time.ticks, lambda: 1.0)
    rests = []
    circuit.failed()
    circuit.failed()
    for _ in range(9):
        circuit.failed()
        rests.append(_is_open(circuit))
        time.now += rests[-1]
        circuit.check()
    assert rests == pytest.approx([1, 2, 4, 8, 16, 32, 60, 60, 60])


def test_a_rest_is_jittered_between_half_and_whole() -> None:
    for jitter, rest in ((0.0, 0.5), (0.5, 0.75), (1.0, 1.0)):
        time = _Time()
        circuit = Circuit(time.ticks, partial(float, jitter))
        for _ in range(3):
            circuit.failed()
        assert _is_open(circuit) == pytest.approx(rest)


def test_after_a_rest_one_call_tries_and_its_answer_closes_the_circuit() -> None:
    time = _Time()
    circuit = Circuit(time.ticks, lambda: 1.0)
    for _ in range(3):
        circuit.failed()
    time.now += 1.0
    circuit.check()
    _is_open(circuit)  # for everybody else, while that one is away
    circuit.succeeded()
    circuit.check()
    circuit.check()


def test_a_trial_that_never_comes_back_does_not_keep_the_circuit_open() -> None:
    time = _Time()
    circuit = Circuit(time.ticks, lambda: 1.0)
    for _ in range(3):
        circuit.failed()
    time.now += 1.0
    circuit.check()
    time.now += 60.0
    circuit.check()


def test_what_the_provider_asks_for_is_waited_whole_at_the_first_time() -> None:
    time = _Time()
    circuit = Circuit(time.ticks, lambda: 0.0)
    circuit.failed(retry_after=7.0)
    assert _is_open(circuit) == pytest.approx(7.0)
