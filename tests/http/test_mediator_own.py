"""What mediators say and read about themselves, strikes, and decisions made again blindly."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine

from disputes import redecisions, store
from service.ids import decode, encode, uuid7
from tests.disputes.people import NOW
from tests.http.client import Api, problem
from tests.http.court import PRESSURED, WHY, Bench, Heard, desk_path, hear, make_bench
from tests.http.deal import Deal
from tests.http.desk import Desk

PROFILE = "/v1/mediation/me/profile"
INTERESTS = "/v1/mediation/interests"
REDECISIONS = "/v1/mediation/redecisions"
DECISION = {"outcome": "to_payer", "reason_code": "evidence", "reasons": WHY}


@pytest.fixture
def bench(paid: Deal, engine: Engine, operator: Api, new_desk: Callable[[], Desk]) -> Bench:
    """A pool that serves the platform."""
    return make_bench(paid, engine, operator, new_desk)


def decided(paid: Deal, mediator: Api) -> Heard:
    """A case that the only mediator there is has decided, and both sides were told."""
    case = hear(paid, PRESSURED)
    assert mediator.made(f"{desk_path(case)}/decide", DECISION)["stage"] == "appealable"
    return case


def sampled(bench: Bench, case: Heard) -> None:
    """The lot puts the decision in the sample."""
    with bench.people.everywhere() as connection:
        found = bench.people
        id_ = decode("case", case.id)
        one = store.load(connection, found.platform_id, [id_], lock=True)[id_]
        assert redecisions.begin(connection, one, os.urandom(32), NOW, 1000) is not None


def test_a_mediator_changes_what_is_theirs_to_say_and_draws_go_by_it(
    paid: Deal, bench: Bench
) -> None:
    me, person = bench.join(caseload_cap=5)
    before = me.read(PROFILE)
    assert (before["id"], before["caseload_cap"], before["caseload_wish"]) == (person.id, 5, None)
    sent = {"languages": ["fr", "en", "br"], "skills": ["bicycles"], "caseload_wish": 0}
    answer = me.send("PATCH", PROFILE, sent)
    assert answer.status_code == 200, answer.text
    shown = before | sent | {"languages": ["br", "en", "fr"]}
    assert me.read(PROFILE) == shown == answer.json()
    case = hear(paid, PRESSURED)
    problem(me.get(desk_path(case)), 404, "case_not_found")
    refused = me.post("/v1/mediation/queue/claim-next")
    problem(refused, 409, "mediator_not_available")
    me.send("PATCH", PROFILE, {"caseload_wish": None, "away_until": "2199-01-01T00:00:00Z"})
    refused = me.post("/v1/mediation/queue/claim-next")
    problem(refused, 409, "mediator_not_available")
    me.send("PATCH", PROFILE, {"away_until": None})
    assert me.made("/v1/mediation/queue/claim-next")["id"] == case.id


@pytest.mark.parametrize(
    "wrong",
    [
        {"caseload_cap": 900},
        {"roles": ["supervisor"]},
        {"name": "Somebody else"},
        {"languages": []},
        {"languages": None},
        {"caseload_wish": -1},
        {"caseload_wish": "2"},
    ],
)
def test_nobody_raises_their_own_cap_or_role(bench: Bench, wrong: dict[str, Any]) -> None:
    me, _ = bench.join()
    before = me.read(PROFILE)
    problem(me.send("PATCH", PROFILE, {"skills": ["x"]} | wrong), 422, "invalid_request")
    assert me.read(PROFILE) == before


def test_a_wish_above_the_operator_s_cap_does_not_hold(
    paid: Deal, bench: Bench, operator: Api
) -> None:
    me, person = bench.join(caseload_cap=0)
    me.send("PATCH", PROFILE, {"caseload_wish": 50})
    case = hear(paid, PRESSURED)
    assert case.read()["neutrals"] == []
    problem(me.get(desk_path(case)), 404, "case_not_found")
    assert operator.read(f"/v1/operator/mediators/{person.id}")["caseload_wish"] == 50


def test_who_declares_an_interest_is_drawn_for_nothing_that_it_touches(
    paid: Deal, bench: Bench
) -> None:
    me, person = bench.join()
    platform = encode("platform", paid.platform_id)
    said = {"platform": platform, "member": paid.payee["id"], "note": "We sing together."}
    made = me.made(INTERESTS, said)
    assert (made["kind"], made["declared_by"], made["mediator"]) == (
        "interest",
        "mediator",
        person.id,
    )
    assert me.read(INTERESTS)["data"] == [made]
    other, _ = bench.join()
    assert other.read(INTERESTS)["data"] == []
    problem(other.post(f"{INTERESTS}/{made['id']}/end"), 404, "tie_not_found")
    case = hear(paid, PRESSURED)
    assert other.get(desk_path(case)).status_code == 200
    assert me.get(desk_path(case)).status_code == 404
    ended = me.made(f"{INTERESTS}/{made['id']}/end")
    assert ended["ended_at"] is not None
    assert me.read(INTERESTS)["data"] == [ended]


def test_one_who_has_a_case_and_declares_an_interest_in_it_can_do_nothing_in_it_any_more(
    paid: Deal, bench: Bench
) -> None:
    me, _ = bench.join()
    case = hear(paid, PRESSURED)
    me.made(INTERESTS, {"kind": "household", "platform": encode("platform", paid.platform_id),
                        "member": paid.payer["id"]})  # fmt: skip
    problem(me.post(f"{desk_path(case)}/decide", DECISION), 404, "not_your_case")
    assert case.shares() == [(None, None)]


def test_what_others_told_of_a_mediator_is_neither_shown_to_them_nor_theirs_to_end(
    paid: Deal, bench: Bench, operator: Api
) -> None:
    me, person = bench.join()
    staff = {"kind": "staff", "platform": encode("platform", paid.platform_id)}
    made = operator.made(f"/v1/operator/mediators/{person.id}/ties", staff)
    assert me.read(INTERESTS)["data"] == []
    problem(me.post(f"{INTERESTS}/{made['id']}/end"), 404, "tie_not_found")
    (still,) = operator.read(f"/v1/operator/mediators/{person.id}/ties")["data"]
    assert still["ended_at"] is None


def test_an_interest_in_what_there_is_not_is_refused(paid: Deal, bench: Bench) -> None:
    me, _ = bench.join()
    platform = encode("platform", paid.platform_id)
    stranger = {"platform": platform, "member": encode("member", uuid7())}
    problem(me.post(INTERESTS, stranger), 404, "member_not_found")
    nowhere = {"platform": encode("platform", uuid7())}
    problem(me.post(INTERESTS, nowhere), 404, "platform_not_found")
    problem(me.post(INTERESTS, {"kind": "helper", "platform": platform}), 422, "mediator_invalid")
    problem(me.post(INTERESTS, {"kind": "instrument", "platform": platform}), 422,
            "invalid_request")  # fmt: skip
    assert me.read(INTERESTS)["data"] == []


def test_a_decision_is_made_again_blind_once_and_counts_for_the_first(
    paid: Deal, bench: Bench
) -> None:
    first, _ = bench.join()
    case = decided(paid, first)
    second, _ = bench.join()
    sampled(bench, case)
    assert first.read(REDECISIONS)["data"] == []
    (one,) = second.read(REDECISIONS)["data"]
    assert one["case"] == case.id
    path = f"{REDECISIONS}/{one['id']}"
    shown = second.read(path)
    assert shown["file"]["answers"] == PRESSURED["answers"]
    assert not {"ruling", "journal", "outcome", "settlement", "proposal"} & shown.keys()
    assert WHY.strip() not in str(shown)
    assert "evidence_needed" in shown["file"]
    problem(second.get(desk_path(case)), 404, "case_not_found")
    evidence = second.get(f"{desk_path(case)}/evidence")
    assert evidence.status_code == 200, evidence.text
    problem(first.get(path), 404, "case_not_found")
    mine = {"outcome": "to_payer", "reasons": WHY}
    problem(first.post(f"{path}/decide", mine), 404, "case_not_found")
    problem(second.post(f"{path}/decide", mine | {"reasons": "x"}), 422, "reasons_missing")
    problem(second.post(f"{path}/decide", mine | {"outcome": "moot"}), 422, "outcome_not_open")
    before = case.read()
    told = second.made(f"{path}/decide", mine)
    assert told == {"id": one["id"], "object": "redecision", "outcome": "to_payer"}
    problem(second.post(f"{path}/decide", mine), 409, "already_redecided")
    assert second.read(REDECISIONS)["data"] == []
    assert (case.read(), case.shares()) == (before, [(None, None)]), "nothing moves by it"


def test_a_supervisor_who_is_to_decide_again_does_not_read_the_decision_first(
    paid: Deal, bench: Bench
) -> None:
    me, _ = bench.join()
    case = decided(paid, me)
    boss, _ = bench.join(roles=["mediator", "supervisor"])
    assert boss.read(desk_path(case))["ruling"] is not None
    sampled(bench, case)
    problem(boss.get(desk_path(case)), 404, "case_not_found")
    (one,) = boss.read(REDECISIONS)["data"]
    boss.made(f"{REDECISIONS}/{one['id']}/decide", {"outcome": "to_payer", "reasons": WHY})
    assert boss.read(desk_path(case))["ruling"] is not None


def test_figures_are_one_s_own(paid: Deal, bench: Bench) -> None:
    me, _ = bench.join()
    decided(paid, me)
    other, _ = bench.join()
    mine = me.read("/v1/mediation/me/statistics", since="2020-01-01T00:00:00Z")
    assert (mine["given"], mine["done"], mine["declined"], mine["caseload"]) == (1, 1, 0, 0)
    assert mine["median_seconds"] is not None
    none = other.read("/v1/mediation/me/statistics")
    assert (none["given"], none["done"], none["median_seconds"]) == (0, 0, None)


def test_a_strike_is_given_by_who_decided_and_lifted_by_a_supervisor(
    paid: Deal, bench: Bench
) -> None:
    me, _ = bench.join()
    case = hear(paid, PRESSURED)
    path, body = f"{desk_path(case)}/strike", {"reason": "untrue_facts"}
    problem(me.post(path, body), 404, "case_not_found")
    me.made(f"{desk_path(case)}/decide", DECISION)
    other, _ = bench.join()
    problem(other.post(path, body), 404, "case_not_found")
    problem(me.post(path, {"reason": "wrong"}), 422, "invalid_request")
    made = me.made(path, body)
    assert (made["member"], made["case"], made["lifted_at"]) == (paid.payer["id"], case.id, None)
    assert me.made(path, {"reason": "extortion"}) == made, "one a case: the first holds"
    lift = f"/v1/mediation/strikes/{made['id']}/lift"
    problem(me.post(lift), 403, "role_missing")
    problem(me.get(f"{desk_path(case)}/strikes"), 403, "role_missing")
    boss, _ = bench.join(roles=["supervisor"])
    assert boss.read(f"{desk_path(case)}/strikes")["data"] == [made]
    lifted = boss.made(lift)
    assert lifted["lifted_at"] is not None
    assert boss.made(lift) == lifted
    assert boss.read(f"{desk_path(case)}/strikes")["data"] == [lifted]


def test_a_supervisor_of_other_platforms_lifts_no_strike(
    paid: Deal, bench: Bench, operator: Api, new_desk: Callable[[], Desk]
) -> None:
    me, _ = bench.join()
    case = decided(paid, me)
    made = me.made(f"{desk_path(case)}/strike", {"reason": "extortion"})
    boss, person = bench.join(roles=["supervisor"])
    pool = encode("pool", bench.people.pool_id)
    operator.send("DELETE", f"/v1/operator/pools/{pool}/mediators/{person.id}")
    problem(boss.post(f"/v1/mediation/strikes/{made['id']}/lift"), 404, "strike_not_found")
    problem(boss.get(f"{desk_path(case)}/strikes"), 404, "case_not_found")
    nothing = f"/v1/mediation/strikes/{encode('strike', uuid7())}/lift"
    problem(boss.post(nothing), 404, "strike_not_found")


def test_an_operator_of_the_desk_gives_no_strike_and_decides_nothing_again(bench: Bench) -> None:
    office, _ = bench.join(roles=["operator"])
    problem(office.get(REDECISIONS), 403, "role_missing")
    problem(office.get(INTERESTS), 403, "role_missing")
    assert office.get(PROFILE).status_code == 200
