"""Steps of a case that are not to be: each is refused clearly, and nothing moves."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Engine

from service.ids import encode, uuid7
from tests.http.client import Api, at_once, problem
from tests.http.court import PRESSURED, Bench, Heard, desk_path, hear, make_bench
from tests.http.deal import Deal, make_deal
from tests.http.desk import Desk

FOREIGN = "leg_0001j5x7v4e9tsmwd8w1c9xk5v"


@pytest.fixture
def bench(paid: Deal, engine: Engine, operator: Api, new_desk: Callable[[], Desk]) -> Bench:
    """A pool that serves the platform."""
    return make_bench(paid, engine, operator, new_desk)


@pytest.fixture
def case(paid: Deal) -> Heard:
    """A claim that the two talk about."""
    return hear(paid)


def _whole(case: Heard) -> tuple[Any, ...]:
    """Everything that a refused step could have moved."""
    shown, exchange = case.read(), case.exchange()
    return shown, case.journal(), exchange, case.platform.read("/v1/balances")


@pytest.mark.parametrize(
    ("body", "code", "pointer"),
    [
        ({"outcome": "split"}, "split_invalid", "/split"),
        ({"outcome": "split", "split": []}, "split_invalid", "/split"),
        ({"outcome": "split", "split": [("mine", 6_501)]}, "split_invalid", "/split"),
        ({"outcome": "split", "split": [("mine", -1)]}, "invalid_request", "/split/0/to_payee"),
        ({"outcome": "split", "split": [("mine", 0.5)]}, "invalid_request", "/split/0/to_payee"),
        ({"outcome": "split", "split": [("mine", "9")]}, "invalid_request", "/split/0/to_payee"),
        ({"outcome": "split", "split": [("mine", True)]}, "invalid_request", "/split/0/to_payee"),
        ({"outcome": "split", "split": [("mine", 10**30)]}, "invalid_body", "/split/0/to_payee"),
        ({"outcome": "split", "split": [(FOREIGN, 1)]}, "split_invalid", "/split"),
        ({"outcome": "split", "split": [("mine", 1), (FOREIGN, 1)]}, "split_invalid", "/split"),
        ({"outcome": "split", "split": [("mine", 1)] * 2}, "split_invalid", "/split/1/leg"),
        ({"outcome": "split", "split": [("ex_1", 1)]}, "invalid_request", "/split/0/leg"),
        ({"outcome": "to_payer", "split": [("mine", 1)]}, "split_invalid", "/split"),
        ({"outcome": "repair", "split": [("mine", 1)]}, "split_invalid", "/split"),
        ({"outcome": "withdrawn"}, "invalid_request", "/outcome"),
        ({"outcome": "everything"}, "invalid_request", "/outcome"),
        ({}, "invalid_request", "/outcome"),
        ({"outcome": "to_payer", "text": "x" * 5_001}, "invalid_request", "/text"),
        ({"outcome": "to_payer", "bonus": 1}, "invalid_request", "/bonus"),
        ({"outcome": "to_payer", "extra": "HOURS"}, "split_invalid", "/extra"),
        (
            {"outcome": "split", "split": "all", "extra": "EUR"},
            "extra_invalid",
            "/extra/amount/unit",
        ),
        (
            {"outcome": "split", "split": "all", "extra": "PEARLS"},
            "extra_invalid",
            "/extra/amount/unit",
        ),
        ({"outcome": "split", "split": "all", "extra": "euro"}, "invalid_request", None),
    ],
)
def test_an_offer_that_does_not_fit_is_refused_and_nothing_moves(
    case: Heard, body: dict[str, Any], code: str, pointer: str | None
) -> None:
    case.platform.made("/v1/units", {"code": "HOURS", "name": "Hours"})
    (line,) = case.read()["lines"]
    said = dict(body)
    if said.get("split") == "all":
        said["split"] = [("mine", 6_500)]
    if "split" in said:
        said["split"] = [
            {"leg": line["leg"] if leg == "mine" else leg, "to_payee": part}
            for leg, part in said["split"]
        ]
    if "extra" in said:
        said["extra"] = {"by": "payee", "amount": {"amount": 1, "unit": said["extra"]}}
    before = _whole(case)
    found = problem(case.post(case.payee, "make-offer", said), 422, code)
    assert found["pointer"] == (pointer or "/extra/amount/unit")
    assert "leg" not in str(found["facts"]) or line["leg"] in str(found["facts"])
    assert line["id"] not in str(found)
    assert _whole(case) == before


def _steps(case: Heard) -> dict[str, dict[str, Any]]:
    """A body that fits for each step that a side can take."""
    offer, proposal = encode("offer", uuid7()), encode("proposal", uuid7())
    return {
        "make-offer": {"outcome": "to_payer"},
        "withdraw-offer": {"offer": offer},
        "reject-offer": {"offer": offer},
        "accept-offer": {"offer": offer},
        "withdraw-claim": {},
        "call-mediator": {},
        "accept-proposal": {"proposal": proposal},
        "reject-proposal": {"proposal": proposal},
        "appeal": {"ground": "procedure", "text": "x"},
        "mark-returned": {},
        "confirm-returned": {},
        "mark-repaired": {},
        "confirm-repaired": {},
        "reject-repair": {},
        "challenge": {"text": "x"},
    }


def test_strangers_and_neighbours_find_no_case_at_any_of_its_addresses(
    case: Heard, neighbour: Api
) -> None:
    stranger = case.platform.member()["id"]
    theirs = neighbour.member()["id"]
    before = _whole(case)
    for step, body in _steps(case).items():
        outside = case.platform.acting(stranger)
        problem(case.post(outside, step, body), 404, "case_not_found")
        problem(case.post(neighbour, step, {**body, "member": theirs}), 404, "case_not_found")
        named = {**body, "member": stranger}
        assert case.post(case.platform, step, named).status_code in {404, 409}, step
        foreign = {**body, "member": theirs}
        assert case.post(case.platform, step, foreign).status_code in {404, 409}, step
        gone = f"/v1/cases/{encode('case', uuid7())}/{step}"
        problem(case.payer.post(gone, body), 404, "case_not_found")
    assert _whole(case) == before


def test_out_of_stage_a_step_is_refused_with_the_stage(case: Heard) -> None:
    before = _whole(case)
    later = set(_steps(case)) - {
        "make-offer",
        "withdraw-offer",
        "reject-offer",
        "accept-offer",
        "withdraw-claim",
        "call-mediator",
    }
    for step in later:
        found = problem(case.post(case.payer, step, _steps(case)[step]), 409, "not_now_in_case")
        assert found["facts"] == {"stage": "talk"}
    assert _whole(case) == before


def test_nothing_is_done_in_a_case_that_is_closed(case: Heard) -> None:
    case.made(case.payer, "withdraw-claim")
    before = _whole(case)
    for step, body in _steps(case).items():
        problem(case.post(case.payer, step, body), 409, "case_closed")
    assert _whole(case) == before


def test_who_did_not_claim_or_offer_cannot_take_it_back_or_answer_themselves(case: Heard) -> None:
    problem(case.post(case.payee, "withdraw-claim"), 403, "not_your_turn")
    offer = {"offer": case.offer(case.payee, "to_payer")}
    before = _whole(case)
    problem(case.post(case.payer, "withdraw-offer", offer), 403, "not_your_turn")
    problem(case.post(case.payee, "accept-offer", offer), 403, "not_your_turn")
    problem(case.post(case.payee, "reject-offer", offer), 403, "not_your_turn")
    problem(case.post(case.payer, "accept-offer", {}), 422, "invalid_request")
    problem(case.post(case.payer, "accept-offer", {"offer": case.id}), 422, "invalid_request")
    assert _whole(case) == before


def test_a_step_meant_for_what_the_case_was_is_refused_with_what_it_is(case: Heard) -> None:
    seen = case.read()["version"]
    offer = {"offer": case.offer(case.payee, "to_payer")}
    before = _whole(case)
    answer = case.post(case.payer, "accept-offer", {**offer, "version": seen})
    now = problem(answer, 409, "stale_version")["facts"]["version"]
    assert now == case.read()["version"] != seen
    problem(case.post(case.payer, "accept-offer", {**offer, "version": 0}), 422, "invalid_request")
    assert _whole(case) == before
    assert case.made(case.payer, "accept-offer", {**offer, "version": now})["stage"] == "closed"


def test_a_key_that_may_only_read_takes_no_step(
    paid: Deal, case: Heard, new_api: Callable[..., Api]
) -> None:
    body = {"outcome": "to_payer", "member": paid.payee["id"]}
    owner = paid.platform_id
    reader = new_api("cases:read", platform_id=owner)
    assert reader.read(case.path)["id"] == case.id
    problem(case.post(reader, "make-offer", body), 403, "scope_missing")
    alone = new_api("cases:write", platform_id=owner)
    problem(case.post(alone, "make-offer", body), 403, "scope_missing")
    problem(alone.get(case.path), 403, "scope_missing")
    assert case.read()["offer"] is None


def test_the_same_key_for_another_step_is_refused(case: Heard) -> None:
    key = secrets.token_hex(16)
    offer = case.post(case.payee, "make-offer", {"outcome": "to_payer"}, key=key)
    assert offer.status_code == 200
    other = case.post(case.payee, "make-offer", {"outcome": "to_payee"}, key=key)
    problem(other, 422, "idempotency_key_reused")
    assert case.read()["offer"]["outcome"] == "to_payer"


@pytest.mark.parametrize("attempt", range(3))
def test_of_a_yes_and_a_no_at_once_one_holds(paid: Deal, attempt: int) -> None:
    case = hear(paid)
    offer = {"offer": case.offer(case.payee, split=case.split(2_000))}
    answers = at_once(
        partial(case.post, case.payer, "accept-offer", offer),
        partial(case.post, case.payer, "reject-offer", offer),
        partial(case.post, case.payee, "withdraw-offer", offer),
    )
    taken = [answer for answer in answers if answer.status_code == 200]
    assert len(taken) == 1, [answer.text for answer in answers]
    for answer in answers:
        if answer is not taken[0]:
            assert answer.json()["code"] in {"nothing_open", "case_closed"}
    accepted = answers[0] is taken[0]
    assert case.shares() == [(4_500, 2_000) if accepted else (None, None)]
    assert (case.read()["stage"] == "closed") is accepted


@pytest.mark.parametrize("attempt", range(3))
def test_a_neutral_whom_both_call_at_once_is_called_once(
    paid: Deal, bench: Bench, attempt: int
) -> None:
    bench.join()
    case = hear(paid)
    case.later("P2D")
    answers = at_once(
        partial(case.post, case.payer, "call-mediator"),
        partial(case.post, case.payee, "call-mediator"),
    )
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    assert {one.json().get("code") for one in answers} == {None, "not_now_in_case"}
    assert case.said() == ["opened", "mediator_called", "assigned"]
    assert len(case.read()["neutrals"]) == 1


@pytest.mark.parametrize("attempt", range(3))
def test_of_two_answers_to_a_proposal_at_once_a_no_ends_it_and_two_yes_hold(
    paid: Deal, bench: Bench, engine: Engine, attempt: int
) -> None:
    mediator, _ = bench.join()
    case = hear(paid, PRESSURED)
    mediator.made(f"{desk_path(case)}/propose", {"outcome": "to_payer", "text": "All back?"})
    answer = {"proposal": case.read()["proposal"]["id"]}
    steps = ("accept-proposal", "reject-proposal" if attempt else "accept-proposal")
    yes, other = at_once(
        partial(case.post, case.payer, steps[0], answer),
        partial(case.post, case.payee, steps[1], answer),
    )
    assert other.status_code == 200, other.text
    if attempt:
        # A no counts whether the yes was there before it or not.
        assert yes.status_code in {200, 409}
        assert (case.read()["stage"], case.shares()) == ("decision", [(None, None)])
    else:
        assert yes.status_code == 200, yes.text
        assert (case.read()["stage"], case.shares()) == ("closed", [(6_500, 0)])


@pytest.mark.parametrize("attempt", range(2))
def test_the_same_yes_many_times_at_once_is_carried_out_once(paid: Deal, attempt: int) -> None:
    case = hear(paid)
    offer = {"offer": case.offer(case.payee, split=case.split(1))}
    key = secrets.token_hex(16)
    answers = at_once(*[partial(case.post, case.payer, "accept-offer", offer, key=key)] * 5)
    assert {answer.status_code for answer in answers} <= {200, 409}
    assert any(answer.status_code == 200 for answer in answers)
    assert case.said() == ["opened", "offer_made", "offer_accepted", "closed"]
    assert case.shares() == [(6_499, 1)]
    again = case.post(case.payer, "accept-offer", offer, key=key)
    assert again.headers["idempotent-replayed"] == "true"


def test_two_members_of_one_platform_never_read_each_other_s_cases(
    paid: Deal, api: Api, engine: Engine
) -> None:
    other = make_deal(api, engine, agreed=True)
    other.fund()
    mine, theirs = hear(paid), hear(other)
    for path in (theirs.path, f"{theirs.path}/journal"):
        problem(mine.payer.get(path), 404, "case_not_found")
        assert theirs.payee.get(path).status_code == 200
    assert [one["id"] for one in mine.payee.read("/v1/cases")["data"]] == [mine.id]
    assert mine.payer.read("/v1/cases", exchange=other.exchange["id"])["data"] == []
