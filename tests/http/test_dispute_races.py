"""At the desk over HTTP: two at the same moment, the wrong person, and the wrong stage."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import httpx
import pytest
from sqlalchemy import Engine

from disputes import mediators
from disputes.model import Stage
from disputes.recusal import Tie, TieKind
from service.ids import decode
from tests.disputes.people import NOW
from tests.http.client import Api, at_once, problem
from tests.http.court import PRESSURED, WHY, Bench, Heard, desk_path, hear, make_bench
from tests.http.deal import Deal
from tests.http.desk import Desk, Person

ATTEMPTS: Final = range(3)
DECISION: Final = {"outcome": "to_payee", "reason_code": "evidence", "reasons": WHY}
UNUSUAL: Final = DECISION | {"outcome": "cannot_decide"}
#: Every step of a neutral, with a body that fits.
STEPS: Final[dict[str, Any]] = {
    "propose": {"outcome": "to_payer", "text": "All back?"},
    "decide": DECISION,
    "agree-with": None,
    "send-back": {"reason": "Say what is missing."},
    "vote": DECISION,
    "lift-flag": {"reason_code": "facts", "reasons": WHY},
    "decline": {"reason": "I am ill."},
}
#: What refuses a step: it is not for this stage, not theirs, or to them there is no such case.
REFUSED: Final = {(409, "not_now_in_case"), (404, "not_your_case"), (404, "case_not_found")}


@pytest.fixture
def bench(paid: Deal, engine: Engine, operator: Api, new_desk: Callable[[], Desk]) -> Bench:
    """A pool that serves the platform."""
    return make_bench(paid, engine, operator, new_desk)


Neutral = tuple[Api, Person]


def on_it(case: Heard, crowd: list[Neutral], part: str = "mediator") -> Api:
    """The desk of the one who has a part of the case."""
    (told,) = [one["mediator"] for one in case.read()["neutrals"] if one["part"] == part]
    (desk,) = [desk for desk, person in crowd if person.id == told]
    return desk


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, str(answer.json().get("code"))


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_a_side_challenges_while_the_neutral_decides(
    paid: Deal, bench: Bench, attempt: int
) -> None:
    crowd = [bench.join(), bench.join()]
    case = hear(paid, PRESSURED)
    desk = on_it(case, crowd)
    calls = [
        partial(desk.post, f"{desk_path(case)}/decide", DECISION),
        partial(case.post, case.payee, "challenge", {"text": "They are cousins."}),
    ]
    answers = at_once(*(calls if attempt % 2 else reversed(calls)))
    decided, challenged = answers if attempt % 2 else reversed(answers)
    assert [decided.is_success, challenged.is_success].count(True) == 1
    shown = case.read()
    if decided.is_success:
        assert code(challenged) == (409, "not_now_in_case")
        assert shown["stage"] == "appealable"
    else:
        assert code(decided) in REFUSED
        assert (shown["stage"], shown["ruling"]) == ("mediation", None)
        assert on_it(case, crowd) is not desk
    assert case.shares() == [(None, None)]


@pytest.mark.parametrize("same", [True, False])
def test_a_decision_that_is_sent_many_times_at_once_is_one(
    paid: Deal, bench: Bench, same: bool
) -> None:
    crowd = [bench.join()]
    case = hear(paid, PRESSURED)
    desk = on_it(case, crowd)
    answers = at_once(
        *(
            partial(
                desk.post,
                f"{desk_path(case)}/decide",
                DECISION,
                key=f"{case.id}-{0 if same else number}",
            )
            for number in range(6)
        )
    )
    done = [one for one in answers if one.is_success]
    assert case.said().count("decided") == 1
    if same:  # the first is answered again, or was still being worked on
        assert len({one.text for one in done}) == 1
        assert {code(one)[0] for one in answers if not one.is_success} <= {409}
    else:
        assert len(done) == 1
        assert {code(one) for one in answers if not one.is_success} <= REFUSED


def _mediation(_case: Heard, _crowd: list[Neutral]) -> None:
    """It is there already."""


def _second_look(case: Heard, crowd: list[Neutral]) -> None:
    on_it(case, crowd).made(f"{desk_path(case)}/decide", UNUSUAL)


def _appealable(case: Heard, crowd: list[Neutral]) -> None:
    on_it(case, crowd).made(f"{desk_path(case)}/decide", DECISION)


def _appeal(case: Heard, crowd: list[Neutral]) -> None:
    _appealable(case, crowd)
    case.made(case.payer, "appeal", {"ground": "new_evidence", "text": "A letter."})


def _closed(case: Heard, crowd: list[Neutral]) -> None:
    _appeal(case, crowd)
    on_it(case, crowd, "panel").made(f"{desk_path(case)}/vote", DECISION)


#: By stage: how a case comes there, and what only the one who has which part can do in it.
STAGES: Final[dict[str, tuple[Callable[[Heard, list[Neutral]], None], dict[str, str]]]] = {
    "mediation": (_mediation, {"propose": "mediator", "decide": "mediator", "decline": "mediator"}),
    "second_look": (
        _second_look,
        {"agree-with": "second", "send-back": "second", "decline": "second"},
    ),
    "appealable": (_appealable, {}),
    "appeal": (_appeal, {"vote": "panel", "decline": "panel"}),
    "closed": (_closed, {}),
}


@pytest.mark.parametrize("stage", STAGES)
def test_every_other_step_of_every_neutral_is_refused_and_nothing_moves(
    paid: Deal, bench: Bench, stage: str
) -> None:
    crowd = [bench.join() for _ in range(3)]
    case = hear(paid, PRESSURED)
    come, open_to = STAGES[stage]
    come(case, crowd)
    before = case.read()
    assert before["stage"] == stage
    parts = {one["mediator"]: one["part"] for one in before["neutrals"]}
    shares, journal = case.shares(), case.journal()
    for desk, person in crowd:
        for step, body in STEPS.items():
            if step in open_to and _has(bench, case, person, open_to[step]):
                continue
            answer = desk.post(f"{desk_path(case)}/{step}", body)
            allowed = REFUSED | {(409, "case_closed")} if stage == "closed" else REFUSED
            assert code(answer) in allowed, (step, parts.get(person.id), answer.text)
            assert answer.json()["detail"]
    assert case.read() | {"next_actions": None} == before | {"next_actions": None}
    assert (case.shares(), case.journal()) == (shares, journal)


def _has(bench: Bench, case: Heard, person: Person, part: str) -> bool:
    """Tell whether somebody has a part of a case, as it is recorded."""
    with bench.people.inside() as connection:
        found = connection.exec_driver_sql(
            "SELECT EXISTS (SELECT FROM disputes.assignment WHERE mediator_id = %s "
            "AND case_id = %s AND part = %s AND ended_at IS NULL)",
            (person.uuid, decode("case", case.id), part),
        )
        return bool(found.scalar_one())


def test_whoever_declared_a_tie_decides_nothing_any_more(paid: Deal, bench: Bench) -> None:
    crowd = [bench.join()]
    case = hear(paid, PRESSURED)
    desk, person = crowd[0]
    with bench.people.everywhere() as connection:
        payee = decode("member", paid.payee["id"])
        tie = Tie(TieKind.HOUSEHOLD, paid.platform_id, payee)
        mediators.declare(connection, person.uuid, tie, "my sister", NOW)
    before = case.read()
    for step in ("propose", "decide"):
        answer = desk.post(f"{desk_path(case)}/{step}", STEPS[step])
        assert "tied" in problem(answer, 404, "not_your_case")["detail"]
    assert case.read() == before
    assert before["stage"] == Stage.MEDIATION
