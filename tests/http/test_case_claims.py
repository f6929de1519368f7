"""Claims over HTTP: the reasons that there are, what a claim says, and what it does at once."""

from __future__ import annotations

from typing import Any, Final

import pytest
from sqlalchemy import Engine

from disputes.model import Stage
from disputes.options import PARTIES
from disputes.outcomes import Outcome, Presumed
from disputes.reasons import REASONS, SILENCE
from disputes.steps import STEPS
from service.http.dispute_words import notice, words
from service.ids import encode, uuid7
from tests.http.client import Api, problem
from tests.http.deal import Deal, make_deal

DAMAGED: Final[dict[str, Any]] = {
    "reason": "damaged",
    "answers": {"what_is_damaged": "The frame.", "when_noticed": "At once."},
    "text": "It is cracked.",
}


def _path(deal: Deal) -> str:
    return f"/v1/exchanges/{deal.exchange['id']}"


def _leg(deal: Deal) -> str:
    return str(deal.exchange["legs"][0]["id"])


def _claim(deal: Deal, **changed: Any) -> Any:
    return deal.api.post(f"{_path(deal)}/claim", {"member": deal.payer["id"], **DAMAGED, **changed})


def _nothing_happened(deal: Deal) -> None:
    exchange = deal.api.read(_path(deal))
    assert exchange["case"] is None
    assert not any(leg["disputed"] for leg in exchange["legs"])
    assert deal.api.read("/v1/cases")["data"] == []


def test_every_reason_question_outcome_and_stage_has_words_in_all_three_languages() -> None:
    reasons = [*REASONS.values(), SILENCE]
    wanted: dict[str, set[str]] = {
        "reasons": {one.code for one in reasons},
        "questions": {code for one in reasons for code in (*one.questions, *one.asked)},
        "sorts": {sort for one in reasons for sort in one.needs | one.helps},
        "outcomes": set(Outcome),
        "effects": set(Outcome),
        "presumed": set(Presumed),
        "stages": set(Stage),
        "next": set(Stage),
        "limit": {"reach_limit", "offer", "proposal", "call_mediator"},
        "steps": {step.name for step in STEPS if step.by in PARTIES},
    }
    for group, codes in wanted.items():
        for code in codes:
            said = words(group, code)
            assert set(said) == {"fr", "en", "br"}
            assert all(said.values()), (group, code)
            assert len(set(said.values())) >= 2, (group, code)
    assert set(notice()) == {"fr", "en", "br"}


def test_reasons_are_told_as_data_for_this_kind_and_this_side(api: Api) -> None:
    found = api.read("/v1/claim-reasons")
    assert [one["reason"] for one in found["data"]] == list(REASONS)
    assert found["notice"] == notice()
    found = api.read("/v1/claim-reasons", kind="rental", by="payee")
    assert {one["reason"] for one in found["data"]} == {
        "no_show",
        "not_confirmed",
        "deposit_damage",
        "not_returned",
        "pressure_or_scam",
    }
    damage = next(one for one in found["data"] if one["reason"] == "deposit_damage")
    assert [one["code"] for one in damage["questions"]] == ["what_is_damaged", "what_repair_costs"]
    assert [one["code"] for one in damage["asked"]] == ["condition_at_return"]
    assert [one["sort"] for one in damage["evidence_needed"]] == ["photo"]
    assert damage["presumed"] == "payer"
    outcomes = {one["outcome"]: one for one in damage["outcomes"]}
    assert outcomes["split"]["decided"]
    assert outcomes["split"]["agreed"]
    assert not outcomes["repair"]["decided"]
    assert not outcomes["cannot_decide"]["agreed"]
    stages = [(one["stage"], one["hours"], one["hours_with_more_time"]) for one in damage["stages"]]
    assert stages[:2] == [("talk", 240, 336), ("mediation", 240, 336)]
    scam = next(one for one in found["data"] if one["reason"] == "pressure_or_scam")
    assert scam["stages"][0]["stage"] == "mediation"
    problem(api.get("/v1/claim-reasons", kind="theft"), 422, "invalid_request")


