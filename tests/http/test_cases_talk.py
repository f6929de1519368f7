"""Direct talk over HTTP: offers of every sort, their end, and what comes of what was agreed."""

from __future__ import annotations

from typing import Any

import pytest

from service.http.dispute_words import notice, words
from tests.http.client import Api, problem
from tests.http.court import DAMAGED, Heard, hear
from tests.http.deal import Deal


def _agreed(case: Heard, outcome: str, **more: Any) -> dict[str, Any]:
    """The payee offers and the payer accepts."""
    offer = case.offer(case.payee, outcome, **more)
    return case.made(case.payer, "accept-offer", {"offer": offer})


def _balance(api: Api, member: dict[str, Any], unit: str) -> int:
    found = api.read(f"/v1/members/{member['id']}/balances")["data"]
    return sum(int(one["balance"]) for one in found if one["unit"] == unit)


def test_a_case_says_what_it_is_about_how_it_can_end_and_what_happens_when(paid: Deal) -> None:
    case = hear(paid, text="It is cracked.")
    shown = case.read(case.payee)
    question = shown["question"]
    assert (question["reason"], question["text"]) == ("damaged", "It is cracked.")
    assert [one["answer"] for one in question["answers"]] == list(DAMAGED["answers"].values())
    assert question["answers"][0]["words"] == words("questions", "what_is_damaged")
    assert [one["code"] for one in question["asked"]] == ["condition_before"]
    outcomes = {one["outcome"]: one for one in shown["outcomes"]}
    assert [one["to_payer"] for one in outcomes["to_payer"]["shares"]] == [6_500]
    assert [one["to_payee"] for one in outcomes["to_payee"]["shares"]] == [6_500]
    assert outcomes["split"]["shares"] is outcomes["repair"]["shares"] is None
    assert (shown["lines"][0]["amount"], shown["lines"][0]["unit"]) == (6_500, "EUR")
    names = [one["name"] for one in shown["deadlines"]]
    assert names == ["call_mediator", "end_talk", "reach_limit"]
    assert shown["deadlines"][1]["due_at"] == shown["due_at"]
    assert shown["deadlines"][1]["words"] == words("next", "talk")
    assert shown["deadlines"][2]["due_at"] == shown["decide_by"]
    assert shown["notice"] == notice()
    for action in shown["next_actions"]:
        assert (action["by"], action["method"]) == ("payee", "POST")
        assert action["words"] == words("steps", action["step"])
        assert action["path"].startswith(f"{case.path}/")
    by_side = {(one["by"], one["step"]) for one in case.read()["next_actions"]}
    assert by_side == {
        ("payer", "make_offer"),
        ("payer", "withdraw_claim"),
        ("payee", "make_offer"),
    }


def test_every_step_that_is_offered_is_taken_at_its_address(paid: Deal) -> None:
    case = hear(paid)
    body = {"outcome": "to_payer", "member": paid.payee["id"]}
    (action,) = [one for one in case.read()["next_actions"] if one["step"] == "withdraw_claim"]
    (offer,) = case.read(case.payee)["next_actions"]
    assert case.platform.post(offer["path"], body).status_code == 200
    taken = case.platform.made(action["path"], {"member": paid.payer["id"]})
    assert (taken["stage"], taken["outcome"]) == ("closed", "withdrawn")


def test_a_claim_that_is_taken_back_leaves_the_exchange_as_it_was(paid: Deal) -> None:
    case = hear(paid)
    done = case.made(case.payer, "withdraw-claim")
    assert (done["stage"], done["settlement"], done["next_actions"]) == ("closed", None, [])
    exchange = case.exchange()
    assert (exchange["case"], exchange["state"]) == (None, "active")
    assert not any(leg["disputed"] for leg in exchange["legs"])
    assert {"confirm", "claim"} <= {one["step"] for one in exchange["next_actions"]}


@pytest.mark.parametrize("part", [0, 1, 6_499, 6_500])
def test_a_split_goes_to_the_last_cent_to_whom_it_names(paid: Deal, part: int) -> None:
    case = hear(paid)
    done = _agreed(case, "split", split=case.split(part))
    assert done["settlement"][0] == {
        "leg": done["lines"][0]["leg"],
        "unit": "EUR",
        "to_payer": 6_500 - part,
        "to_payee": part,
    }
    assert case.shares() == [(6_500 - part, part)]


