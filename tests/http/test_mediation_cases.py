"""The dispute desk over HTTP: the queue, a case, and what its neutrals write in it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Engine, text

from disputes import mediators
from disputes.model import Stage
from service import db
from service.ids import encode
from tests.disputes.people import People
from tests.http.claimed import DAMAGED, PRESSURED, Claimed, claim
from tests.http.client import Api, at_once, problem
from tests.http.deal import Deal, make_deal
from tests.http.desk import Desk, Person, invite, take_up

WHY = "The message shows the threat, and the other side does not deny having written it. " * 2


@pytest.fixture
def people(paid: Deal, engine: Engine) -> People:
    return People(engine, paid.platform_id)


@pytest.fixture
def join(people: People, paid: Deal, operator: Api, new_desk: Callable[[], Desk]) -> Any:
    """Somebody joins the pool and signs in: the API as they meet it."""

    def joined(**more: Any) -> tuple[Api, Person]:
        person = take_up(new_desk(), invite(operator, **more))
        with people.everywhere() as connection:
            mediators.put_in_pool(connection, people.pool_id, [person.uuid])
        return Api(paid.api.server, str(person.sign_in()["token"])), person

    return joined


def deals(paid: Deal, engine: Engine, count: int) -> list[Deal]:
    """Return so many exchanges of the same platform that are paid for."""
    made = [make_deal(paid.api, engine, agreed=True) for _ in range(count)]
    for deal in made:
        deal.fund()
    return made


def path(found: Claimed) -> str:
    return f"/v1/mediation/cases/{encode('case', found.case_id)}"


def leg(found: Claimed) -> tuple[str, int]:
    (line,) = found.case().lines
    return encode("leg", line.id), line.amount


def decision(outcome: str = "to_payer", **more: Any) -> dict[str, Any]:
    return {"outcome": outcome, "reason_code": "evidence", "reasons": WHY, **more}


def test_a_mediator_reads_their_queue_and_their_case_without_names(paid: Deal, join: Any) -> None:
    desk, _ = join()
    found = claim(paid, PRESSURED)
    (ticket,) = desk.read("/v1/mediation/queue")["data"]
    assert ticket["id"] == encode("case", found.case_id)
    assert (ticket["part"], ticket["stage"]) == ("mediator", "mediation")
    shown = desk.read(path(found))
    assert shown["file"]["answers"] == {"what_happened": "He threatened me."}
    assert shown["file"]["lines"][0]["id"] == leg(found)[0]
    assert [one["type"] for one in shown["journal"]] == ["opened", "assigned"]
    assert {one["step"] for one in shown["next_actions"]} == {"propose", "decide"}
    said = str(shown)
    for member in (paid.payer, paid.payee):
        assert member["id"] not in said
        assert str(member.get("name") or "nobody's name") not in said
        assert str(member.get("email") or "nobody's mail") not in said


def test_proposed_refused_decided_agreed_and_told(paid: Deal, join: Any) -> None:
    (first, _), (other, _) = join(), join()
    found = claim(paid, PRESSURED)
    mine, colleague = (
        (first, other) if first.get(path(found)).status_code == 200 else (other, first)
    )
    leg_id, amount = leg(found)
    split = [{"leg": leg_id, "to_payee": amount // 2}]
    mine.made(f"{path(found)}/propose", {"outcome": "split", "split": split, "text": "Half?"})
    case = found.case()
    assert case.proposal is not None
    found.step("reject_proposal", member_id=case.payee_id, about=case.proposal.id)
    problem(mine.post(f"{path(found)}/decide", decision("no_show_payee")), 422, "outcome_not_open")
    shown = mine.made(f"{path(found)}/decide", decision("cannot_decide"))
    assert shown["stage"] == "second_look", "it is unusual: somebody else reads it first"
    problem(mine.post(f"{path(found)}/agree-with"), 404, "not_your_case")
    shown = colleague.made(f"{path(found)}/send-back", {"reason": "Say what is missing."})
    assert (shown["stage"], shown["ruling"]) == ("decision", None)
    shown = mine.made(f"{path(found)}/decide", decision("split", split=split))
    assert shown["stage"] == "appealable"
    assert shown["ruling"]["to_payee"] == {leg_id: amount // 2}
    assert found.case().settlement is None, "nothing moves before the time to appeal is over"


def test_the_calculator_sums_to_what_is_disputed_and_moves_nothing(paid: Deal, join: Any) -> None:
    desk, _ = join()
    found = claim(paid, PRESSURED)
    before = found.case()
    leg_id, amount = leg(found)
    asked = {"outcome": "split", "split": [{"leg": leg_id, "to_payee": 1}]}
    shown = desk.made(f"{path(found)}/effect", asked)
    assert shown["lines"][0]["to_payer"] == amount - 1
    (total,) = shown["totals"]
    assert total == {"unit": "EUR", "amount": amount, "to_payer": amount - 1, "to_payee": 1}
    assert found.case() == before


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"split": []}, "split_invalid"),
        ({"split": [{"leg": "mine", "to_payee": 100_000_000}]}, "split_invalid"),
        ({"split": [{"leg": "mine", "to_payee": -1}]}, "invalid_request"),
        ({"split": [{"leg": "mine", "to_payee": 0.5}]}, "invalid_request"),
        ({"split": [{"leg": "mine", "to_payee": 1}] * 2}, "split_invalid"),
        (
            {"split": [{"leg": "leg_0001j5x7v4e9tsmwd8w1c9xk5v", "to_payee": 1}]},
            "split_invalid",
        ),
        ({"outcome": "to_payer", "split": [{"leg": "mine", "to_payee": 1}]}, "split_invalid"),
        ({"outcome": "withdrawn"}, "outcome_not_open"),
        ({"outcome": "everything"}, "invalid_request"),
        ({"reason_code": "because"}, "reasons_missing"),
        ({"reasons": "No."}, "reasons_missing"),
    ],
)
def test_a_decision_that_does_not_fit_is_refused_and_nothing_moves(
    paid: Deal, join: Any, said: dict[str, Any], code: str
) -> None:
    desk, _ = join()
    found = claim(paid, PRESSURED)
    before = found.case()
    mine = leg(found)[0]
    for line in said.get("split", ()):
        line["leg"] = mine if line["leg"] == "mine" else line["leg"]
    body = decision("split", split=[{"leg": mine, "to_payee": 1}]) | said
    problem(desk.post(f"{path(found)}/decide", body), 422, code)
    assert found.case() == before


def test_a_case_of_somebody_else_is_none_whatever_is_tried(paid: Deal, join: Any) -> None:
    join()
    found = claim(paid, PRESSURED)
    stranger, _ = join()
    before = found.case()
    tried = {
        "propose": {"outcome": "to_payer", "text": "x"},
        "decide": decision(),
        "vote": decision(),
        "agree-with": None,
        "send-back": {"reason": "x"},
        "lift-flag": {"reason_code": "facts", "reasons": WHY},
        "decline": {"reason": "x"},
        "effect": {"outcome": "to_payer"},
    }
    problem(stranger.get(path(found)), 404, "case_not_found")
    for step, body in tried.items():
        problem(stranger.post(f"{path(found)}/{step}", body), 404, "case_not_found")
    assert stranger.read("/v1/mediation/queue")["data"] == []
    problem(paid.api.get(path(found)), 401, "not_signed_in")
    assert found.case() == before


def test_who_gives_a_case_back_does_not_see_it_again_and_the_platform_is_told(
    paid: Deal, join: Any
) -> None:
    by_id = {person.uuid: desk for desk, person in (join(), join())}
    found = claim(paid, PRESSURED)
    gone = found.case().mediator_id
    assert gone is not None
    by_id[gone].made(f"{path(found)}/decline", {"reason": "I know the street."})
    now_on_it = found.case().mediator_id
    assert now_on_it not in {None, gone}
    problem(by_id[gone].get(path(found)), 404, "case_not_found")
    assert now_on_it is not None
    assert by_id[now_on_it].read(path(found))["journal"][-1]["type"] == "assigned"


def test_two_who_claim_the_next_case_at_once_get_different_ones(
    paid: Deal, engine: Engine, join: Any
) -> None:
    waiting = {encode("case", claim(other, PRESSURED).case_id) for other in deals(paid, engine, 2)}
    desks = [join()[0] for _ in range(2)]
    answers = at_once(*(partial(one.post, "/v1/mediation/queue/claim-next") for one in desks))
    assert {answer.json()["id"] for answer in answers} == waiting
    assert desks[0].made("/v1/mediation/queue/claim-next", None) is None


def test_short_reviews_are_decided_together_each_with_its_own_reasons(
    paid: Deal, people: People, engine: Engine, join: Any
) -> None:
    desk, _ = join()
    found = claim(paid, PRESSURED)
    foreign = "cs_0001j5x7v4e9tsmwd8w1c9xk5v"
    mine = encode("case", found.case_id)
    asked = {
        "decisions": [
            {"case": foreign, **decision()},
            {"case": mine, **decision()},
            {"case": mine, **decision("to_payee")},
        ]
    }
    answers = desk.made("/v1/mediation/short-reviews/decide", asked)["data"]
    assert [one["stage"] for one in answers] == [None, "appealable", None]
    assert answers[0]["problem"]["code"] == "case_not_found"
    assert answers[2]["problem"]["code"] in {"not_now_in_case", "case_not_found"}
    case = found.case()
    assert case.stage is Stage.APPEALABLE
    assert case.ruling is not None
    assert case.ruling.reasons == WHY


def test_a_supervisor_sees_what_waits_and_all_and_nobody_else_does(
    paid: Deal, engine: Engine, join: Any
) -> None:
    waits = claim(paid, PRESSURED)
    boss, _ = join(roles=["supervisor"])
    plain, _ = join()
    for whose in ("waiting", "all"):
        problem(plain.get("/v1/mediation/queue", whose=whose), 403, "supervisor_only")
        listed = boss.read("/v1/mediation/queue", whose=whose)["data"]
        assert [one["id"] for one in listed] == [encode("case", waits.case_id)]
        assert listed[0]["file"] is None
    assert boss.read(path(waits))["part"] is None


def test_a_queue_is_read_page_by_page_in_every_order(paid: Deal, people: People, join: Any) -> None:
    boss, _ = join(roles=["supervisor"])
    every = {encode("case", people.opened().id) for _ in range(5)}
    for sort in ("due", "amount", "age", "gentle"):
        seen: list[str] = []
        cursor: str | None = None
        while cursor is not None or not seen:
            more = {} if cursor is None else {"cursor": cursor}
            page = boss.read("/v1/mediation/queue", whose="all", sort=sort, limit=2, **more)
            seen += [one["id"] for one in page["data"]]
            cursor = page["next_cursor"]
        assert sorted(seen) == sorted(every), sort
    problem(boss.get("/v1/mediation/queue", cursor="nonsense"), 400, "invalid_cursor")


def test_a_step_that_is_sent_again_is_taken_once(paid: Deal, engine: Engine, join: Any) -> None:
    desk, _ = join()
    found = claim(paid, PRESSURED)
    body = {"outcome": "to_payer", "text": "All of it?"}
    first = desk.post(f"{path(found)}/propose", body, key="a-key-of-mine")
    again = desk.post(f"{path(found)}/propose", body, key="a-key-of-mine")
    assert first.status_code == again.status_code == 200
    assert again.headers["idempotent-replayed"] == "true"
    with db.transaction(engine, paid.platform_id) as connection:
        count = connection.execute(
            text("SELECT count(*) FROM disputes.entry WHERE case_id = :c AND type = :t"),
            {"c": found.case_id, "t": "proposal_made"},
        ).scalar_one()
    assert count == 1


def test_nothing_is_decided_while_the_two_still_talk(paid: Deal, join: Any) -> None:
    desk, _ = join()
    found = claim(paid, DAMAGED)
    problem(desk.post(f"{path(found)}/decide", decision()), 404, "case_not_found")
    assert found.case().stage is Stage.TALK