def test_a_member_reads_the_reasons_too(paid: Deal) -> None:
    assert paid.api.acting(paid.payer["id"]).read("/v1/claim-reasons", kind="sale")["data"]


def test_a_claim_freezes_what_it_is_about_and_is_shown_on_the_exchange(paid: Deal) -> None:
    before = paid.api.read(_path(paid))
    assert {"claim"} <= {one["step"] for one in before["next_actions"]}
    member = paid.api.acting(paid.payer["id"])
    after = member.made(f"{_path(paid)}/claim", DAMAGED)
    assert after["case"].startswith("cs_")
    assert [leg["disputed"] for leg in after["legs"]] == [True]
    assert [point["met_by_case"] for point in after["checkpoints"]] == [None]
    assert "claim" not in {one["step"] for one in after["next_actions"]}
    case = member.read(f"/v1/cases/{after['case']}")
    assert case["exchange"] == paid.exchange["id"]
    problem(
        paid.api.post(
            f"{_path(paid)}/propose-settlement",
            {"member": paid.payer["id"], "legs": [{"to_payee": 1}]},
        ),
        409,
        "in_dispute",
    )


def test_a_part_of_a_leg_can_be_claimed_and_the_rest_goes_on_as_agreed(paid: Deal) -> None:
    answer = _claim(paid, legs=[{"leg": _leg(paid), "amount": 1_500}])
    assert answer.status_code == 200, answer.text
    legs = answer.json()["legs"]
    assert [(leg["amount"], leg["disputed"]) for leg in legs] == [(5_000, False), (1_500, True)]


@pytest.mark.parametrize("amount", [0, -1, 15.5, "100", True, 10**30])
def test_a_part_that_is_no_amount_is_refused(paid: Deal, amount: Any) -> None:
    answer = _claim(paid, legs=[{"leg": _leg(paid), "amount": amount}])
    code = "invalid_body" if amount == 10**30 else "invalid_request"  # no 64 bits hold it
    assert problem(answer, 422, code)["pointer"] == "/legs/0/amount"
    _nothing_happened(paid)


def test_more_than_there_is_or_a_leg_that_is_not_held_cannot_be_claimed(paid: Deal) -> None:
    more = _claim(paid, legs=[{"leg": _leg(paid), "amount": 6_501}])
    assert problem(more, 422, "claim_incomplete")["pointer"] == "/legs/0/amount"
    unknown = _claim(paid, legs=[{"leg": encode("leg", uuid7())}])
    assert problem(unknown, 422, "claim_incomplete")["facts"] == {"legs": [_leg(paid)]}
    twice = _claim(paid, legs=[{"leg": _leg(paid)}, {"leg": _leg(paid), "amount": 1}])
    assert problem(twice, 422, "claim_incomplete")["pointer"] == "/legs/1/leg"
    wrong = _claim(paid, legs=[{"leg": paid.exchange["id"]}])
    problem(wrong, 422, "invalid_request")
    _nothing_happened(paid)


def test_missing_and_unknown_answers_are_refused_with_the_questions(paid: Deal) -> None:
    asked = {"questions": ["what_is_damaged", "when_noticed"]}
    for answers, at in [
        ({}, "what_is_damaged"),
        ({"what_is_damaged": "The frame.", "when_noticed": " "}, "when_noticed"),
        ({**DAMAGED["answers"], "why": "Because."}, "why"),
    ]:
        found = problem(_claim(paid, answers=answers), 422, "claim_incomplete")
        assert (found["pointer"], found["facts"]) == (f"/answers/{at}", asked)
    problem(_claim(paid, text="x" * 5_001), 422, "invalid_request")
    problem(_claim(paid, answers={"what_is_damaged": 3}), 422, "invalid_request")
    problem(_claim(paid, more_time="yes"), 422, "invalid_request")
    _nothing_happened(paid)


def test_an_unknown_reason_or_one_of_the_other_side_is_refused_with_the_list(paid: Deal) -> None:
    for reason in ("boredom", "deposit_damage", "not_confirmed"):
        found = problem(_claim(paid, reason=reason), 422, "unknown_reason")
        assert "damaged" in found["facts"]["reasons"]
        assert reason not in found["facts"]["reasons"]
    _nothing_happened(paid)