def test_a_new_offer_takes_the_place_of_the_one_before_which_nobody_can_accept(paid: Deal) -> None:
    case = hear(paid)
    first = case.offer(case.payee, "to_payer")
    second = case.offer(case.payee, split=case.split(6_000))
    for step in ("accept-offer", "reject-offer"):
        problem(case.post(case.payer, step, {"offer": first}), 409, "nothing_open")
    problem(case.post(case.payee, "withdraw-offer", {"offer": first}), 409, "nothing_open")
    assert case.read()["offer"]["id"] == second
    rejected = case.made(case.payer, "reject-offer", {"offer": second})
    assert (rejected["offer"], rejected["stage"]) == (None, "talk")
    problem(case.post(case.payer, "accept-offer", {"offer": second}), 409, "nothing_open")
    third = case.offer(case.payer, "to_payer")
    assert case.made(case.payer, "withdraw-offer", {"offer": third})["offer"] is None
    assert case.shares() == [(None, None)]


def test_an_offer_lapses_when_its_time_is_over_and_says_so_before(paid: Deal) -> None:
    case = hear(paid)
    offer = case.offer(case.payee, "to_payer")
    ends = {one["name"]: one for one in case.read(case.payer)["deadlines"]}
    assert ends["offer"]["due_at"] == case.read()["offer"]["expires_at"]
    assert ends["offer"]["words"] == words("limit", "offer")
    case.later("P3D")
    shown = case.read(case.payer)
    assert shown["offer"] is None
    assert "offer" not in {one["name"] for one in shown["deadlines"]}
    assert "accept_offer" not in {one["step"] for one in shown["next_actions"]}
    problem(case.post(case.payer, "accept-offer", {"offer": offer}), 409, "nothing_open")
    assert case.shares() == [(None, None)]


def test_it_goes_back_first_and_then_the_money_does(paid: Deal) -> None:
    case = hear(paid)
    done = _agreed(case, "return_then_refund")
    assert (done["stage"], done["outcome"]) == ("returning", "return_then_refund")
    assert (case.steps(case.payer), case.steps(case.payee)) == (
        {"mark_returned"},
        {"confirm_returned"},
    )
    problem(case.post(case.payee, "mark-returned", {}), 403, "not_your_turn")
    problem(case.post(case.payer, "confirm-returned"), 403, "not_your_turn")
    assert case.shares() == [(None, None)]
    sent = case.made(case.payer, "mark-returned", {"text": "By parcel, 6A123."})
    assert sent["marked_at"] is not None
    back = case.made(case.payee, "confirm-returned")
    assert (back["stage"], back["outcome"]) == ("closed", "to_payer")
    assert case.shares() == [(6_500, 0)]


def test_what_is_not_sent_back_in_time_is_paid_to_the_payee(paid: Deal) -> None:
    case = hear(paid)
    _agreed(case, "return_then_refund")
    case.later("P14D")
    assert case.read()["outcome"] == "to_payee"
    assert case.shares() == [(0, 6_500)]
    assert "not_returned" in case.said()


def test_a_return_that_nobody_confirms_is_for_a_neutral_to_decide(paid: Deal) -> None:
    case = hear(paid)
    _agreed(case, "return_then_refund")
    case.made(case.payer, "mark-returned", {})
    case.later("P14D")
    assert (case.read()["stage"], case.read()["outcome"]) == ("decision", None)
    assert case.shares() == [(None, None)]


def test_what_is_mended_goes_on_as_it_was_agreed(paid: Deal) -> None:
    case = hear(paid)
    assert _agreed(case, "repair")["stage"] == "repairing"
    assert (case.steps(case.payee), case.steps(case.payer)) == (
        {"mark_repaired"},
        {"confirm_repaired", "reject_repair"},
    )
    problem(case.post(case.payer, "mark-repaired", {}), 403, "not_your_turn")
    case.made(case.payee, "mark-repaired", {"text": "A new frame."})
    done = case.made(case.payer, "confirm-repaired")
    assert (done["stage"], done["outcome"], done["settlement"]) == ("closed", "repair", None)
    assert (case.exchange()["case"], case.exchange()["state"]) == (None, "active")


