"""The hand-over code: who is shown it, what it does, and what wrong ones do."""

from __future__ import annotations

import pytest

from service.exchanges.kinds import Role
from service.exchanges.model import State
from service.exchanges.queries import hand_over_code
from service.exchanges.refusals import (
    CodeLocked,
    CodeNotYours,
    NotYourStep,
    WrongCode,
)
from tests.exchanges.world import World

PAYER, PAYEE = Role.PAYER, Role.PAYEE


def test_the_code_told_in_person_is_both_words_at_once(world: World) -> None:
    exchange = world.funded(world.sale())
    with pytest.raises(NotYourStep):
        world.step(exchange, "enter_code", PAYER, code=world.code(exchange))
    ended = world.step(exchange, "enter_code", PAYEE, code=world.code(exchange))
    assert ended.state is State.COMPLETED


def test_the_code_is_shown_to_the_payer_at_the_hand_over_and_to_the_lender_at_the_return(
    world: World,
) -> None:
    exchange = world.funded(world.propose(world.draft("loan", [("deposit", 5_000, "EUR")])))
    name, first, _ = hand_over_code(exchange, world.payer, world.codes)
    assert name == "handover"
    with pytest.raises(CodeNotYours):
        hand_over_code(exchange, world.payee, world.codes)
    exchange = world.step(exchange, "enter_code", PAYEE, code=first)
    name, second, _ = hand_over_code(exchange, world.payee, world.codes)
    assert name == "return"
    assert second != first
    with pytest.raises(CodeNotYours):
        hand_over_code(exchange, world.payer, world.codes)
    assert world.step(exchange, "enter_code", PAYER, code=second).state is State.COMPLETED


def test_five_wrong_tries_lock_the_code_and_its_holder_renews_it(world: World) -> None:
    exchange = world.funded(world.sale())
    right = world.code(exchange)
    wrong = f"{(int(right) + 1) % 1_000_000:06d}"
    for left in (4, 3, 2, 1, 0):
        with pytest.raises(WrongCode) as refused:
            world.step(exchange, "enter_code", PAYEE, code=wrong)
        assert refused.value.facts["tries_left"] == left
    with pytest.raises(CodeLocked):
        world.step(exchange, "enter_code", PAYEE, code=right)
    assert world.events(exchange)[-1] == "exchange.code_locked"
    with pytest.raises(NotYourStep):
        world.step(exchange, "renew_code", PAYEE)
    world.step(exchange, "renew_code", PAYER)
    assert world.code(exchange) != right
    with pytest.raises(WrongCode):
        world.step(exchange, "enter_code", PAYEE, code=right)
    world.step(exchange, "enter_code", PAYEE, code=world.code(exchange))
    assert world.read(exchange).state is State.COMPLETED
