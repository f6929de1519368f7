"""The audit of cases finds each contradiction that a bug or a hand in the database could make."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import pytest
from sqlalchemy import text

from disputes.model import Case, Stage
from disputes.outcomes import Outcome
from service import db
from service.exchanges import case_audit
from service.exchanges.commands import ClaimDraft
from service.exchanges.kinds import Role
from service.exchanges.model import Exchange, State
from tests.disputes.people import People
from tests.exchanges.court import DAY, Court
from tests.exchanges.world import World

DIFFERS = {"what_differs": "A page is missing.", "when_noticed": "At home."}
_TABLES = (
    "disputes.case",
    "disputes.entry",
    "disputes.assignment",
    "service.exchange",
    "service.leg",
)


@pytest.fixture
def court(world: World) -> Court:
    """A platform whose pool has three people."""
    made = Court(world, People(world.engine, world.platform_id))
    for _ in range(3):
        made.people.join()
    return made


def mediated(court: Court) -> Exchange:
    exchange, case = court.claimed()
    court.until(case.due_at)
    assert court.case(exchange).stage is Stage.MEDIATION
    return exchange


def decided(court: Court) -> Exchange:
    exchange = mediated(court)
    court.decide(court.case(exchange))
    return exchange


def ended(court: Court) -> Exchange:
    exchange = decided(court)
    court.until(court.case(exchange).due_at)
    return exchange


def _found(court: Court, case: Case, *statements: str) -> set[str]:
    """Return what the audit finds after somebody went around every rule; nothing of it stays."""
    platform_id = court.world.platform_id
    with court.world.engine.connect() as connection, connection.begin() as broken:
        connection.execute(text("SET LOCAL ROLE tierce_owner"))
        connection.execute(text("SET CONSTRAINTS ALL DEFERRED"))
        for table in _TABLES:
            connection.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER USER"))
            connection.execute(text(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY"))
        for statement in statements:
            values = {"case": case.id, "exchange": case.subject_id, "now": datetime.now(UTC)}
            asked = {name: one for name, one in values.items() if f":{name}" in statement}
            assert connection.execute(text(statement), asked).rowcount, "the tampering did nothing"
        problems = case_audit.audit(connection, platform_id)
        broken.rollback()
    assert {problem.platform_id for problem in problems} <= {platform_id}
    return {problem.check for problem in problems}


#: Whose life the tampering comes into, what is broken by hand, and each check that has to say so.
BREAKS: Final[list[tuple[Callable[[Court], Exchange], str, set[str]]]] = [
    (
        mediated,
        "UPDATE disputes.case SET due_at = CAST(:now AS timestamptz) - interval '61 minutes' "
        "WHERE id = :case",
        {"case_overdue"},
    ),
    (
        decided,
        "UPDATE disputes.case SET decide_by = CAST(:now AS timestamptz) - interval '73 hours' "
        "WHERE id = :case",
        {"case_beyond_its_limit"},
    ),
    (
        mediated,
        "UPDATE service.exchange SET case_id = NULL WHERE id = :exchange",
        {"case_unknown_to_its_exchange", "disputed_without_case"},
    ),
    (
        mediated,
        "UPDATE service.exchange SET award = '{}' WHERE id = :exchange",
        {"award_without_decision"},
    ),
    (
        mediated,
        "UPDATE disputes.case SET stage = 'closed', outcome = 'withdrawn', due_at = NULL, "
        "closed_at = stage_since WHERE id = :case",
        {"exchange_in_no_case", "assignment_without_work"},
    ),
    (
        mediated,
        "UPDATE disputes.assignment SET ended_at = at, ended_why = 'done' WHERE case_id = :case",
        {"case_person_without_assignment"},
    ),
    (
        decided,
        "UPDATE disputes.assignment SET ended_at = NULL, ended_why = NULL WHERE case_id = :case",
        {"assignment_without_work"},
    ),
    (
        decided,
        "UPDATE disputes.case SET ruling = NULL WHERE id = :case",
        {"case_stage_without_its_words"},
    ),
    (
        ended,
        "UPDATE disputes.case SET settlement = NULL WHERE id = :case",
        {"case_settlement_does_not_fit"},
    ),
    (
        ended,
        "UPDATE disputes.case SET settlement = jsonb_build_object(lines->0->>'id', 6501) "
        "WHERE id = :case",
        {"case_settlement_does_not_fit", "leg_differs_from_case"},
    ),
    (
        ended,
        "UPDATE disputes.case SET settlement = jsonb_build_object(lines->0->>'id', 1) "
        "WHERE id = :case",
        {"leg_differs_from_case"},
    ),
    (
        ended,
        "UPDATE service.leg SET to_payee = 500, to_payer = to_payer - 500 "
        "WHERE exchange_id = :exchange",
        {"leg_differs_from_case"},
    ),
    (
        decided,
        'UPDATE disputes.entry SET data = data || \'{"outcome": "to_payee"}\' '
        "WHERE case_id = :case AND type = 'decided'",
        {"journal_broken"},
    ),
    (
        decided,
        "DELETE FROM disputes.entry WHERE case_id = :case AND type = 'assigned'",
        {"journal_broken", "journal_has_a_gap"},
    ),
    (
        decided,
        "DELETE FROM disputes.entry WHERE case_id = :case AND type = 'decided'",
        {"journal_has_a_gap"},
    ),
]


@pytest.mark.breaks_books
@pytest.mark.parametrize(("story", "tampering", "checks"), BREAKS)
def test_what_was_broken_on_purpose_is_found(
    court: Court, story: Callable[[Court], Exchange], tampering: str, checks: set[str]
) -> None:
    exchange = story(court)
    case = court.case(exchange)
    assert court.world.problems() == []
    assert _found(court, case, tampering) == checks
    assert court.world.problems() == []


def test_every_check_is_broken_by_some_test() -> None:
    broken = set().union(*(checks for *_, checks in BREAKS))
    assert broken == case_audit.CHECKS


def test_goods_that_one_side_says_went_back_are_looked_at_by_others_than_who_decided(
    court: Court,
) -> None:
    world = court.world
    exchange = world.funded(world.sale())
    draft = ClaimDraft("not_as_described", (), {}, DIFFERS)
    exchange = world.step(exchange, "claim", Role.PAYER, claim=draft)
    court.until(court.case(exchange).due_at)
    court.decide(court.case(exchange), Outcome.RETURN_THEN_REFUND)
    decided_by = court.case(exchange).mediator_id
    court.until(court.case(exchange).due_at)
    case = court.case(exchange)
    assert case.stage is Stage.RETURNING
    court.take(case, "mark_returned", member_id=case.payer_id, text="Sent on Monday.")
    court.until(case.due_at)
    case = court.case(exchange)
    assert case.stage is Stage.DECISION
    assert case.mediator_id not in {None, decided_by}
    assert world.problems() == []
    court.decide(case)
    court.until(court.case(exchange).due_at + DAY)
    assert world.read(exchange).state is State.REFUNDED


def test_a_whole_platform_is_read_in_the_scope_of_the_instance(court: Court) -> None:
    ended(court)
    with db.transaction(court.world.engine, db.SYSTEM) as connection:
        assert case_audit.audit(connection, court.world.platform_id) == []