def test_what_is_not_mended_is_for_a_neutral_to_decide(paid: Deal) -> None:
    case = hear(paid)
    _agreed(case, "repair")
    problem(case.post(case.payee, "reject-repair", {}), 403, "not_your_turn")
    done = case.made(case.payer, "reject-repair", {"text": "It still rattles."})
    assert (done["stage"], done["outcome"]) == ("decision", None)
    assert case.shares() == [(None, None)]


def test_hours_are_given_beside_a_split_when_it_is_accepted(paid: Deal) -> None:
    paid.api.made("/v1/units", {"code": "HOURS", "name": "Hours", "credit_limit": 1_000})
    case = hear(paid)
    extra = {"by": "payee", "amount": {"amount": 150, "unit": "HOURS"}}
    offer = case.offer(case.payee, split=case.split(6_500), extra=extra)
    shown = case.read(case.payer)["offer"]["extra"]
    assert shown == {"by": "payee", "amount": 150, "unit": "HOURS"}
    assert _balance(paid.api, paid.payer, "HOURS") == 0
    case.made(case.payer, "accept-offer", {"offer": offer})
    assert _balance(paid.api, paid.payer, "HOURS") == 150
    assert _balance(paid.api, paid.payee, "HOURS") == -150
    assert case.shares() == [(0, 6_500)]


def test_hours_that_the_giver_has_not_are_refused_and_nothing_moves(paid: Deal) -> None:
    paid.api.made("/v1/units", {"code": "HOURS", "name": "Hours", "credit_limit": 100})
    case = hear(paid)
    extra = {"by": "payee", "amount": {"amount": 101, "unit": "HOURS"}}
    offer = case.offer(case.payee, split=case.split(6_500), extra=extra)
    before = case.read()
    answer = case.post(case.payer, "accept-offer", {"offer": offer})
    assert problem(answer, 409, "credit_limit_reached")["facts"] == {"units": ["HOURS"]}
    assert case.read() == before
    assert case.shares() == [(None, None)]
    assert _balance(paid.api, paid.payer, "HOURS") == 0


def test_a_neutral_is_called_when_the_other_side_had_time_to_answer(paid: Deal) -> None:
    case = hear(paid)
    for side in (case.payer, case.payee):
        assert "call_mediator" not in case.steps(side)
    found = problem(case.post(case.payee, "call-mediator"), 409, "too_soon")
    (end,) = [one for one in case.read()["deadlines"] if one["name"] == "call_mediator"]
    assert found["facts"]["from_when"][:19] == end["due_at"][:19]
    case.later("P2D")
    assert {"call_mediator"} <= case.steps(case.payer)
    called = case.made(case.payee, "call-mediator")
    assert (called["stage"], called["neutrals"]) == ("mediation", [])
    problem(case.post(case.payer, "call-mediator"), 409, "not_now_in_case")


def test_talk_that_settles_nothing_in_time_brings_a_neutral(paid: Deal) -> None:
    case = hear(paid)
    case.later("P10D")
    assert case.read()["stage"] == "mediation"
    said = case.said()
    assert said[:2] == ["opened", "reminded"], "whoever owes a word is reminded before the end"
    assert [line for line in said if line != "reminded"][:2] == ["opened", "talk_ended"]


def test_platforms_act_for_a_member_that_they_name(paid: Deal) -> None:
    case = hear(paid)
    body = {"outcome": "to_payer"}
    found = problem(case.post(case.platform, "make-offer", body), 422, "member_required")
    assert found["pointer"] == "/member"
    shown = case.made(case.platform, "make-offer", {**body, "member": paid.payee["id"]})
    assert (shown["offer"]["by"], case.said()[-1]) == ("payee", "offer_made")
    elsewhere = {"offer": shown["offer"]["id"], "member": paid.payee["id"]}
    problem(case.post(case.payer, "accept-offer", elsewhere), 403, "not_yourself")
    assert case.read()["stage"] == "talk"
