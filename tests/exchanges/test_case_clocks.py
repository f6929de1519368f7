"""The clocks of cases: each step once, whoever vanishes, and nobody's trouble is another's."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from sqlalchemy import Engine, text

from disputes.model import Case, Stage
from disputes.outcomes import Outcome
from service import db
from service.exchanges import case_rounds
from service.exchanges.model import State
from service.ids import encode
from service.operations import dead_letters
from service.operations.dead_letters import MOST_FAILURES
from tests.disputes.people import People
from tests.exchanges.court import DAY, Court
from tests.exchanges.world import World


@pytest.fixture
def court(world: World) -> Court:
    """A platform whose pool is still empty."""
    return Court(world, People(world.engine, world.platform_id))


@pytest.fixture
def engines(database_url: str) -> Iterator[list[Engine]]:
    """Processes apart share nothing but the database; so do these."""
    made = [db.create_engine(database_url, 5) for _ in range(3)]
    yield made
    for one in made:
        one.dispose()


def test_a_neutral_who_vanishes_is_replaced_both_are_told_and_they_never_come_back(
    court: Court,
) -> None:
    first = court.people.join()
    exchange, case = court.claimed()
    court.until(case.due_at)
    case = court.case(exchange)
    assert (case.stage, case.mediator_id) == (Stage.MEDIATION, first)
    second = court.people.join()
    court.until(case.due_at)
    court.until(court.case(exchange).due_at)
    case = court.case(exchange)
    assert (case.stage, case.mediator_id) == (Stage.DECISION, second)
    told = court.world.events(exchange)
    assert told.count("case.reassigned") == 1
    assert told.count("case.assigned") == 2
    court.until(case.due_at)  # the other is silent as well, and nobody else is there
    case = court.case(exchange)
    assert (case.mediator_id, case.left) == (None, frozenset({first, second}))
    assert court.find_people() == 0
    third = court.people.join()
    assert court.find_people() == 1
    case = court.case(exchange)
    assert case.mediator_id == third
    assert court.world.events(exchange)[-1] == "case.assigned", "told without a step of the case"
    assert court.find_people() == 0
    court.decide(case)
    court.until(court.case(exchange).due_at)
    assert court.world.read(exchange).state is State.REFUNDED


def test_without_anybody_who_may_decide_what_is_presumed_holds_at_the_limit(court: Court) -> None:
    exchange, case = court.claimed()
    court.until(case.decide_by)
    case = court.case(exchange)
    assert (case.stage, case.outcome) == (Stage.CLOSED, Outcome.CANNOT_DECIDE)
    assert case.closed_at == case.decide_by
    assert court.types(case)[-2:] == ["limit_reached", "closed"]
    court.world.sweep()
    after = court.world.read(exchange)
    assert (after.state, after.case_id) == (State.REFUNDED, None)
    assert court.world.of(exchange.payer_id) == 0


def test_a_round_that_runs_late_or_twice_takes_each_step_once(court: Court) -> None:
    court.people.join()
    exchange, case = court.claimed()
    assert court.fire() == 0
    court.world.now = case.due_at + 3 * DAY
    assert court.fire() == 1
    assert court.fire() == 0
    assert court.types(case).count("talk_ended") == 1
    assert court.case(exchange).due_at > court.world.now


def test_workers_at_once_take_each_step_once(court: Court, engines: list[Engine]) -> None:
    for _ in range(20):
        court.people.join(caseload_cap=20)
    all_ = [court.claimed() for _ in range(12)]
    court.world.now = max(case.due_at for _, case in all_)
    with ThreadPoolExecutor(len(engines)) as pool:
        taken = list(pool.map(partial(Court.fire, court), engines))
    assert sum(taken) == len(all_)
    for exchange, case in all_:
        assert court.types(case).count("talk_ended") == 1
        assert court.case(exchange).mediator_id is not None


def test_workers_who_draw_at_once_seat_one_neutral_for_each_case(
    court: Court, engines: list[Engine]
) -> None:
    all_ = [court.claimed() for _ in range(6)]
    court.world.now = max(case.due_at for _, case in all_)
    court.fire()
    for _ in all_:
        court.people.join(caseload_cap=1)
    world = court.world

    def work(engine: Engine) -> int:
        return case_rounds.find_people(engine, world.codes, lambda: world.now, world.platform_id)

    with ThreadPoolExecutor(len(engines)) as pool:
        assert sum(pool.map(work, engines)) == len(all_)
    for exchange, case in all_:
        assert court.types(case).count("assigned") == 1
        assert world.events(exchange).count("case.assigned") == 1


def _write_offer(court: Court, case: Case, offer: str | None) -> None:
    with court.people.inside() as connection:
        connection.execute(
            text("UPDATE disputes.case SET offer = CAST(:offer AS jsonb) WHERE id = :id"),
            {"id": case.id, "offer": offer},
        )


def test_a_case_that_cannot_be_taken_further_stops_no_other_and_comes_back_once_it_is_mended(
    court: Court,
) -> None:
    court.people.join(caseload_cap=100)
    all_ = [court.claimed() for _ in range(5)]
    spoilt_exchange, spoilt = all_[2]
    _write_offer(court, spoilt, '{"kind": "barter"}')  # no code understands it
    court.until(spoilt.due_at + DAY)
    for exchange, _ in all_:
        if exchange.id != spoilt_exchange.id:
            assert court.case(exchange).stage is Stage.MEDIATION
    with court.people.inside() as connection:
        (letter,) = dead_letters.page(connection, court.world.platform_id, limit=9, open_=True)
    assert (letter["work"], letter["attempts"]) == ("case", MOST_FAILURES)
    assert letter["subject"] == {"case": encode("case", spoilt.id)}
    assert court.fire() == 0, "what was given up is due no more"
    _write_offer(court, spoilt, None)
    assert court.fire() == 0
    with court.people.inside() as connection:
        platform_id = court.world.platform_id
        again = dead_letters.retry(connection, platform_id, letter["id"], court.world.now)
    assert again["resolution"] == "retried"
    assert court.fire() == 1
    assert court.case(spoilt_exchange).stage is Stage.MEDIATION


def test_a_case_that_moved_on_is_not_held_to_what_failed_before(court: Court) -> None:
    exchange, case = court.claimed()
    _write_offer(court, case, '{"kind": "barter"}')
    court.until(case.due_at + DAY)
    _write_offer(court, case, None)
    assert court.fire() == 0
    court.take(case, "make_offer", member_id=case.payee_id, outcome=Outcome.TO_PAYER)
    assert court.fire() == 1
    assert court.case(exchange).stage is Stage.MEDIATION


def test_each_decision_is_put_to_the_lot_once(court: Court) -> None:
    first, second = court.people.join(), court.people.join()
    exchange, case = court.claimed()
    court.until(case.due_at)
    case = court.case(exchange)
    assert case.mediator_id in {first, second}
    world = court.world
    sample = partial(case_rounds.sample, world.engine, lambda: world.now, world.platform_id)
    assert sample() == 0
    court.decide(case)
    assert sample() == 1
    assert sample() == 0
