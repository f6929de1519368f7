"""Whether decisions of one would be those of another, and how much each of them takes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Engine

from disputes import redecisions
from service.ids import encode
from tests.disputes.people import SEED
from tests.http.claimed import PRESSURED, claim
from tests.http.client import Api
from tests.http.court import WHY, Bench, make_bench
from tests.http.deal import Deal, make_deal
from tests.http.desk import Desk

PROFILE = "/v1/mediation/me/profile"
FIGURES = "/v1/mediation/me/statistics"
AGAIN = "/v1/mediation/redecisions"


@pytest.fixture
def bench(paid: Deal, engine: Engine, operator: Api, new_desk: Callable[[], Desk]) -> Bench:
    return make_bench(paid, engine, operator, new_desk)


def another(deal: Deal, engine: Engine) -> Deal:
    """Return another exchange of the platform that is paid for, between others."""
    made = make_deal(deal.api, engine, agreed=True)
    made.fund()
    return made


def drawn(operator: Api, deal: Deal) -> dict[str, Any]:
    """Open a case, and return how its mediator was found."""
    case = encode("case", claim(deal, PRESSURED).case_id)
    (found,) = operator.read(f"/v1/operator/cases/{case}/assignments")["data"]
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize(("outcome", "agrees"), [("to_payee", 1), ("to_payer", 0)])
def test_what_a_colleague_would_have_decided_counts_for_whoever_did_and_moves_nothing(
    paid: Deal, bench: Bench, outcome: str, agrees: int
) -> None:
    first, _ = bench.join()
    found = claim(paid, PRESSURED)
    said = {"outcome": "to_payee", "reason_code": "evidence", "reasons": WHY}
    first.made(f"/v1/mediation/cases/{encode('case', found.case_id)}/decide", said)
    second, _ = bench.join()
    case = found.case()
    with bench.people.inside() as connection:
        made = redecisions.begin(connection, case, SEED, datetime.now(UTC), share=1000)
    assert made is not None
    path = f"{AGAIN}/{encode('redecision', made)}"
    assert [first.read(FIGURES)[name] for name in ("redecided", "agreed")] == [0, 0]
    told = second.made(f"{path}/decide", {"outcome": outcome, "reasons": WHY})
    assert "agrees" not in told, "whoever decides again does not learn what was decided"
    assert [first.read(FIGURES)[name] for name in ("redecided", "agreed")] == [1, agrees]
    assert [second.read(FIGURES)[name] for name in ("redecided", "agreed")] == [0, 0]
    assert found.case() == case


def test_what_one_gives_back_counts_as_declined_and_is_in_nobody_else_s_figures(
    paid: Deal, bench: Bench, engine: Engine
) -> None:
    me, _ = bench.join(caseload_cap=7)
    cases = [claim(paid, PRESSURED), claim(another(paid, engine), PRESSURED)]
    heir, _ = bench.join()
    path = f"/v1/mediation/cases/{encode('case', cases[0].case_id)}"
    me.made(f"{path}/decline", {"reason": "I have no time."})
    told = me.read(FIGURES)
    names = ("caseload", "caseload_cap", "given", "declined", "done", "left")
    assert {name: told[name] for name in names} == {
        "caseload": 1,
        "caseload_cap": 7,
        "given": 2,
        "declined": 1,
        "done": 0,
        "left": 0,
    }
    theirs = heir.read(FIGURES)
    assert (theirs["caseload"], theirs["given"], theirs["declined"]) == (1, 1, 0)
    before = me.read(FIGURES, since="2020-01-01T00:00:00Z", until="2020-02-01T00:00:00Z")
    assert (before["given"], before["declined"], before["caseload"]) == (0, 0, 1)


def test_the_less_of_wish_and_cap_holds_whichever_was_said_last(
    paid: Deal, bench: Bench, operator: Api, engine: Engine
) -> None:
    me, person = bench.join(caseload_cap=5)
    me.send("PATCH", PROFILE, {"caseload_wish": 1})
    assert drawn(operator, paid)["given_to"][0]["mediator"] == person.id
    bench.people.join()
    full = [{"mediator": person.id, "reasons": ["caseload_full"]}]
    assert drawn(operator, another(paid, engine))["excluded"] == full
    me.send("PATCH", PROFILE, {"caseload_wish": 4})
    operator.send("PATCH", f"/v1/operator/mediators/{person.id}", {"caseload_cap": 1})
    assert drawn(operator, another(paid, engine))["excluded"] == full
    assert me.read(FIGURES)["caseload_cap"] == 1