def test_where_nothing_is_held_there_is_nothing_to_claim(api: Api, engine: Engine) -> None:
    gift = make_deal(api, engine, "gift", agreed=True)
    assert gift.state() == "active"
    problem(_claim(gift), 409, "nothing_to_dispute")
    unpaid = make_deal(api, engine, agreed=True)
    problem(_claim(unpaid), 409, "step_not_allowed")
    assert api.read("/v1/cases")["data"] == []


def test_claiming_twice_names_the_case_that_there_is(paid: Deal) -> None:
    case = _claim(paid).json()["case"]
    for member in (paid.payer["id"], paid.payee["id"]):
        found = problem(_claim(paid, member=member), 409, "in_dispute")
        assert found["facts"] == {"case": case}
    assert [one["id"] for one in paid.api.read("/v1/cases")["data"]] == [case]


def test_strangers_cannot_claim_and_a_stale_version_is_refused(paid: Deal, neighbour: Api) -> None:
    stranger = paid.api.member()["id"]
    problem(_claim(paid, member=stranger), 403, "not_a_party")
    problem(
        paid.api.acting(stranger).post(f"{_path(paid)}/claim", DAMAGED), 404, "exchange_not_found"
    )
    body = {**DAMAGED, "member": neighbour.member()["id"]}
    problem(neighbour.post(f"{_path(paid)}/claim", body), 404, "exchange_not_found")
    problem(_claim(paid, version=1), 409, "stale_version")
    problem(_claim(paid, member=None), 422, "member_required")
    _nothing_happened(paid)


def test_the_platform_flags_fraud_and_a_neutral_looks_at_once(paid: Deal) -> None:
    flagged = paid.api.made(f"{_path(paid)}/flag", {"text": "Same card as three other accounts."})
    case = paid.api.read(f"/v1/cases/{flagged['case']}")
    assert (case["cause"], case["claimant"], case["stage"]) == ("fraud", None, "decision")
    assert case["file"]["text"] == "Same card as three other accounts."
    assert [leg["disputed"] for leg in flagged["legs"]] == [True]


def test_a_member_cannot_flag_and_a_flag_without_a_word_is_none(paid: Deal) -> None:
    answer = paid.api.acting(paid.payer["id"]).post(f"{_path(paid)}/flag", {"text": "x"})
    assert answer.status_code in {401, 403}
    problem(paid.api.post(f"{_path(paid)}/flag", {}), 422, "invalid_request")
    problem(paid.api.post(f"{_path(paid)}/flag", {"text": ""}), 422, "invalid_request")
    _nothing_happened(paid)


def test_whoever_is_assisted_or_asks_for_it_has_more_time(api: Api, engine: Engine) -> None:
    made = {}
    tried: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
        "usual": ({}, {}),
        "helped": ({"assisted": True}, {}),
        "asks": ({}, {"more_time": True}),
    }
    for name, (more, asked) in tried.items():
        deal = make_deal(api, engine, agreed=True, **more)
        deal.fund()
        made[name] = api.read(f"/v1/cases/{_claim(deal, **asked).json()['case']}")
    assert [made[name]["more_time"] for name in made] == [False, True, True]
    assert made["helped"]["due_at"] > made["usual"]["due_at"]
    assert made["asks"]["due_at"] > made["usual"]["due_at"]


def test_being_assisted_is_shown_changed_and_forgotten_with_the_person(api: Api) -> None:
    assert api.member()["assisted"] is False
    made = api.member(assisted=True)
    assert made["assisted"] is True
    address = f"/v1/members/{made['id']}"
    changed = api.send("PATCH", address, {"assisted": False}).json()
    assert (changed["assisted"], api.read(address)["assisted"]) == (False, False)
    assert api.send("PATCH", address, {"assisted": True}).json()["assisted"] is True
    for wrong in (None, "yes", 1):
        problem(api.send("PATCH", address, {"assisted": wrong}), 422, "invalid_request")
    assert api.made(f"{address}/erase")["assisted"] is False
    assert api.read(address)["assisted"] is False
