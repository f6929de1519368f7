"""A case over HTTP with a neutral in it: proposed, decided, read twice, appealed, and on record."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from sqlalchemy import Engine

from disputes import strikes
from service.http.dispute_words import notice
from service.ids import decode
from tests.disputes.people import DAY, a_ruling
from tests.http.client import Api, problem
from tests.http.court import DAMAGED, PRESSURED, WHY, Bench, Heard, desk_path, hear, make_bench
from tests.http.deal import Deal, make_deal
from tests.http.desk import Desk, Person

Neutral = tuple[Api, Person]


@pytest.fixture
def bench(paid: Deal, engine: Engine, operator: Api, new_desk: Callable[[], Desk]) -> Bench:
    """A pool that serves the platform."""
    return make_bench(paid, engine, operator, new_desk)


def _on_it(case: Heard, *neutrals: Neutral, part: str = "mediator") -> Api:
    """Return the desk of the one of these who has a part of the case, as its sides are told."""
    (told,) = [one["mediator"] for one in case.read()["neutrals"] if one["part"] == part]
    (desk,) = [desk for desk, person in neutrals if person.id == told]
    return desk


def _decision(outcome: str = "to_payer", **more: Any) -> dict[str, Any]:
    return {"outcome": outcome, "reason_code": "evidence", "reasons": WHY, **more}


def test_of_a_neutral_both_sides_learn_the_name_and_nothing_else(paid: Deal, bench: Bench) -> None:
    _, person = bench.join(name="Maud Le Goff", languages=["fr", "br"])
    case = hear(paid, PRESSURED)
    for side in (case.payer, case.payee, case.platform):
        shown = case.read(side)
        told = {"mediator": person.id, "name": "Maud Le Goff", "part": "mediator"}
        assert shown["neutrals"] == [told]
        assert person.email not in str(shown)
        assert person.email not in str(case.journal(side))


def test_a_proposal_that_both_accept_is_carried_out_at_once(paid: Deal, bench: Bench) -> None:
    mediator, person = bench.join()
    case = hear(paid, PRESSURED)
    body = {"outcome": "split", "split": case.split(2_000), "text": "A third?"}
    mediator.made(f"{desk_path(case)}/propose", body)
    shown = case.read(case.payer)["proposal"]
    assert (shown["mediator"], shown["text"], shown["accepted_by"]) == (person.id, "A third?", [])
    assert shown["shares"][0]["to_payer"] == 4_500
    assert {"accept_proposal", "reject_proposal"} <= case.steps(case.payer)
    assert "proposal" in {one["name"] for one in case.read(case.payer)["deadlines"]}
    answer = {"proposal": shown["id"]}
    once = case.made(case.payer, "accept-proposal", answer)
    assert (once["stage"], once["proposal"]["accepted_by"]) == ("mediation", ["payer"])
    assert "accept_proposal" not in case.steps(case.payer)
    problem(case.post(case.payer, "accept-proposal", answer), 409, "already_accepted")
    assert case.shares() == [(None, None)]
    done = case.made(case.payee, "accept-proposal", answer)
    assert (done["stage"], done["outcome"]) == ("closed", "split")
    assert case.shares() == [(4_500, 2_000)]


def test_a_whole_dispute_talked_mediated_decided_and_carried_out(paid: Deal, bench: Bench) -> None:
    mediator, person = bench.join()
    case = hear(paid, DAMAGED)
    offer = case.offer(case.payee, split=case.split(6_000))
    case.made(case.payer, "reject-offer", {"offer": offer})
    case.later("P2D")
    case.made(case.payer, "call-mediator")
    body = {"outcome": "to_payer", "text": "All back?"}
    mediator.made(f"{desk_path(case)}/propose", body)
    proposal = case.read()["proposal"]["id"]
    refused = case.made(case.payee, "reject-proposal", {"proposal": proposal})
    assert (refused["stage"], refused["proposal"]) == ("decision", None)
    split = case.split(2_500)
    mediator.made(f"{desk_path(case)}/decide", _decision("split", split=split))
    for shown in (case.read(case.payer), case.read(case.payee)):
        assert shown["stage"] == "appealable"
        ruling = shown["ruling"]
        assert (ruling["outcome"], ruling["reasons"], ruling["by"]) == ("split", WHY, [person.id])
        assert ruling["shares"][0]["to_payer"] == 4_000
        assert {one["part"] for one in shown["neutrals"]} == {"decided"}
        assert [one["step"] for one in shown["next_actions"]] == ["appeal"]
    assert case.shares() == [(None, None)], "nothing moves before the time to appeal is over"
    case.later("P7D")
    assert (case.read()["stage"], case.read()["outcome"]) == ("closed", "split")
    assert case.shares() == [(4_000, 2_500)]
    problem(
        case.post(case.payee, "appeal", {"ground": "procedure", "text": "x"}), 409, "case_closed"
    )


def test_an_appeal_is_heard_by_other_people_before_anything_moves(paid: Deal, bench: Bench) -> None:
    first, second = bench.join(), bench.join()
    case = hear(paid, PRESSURED)
    decider = _on_it(case, first, second)
    decider.made(f"{desk_path(case)}/decide", _decision("to_payer"))
    for wrong in (
        {"ground": "new_evidence"},
        {"ground": "anger", "text": "No."},
        {"text": "No."},
        {"ground": "procedure", "text": ""},
    ):
        problem(case.post(case.payee, "appeal", wrong), 422, "invalid_request")
    blank = {"ground": "procedure", "text": "   "}
    found = problem(case.post(case.payee, "appeal", blank), 422, "appeal_ground_missing")
    assert found["pointer"] == "/text"
    body = {"ground": "new_evidence", "text": "Here is the parcel's weight."}
    shown = case.made(case.payee, "appeal", body)
    assert shown["stage"] == "appeal"
    assert {name: shown["appeal"][name] for name in ("by", "ground", "text")} == {
        "by": "payee",
        **body,
    }
    problem(case.post(case.payer, "appeal", body), 409, "not_now_in_case")
    assert shown["ruling"]["outcome"] == "to_payer", "the first decision stays known"
    panel = _on_it(case, first, second, part="panel")
    assert panel is not decider
    panel.made(f"{desk_path(case)}/vote", _decision("to_payee"))
    closed = case.read(case.payer)
    assert (closed["stage"], closed["outcome"]) == ("closed", "to_payee")
    assert case.shares() == [(0, 6_500)]


def test_a_decision_is_not_told_before_a_second_person_agreed(paid: Deal, bench: Bench) -> None:
    all_three = [bench.join() for _ in range(3)]
    case = hear(paid, PRESSURED)
    decider = _on_it(case, *all_three)
    decider.made(f"{desk_path(case)}/decide", _decision("cannot_decide"))
    for side in (case.payer, case.payee, case.platform):
        shown = case.read(side)
        assert (shown["stage"], shown["ruling"], shown["outcome"]) == ("second_look", None, None)
        assert WHY not in str(shown)
        written = case.journal(side)
        hidden = [line for line in written if line["withheld"]]
        assert len(hidden) == 1
        assert [hidden[0][name] for name in ("at", "type", "actor", "data")] == [None] * 4
        assert hidden[0]["hash"] == written[hidden[0]["sequence"]]["previous"]
        assert WHY not in str(written)
        assert "decision_written" not in str(written)
    colleague = _on_it(case, *all_three, part="second")
    note = "Say what is missing to decide."
    colleague.made(f"{desk_path(case)}/send-back", {"reason": note})
    assert note not in str(case.journal(case.payee))
    decider.made(f"{desk_path(case)}/decide", _decision("cannot_decide"))
    _on_it(case, *all_three, part="second").made(f"{desk_path(case)}/agree-with")
    ruling = case.read(case.payee)["ruling"]
    assert (ruling["outcome"], ruling["reasons"]) == ("cannot_decide", WHY)
    assert ruling["seconded_by"] is not None
    parts = {one["mediator"]: one["part"] for one in case.read(case.payee)["neutrals"]}
    assert parts == {ruling["by"][0]: "decided", ruling["seconded_by"]: "second"}


def test_what_a_second_person_did_not_read_when_the_limit_came_is_never_told(
    paid: Deal, bench: Bench
) -> None:
    first, second = bench.join(), bench.join()
    case = hear(paid, PRESSURED)
    decider = _on_it(case, first, second)
    for _ in range(40):
        shown = case.read()
        if shown["stage"] == "closed":
            break
        if shown["stage"] in {"mediation", "decision"} and shown["neutrals"]:
            decider = _on_it(case, first, second)
            decider.made(f"{desk_path(case)}/decide", _decision("cannot_decide"))
        case.later("P3D")
    closed = case.read(case.payer)
    assert (closed["stage"], closed["ruling"]) == ("closed", None)
    assert closed["outcome"] is not None
    assert WHY not in str(closed)
    assert "decided" not in case.said()


def test_each_side_can_ask_once_for_somebody_else(paid: Deal, bench: Bench) -> None:
    first, second = bench.join(), bench.join()
    case = hear(paid, PRESSURED)
    (before,) = case.read()["neutrals"]
    shown = case.made(case.payee, "challenge", {"text": "She is my neighbour."})
    (after,) = shown["neutrals"]
    assert {before["mediator"], after["mediator"]} == {first[1].id, second[1].id}
    assert "challenge" not in {one["step"] for one in shown["next_actions"]}
    problem(case.post(case.payee, "challenge", {"text": "And he too."}), 409, "challenge_used")
    assert "challenge" in case.steps(case.payer)


def test_nobody_is_asked_to_leave_a_case_that_nobody_has(paid: Deal) -> None:
    case = hear(paid, PRESSURED)
    assert case.read()["neutrals"] == []
    assert "challenge" not in case.steps(case.payer)
    problem(case.post(case.payer, "challenge", {"text": "Not her."}), 409, "not_now_in_case")


def test_why_nobody_can_take_a_case_is_not_told_to_its_sides(paid: Deal, bench: Bench) -> None:
    _, person = bench.join(languages=["en"])
    case = hear(paid, PRESSURED)
    assert case.read()["neutrals"] == []
    lines = case.journal(case.payer)
    assert [line["type"] for line in lines] == ["opened", None]
    assert str(person.uuid) not in str(lines)


def test_a_journal_proves_itself_line_by_line_and_page_by_page(paid: Deal, bench: Bench) -> None:
    mediator, _ = bench.join()
    case = hear(paid, PRESSURED)
    case.offer(case.payee, "to_payer")
    mediator.made(f"{desk_path(case)}/decide", _decision("to_payer"))
    previous = "00" * 32
    whole = case.journal(case.payer)
    for number, line in enumerate(whole, start=1):
        assert (line["sequence"], line["previous"]) == (number, previous)
        said = {name: line[name] for name in ("sequence", "at", "type", "actor", "data")}
        said["case"] = line["case_id"]
        found = bytes.fromhex(previous) + orjson.dumps(said, option=orjson.OPT_SORT_KEYS)
        assert hashlib.sha256(found).hexdigest() == line["hash"]
        previous = line["hash"]
    paged: list[Any] = []
    page: dict[str, Any] = {"next_cursor": None}
    while not paged or page["next_cursor"]:
        more = {"cursor": page["next_cursor"]} if paged else {}
        page = case.payer.read(f"{case.path}/journal", limit=1, **more)
        paged += page["data"]
    assert paged == whole
    assert page["notice"] == notice()
    file = orjson.dumps(case.read()["file"], option=orjson.OPT_SORT_KEYS)
    assert hashlib.sha256(file).hexdigest() == case.read()["file_sha256"]
    problem(case.payer.get(f"{case.path}/journal", cursor="x"), 400, "invalid_cursor")


def test_cases_are_found_by_stage_side_reason_and_exchange(
    paid: Deal, api: Api, engine: Engine
) -> None:
    deals = [paid]
    for _ in range(2):
        deals.append(make_deal(api, engine, agreed=True))
        deals[-1].fund()
    one, two, three = hear(deals[0]), hear(deals[1], PRESSURED), hear(deals[2])
    three.made(three.payer, "withdraw-claim")

    def found(**query: Any) -> list[str]:
        return [case["id"] for case in api.read("/v1/cases", **query)["data"]]

    assert found() == [three.id, two.id, one.id]
    assert found(stage="mediation") == [two.id]
    assert found(stage=["talk", "mediation"]) == [two.id, one.id]
    assert found(open="true") == [two.id, one.id]
    assert found(open="false") == [three.id]
    assert found(reason="damaged") == [three.id, one.id]
    assert found(member=deals[1].payer["id"]) == [two.id]
    assert found(exchange=deals[0].exchange["id"]) == [one.id]
    assert found(exchange=deals[0].exchange["id"], open="false") == []
    first = api.read("/v1/cases", limit=2)
    assert [case["id"] for case in first["data"]] == [three.id, two.id]
    assert found(limit=2, cursor=first["next_cursor"]) == [one.id]
    mine = one.payer.read("/v1/cases", member=deals[1].payer["id"])
    assert [case["id"] for case in mine["data"]] == [one.id], "a member sees their own alone"
    assert one.read() == api.read("/v1/cases", stage="talk")["data"][0]
    for wrong in ({"stage": "war"}, {"open": "maybe"}, {"member": "x"}, {"limit": 0}):
        problem(api.get("/v1/cases", **wrong), 422, "invalid_request")
    problem(api.get("/v1/cases", cursor="x"), 400, "invalid_cursor")


def test_a_claimant_in_bad_faith_is_told_from_when_they_may_call_a_neutral(
    paid: Deal, bench: Bench
) -> None:
    _, person = bench.join()
    payer = decode("member", paid.payer["id"])
    with bench.people.inside() as connection:
        for _ in range(strikes.RULE.strikes):
            before = bench.people.opened(payer_id=payer)
            lost = replace(before, ruling=a_ruling(before, person.uuid))
            at = datetime.now(UTC) - DAY
            assert strikes.add(connection, lost, payer, person.uuid, "untrue_facts", at)
    case = hear(paid)
    case.later("P3D")
    assert "call_mediator" in case.steps(case.payee), "the other side need not wait"
    assert "call_mediator" not in case.steps(case.payer)
    assert ("payer", "call_mediator") not in {
        (one["by"], one["step"]) for one in case.read()["next_actions"]
    }
    (end,) = [one for one in case.read(case.payer)["deadlines"] if one["name"] == "call_mediator"]
    found = problem(case.post(case.payer, "call-mediator"), 409, "cool_down")
    assert found["facts"]["from_when"][:19] == end["due_at"][:19]
    case.later("P4D")
    assert "call_mediator" in case.steps(case.payer)
    assert case.made(case.payer, "call-mediator")["stage"] == "mediation"


def test_why_a_neutral_gave_a_case_back_is_told_to_nobody_else(paid: Deal, bench: Bench) -> None:
    first, second = bench.join(), bench.join()
    case = hear(paid, PRESSURED)
    gone = _on_it(case, first, second)
    why = "I know the street they live in."
    gone.made(f"{desk_path(case)}/decline", {"reason": why})
    assert case.read()["neutrals"], "somebody else has it"
    case.offer(case.payee, "to_payer")  # so that everything before is told
    told = paid.api.events(6)
    declined = [one for one in told if one["type"] == "case.declined"]
    assert len(declined) == 1
    assert why not in str(told)
    for side in (case.payer, case.payee, case.platform):
        assert why not in str(case.read(side))
        assert why not in str(case.journal(side))
