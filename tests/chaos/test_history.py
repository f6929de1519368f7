"""The checker finds each fault that it is there to find, on histories made by hand."""

from __future__ import annotations

import random

import pytest

from tests.chaos.history import Arrival, Written, check_deliveries, check_numbers, check_timers

WRITTEN = [
    Written("a1", "exchange.proposed", "A", 1),
    Written("b1", "exchange.proposed", "B", 1),
    Written("a2", "exchange.agreed", "A", 2),
    Written("a3", "exchange.funded", "A", 3),
    Written("m1", "member.created"),
]


def arrived(*ids: str) -> list[Arrival]:
    """Return the arrivals of these events, in this order; one with a ``!`` was refused."""
    known = {event.id: event for event in WRITTEN}
    found = []
    for id_ in ids:
        event = known[id_.rstrip("!")]
        found.append(Arrival(event.id, event.exchange, event.sequence, not id_.endswith("!")))
    return found


def test_each_event_once_and_in_order_is_right() -> None:
    assert check_deliveries(WRITTEN, arrived("a1", "m1", "a2", "b1", "a3")) == []


def test_an_event_may_come_again_also_after_later_ones() -> None:
    again = arrived("a1", "a2", "a1", "m1", "m1", "a3", "a2", "b1")
    assert check_deliveries(WRITTEN, again) == []


def test_an_event_that_was_refused_first_and_taken_later_is_right() -> None:
    assert check_deliveries(WRITTEN, arrived("a1!", "a1", "a2!", "a2", "a3", "b1", "m1")) == []


def test_an_event_that_never_came_is_lost() -> None:
    (fault,) = check_deliveries(WRITTEN, arrived("a1", "a2", "a3", "m1"))
    assert fault == "lost: exchange.proposed b1 (B no. 1) was never sent"


def test_an_event_that_was_refused_every_time_is_lost() -> None:
    (fault,) = check_deliveries(WRITTEN, arrived("a1", "a2", "a3", "b1", "m1!", "m1!"))
    assert fault == "lost: member.created m1 was never taken"


@pytest.mark.parametrize(
    "order", [("a2", "a1", "a3"), ("a1", "a3", "a2"), ("a3!", "a1", "a2", "a3")]
)
def test_a_later_event_before_an_earlier_one_of_its_exchange_is_reordered(
    order: tuple[str, ...],
) -> None:
    (fault,) = check_deliveries(WRITTEN, arrived("b1", "m1", *order))
    assert fault.startswith("reordered: A came first as ")


def test_every_other_order_of_one_exchange_is_found_whatever_came_between(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(200):
        order = [event.id for event in WRITTEN]
        chance.shuffle(order)
        of_a = [id_ for id_ in order if id_.startswith("a")]
        assert bool(check_deliveries(WRITTEN, arrived(*order))) == (of_a != sorted(of_a))


def test_an_event_that_was_never_written_is_found() -> None:
    all_of_them = arrived("a1", "a2", "a3", "b1", "m1")
    (fault,) = check_deliveries(WRITTEN, [*all_of_them, Arrival("x9", None, None, kept=True)])
    assert fault.startswith("invented: x9")


def test_an_event_told_of_another_exchange_is_found() -> None:
    others = arrived("a1", "a2", "a3", "m1")
    faults = check_deliveries(WRITTEN, [*others, Arrival("b1", "A", 4, kept=True)])
    assert faults == ["invented: b1 arrived and was not written so"]


def test_a_gap_or_a_repetition_in_the_numbers_of_an_exchange_is_found() -> None:
    assert check_numbers(WRITTEN) == []
    assert check_numbers([*WRITTEN, Written("b3", "exchange.agreed", "B", 3)]) == [
        "misnumbered: B has [1, 3]"
    ]
    assert check_numbers([*WRITTEN, Written("b2", "exchange.agreed", "B", 1)]) == [
        "misnumbered: B has [1, 1]"
    ]


def reminder(id_: str, number: int, about: str = "confirm_by") -> Written:
    return Written(id_, "exchange.reminder", "A", 4, {"about": about, "number": number})


def test_what_the_clock_does_once_is_right() -> None:
    once = [
        reminder("r1", 1, "agree_by"),
        reminder("r2", 1),
        reminder("r3", 2),
        Written("v1", "exchange.in_review", "A", 6),
        Written("e1", "exchange.expired", "A", 7),
        Written("e2", "exchange.expired", "B", 2),
    ]
    assert check_timers(once) == []


@pytest.mark.parametrize("type_", ["exchange.expired", "exchange.in_review"])
def test_an_exchange_that_the_clock_ended_twice_is_found(type_: str) -> None:
    assert check_timers([Written("1", type_, "A", 2), Written("2", type_, "A", 3)]) == [
        f"fired 2 times: A {type_}"
    ]


def test_a_reminder_that_was_made_twice_is_found() -> None:
    (fault,) = check_timers([reminder("r1", 1), reminder("r2", 1)])
    assert fault == "fired 2 times: A exchange.reminder confirm_by 1"
