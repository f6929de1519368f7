"""A case over HTTP as its two sides and their platform meet it: to talk, to agree, to end it."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime

from sqlalchemy import Engine

from service.exchanges import sweep
from service.http.dispute_words import words
from tests.http.client import Api, problem
from tests.http.court import hear, known
from tests.http.deal import Deal


def test_an_offer_is_made_read_and_accepted_and_is_carried_out_at_once(paid: Deal) -> None:
    case = hear(paid)
    assert {"make_offer"} <= case.steps(case.payee)
    offer = case.offer(case.payee, split=case.split(3_250), text="Half each?")
    shown = case.read(case.payer)["offer"]
    assert (shown["id"], shown["by"], shown["text"]) == (offer, "payee", "Half each?")
    assert [(one["to_payer"], one["to_payee"]) for one in shown["shares"]] == [(3_250, 3_250)]
    assert {"accept_offer", "reject_offer"} <= case.steps(case.payer)
    assert "accept_offer" not in case.steps(case.payee)
    done = case.made(case.payer, "accept-offer", {"offer": offer})
    assert (done["stage"], done["outcome"], done["next_actions"]) == ("closed", "split", [])
    assert done["settlement"][0]["to_payee"] == 3_250
    assert case.shares() == [(3_250, 3_250)]
    assert case.said() == ["opened", "offer_made", "offer_accepted", "closed"]


def test_a_step_that_is_sent_again_is_taken_once(paid: Deal) -> None:
    case, key = hear(paid), secrets.token_hex(16)
    body = {"outcome": "to_payer"}
    first = case.post(case.payee, "make-offer", body, key=key)
    again = case.post(case.payee, "make-offer", body, key=key)
    assert (first.status_code, again.headers["idempotent-replayed"]) == (200, "true")
    assert first.content == again.content
    assert case.said() == ["opened", "offer_made"]


def test_only_the_two_sides_and_their_platform_see_a_case(paid: Deal) -> None:
    case = hear(paid)
    stranger = paid.api.member()["id"]
    outside = paid.api.acting(stranger)
    for path in (case.path, f"{case.path}/journal"):
        problem(outside.get(path), 404, "case_not_found")
    problem(case.post(outside, "make-offer", {"outcome": "to_payer"}), 404, "case_not_found")
    body = {"outcome": "to_payer", "member": stranger}
    problem(case.post(case.platform, "make-offer", body), 404, "not_your_case")
    assert outside.read("/v1/cases")["data"] == []
    assert case.said() == ["opened"]


def test_a_case_that_nobody_claimed_is_read_by_both_sides_like_any_other(paid: Deal) -> None:
    path = f"/v1/exchanges/{paid.exchange['id']}"
    for _ in range(12):
        if paid.api.read(path)["case"] is not None:
            break
        paid.api.made("/v1/sandbox/clock/advance", {"by": "P7D"})
    case = known(paid, paid.api.read(path)["case"])
    for side in (case.payer, case.payee, case.platform):
        shown = case.read(side)
        assert (shown["cause"], shown["claimant"], shown["stage"]) == ("silence", None, "decision")
        assert shown["question"]["words"] == words("reasons", "silence")
        assert shown["question"]["answers"] == []
    assert case.steps(case.payer) == {"make_offer"}


def test_what_a_bank_contests_is_a_case_that_both_sides_read_and_talk_about(paid: Deal) -> None:
    payment = paid.api.read(f"/v1/exchanges/{paid.exchange['id']}")["payment"]
    paid.api.made(f"/v1/sandbox/payments/{payment}/dispute", {"reason": "product_not_received"})
    sweep.run(paid.api.server.app.state.edge.desk, datetime.now(UTC), paid.platform_id)
    case = known(paid, paid.api.read(f"/v1/exchanges/{paid.exchange['id']}")["case"])
    shown = case.read(case.payee)
    assert (shown["cause"], shown["claimant"]) == ("chargeback", "payer")
    assert shown["question"]["reason"] == "not_received"
    extra = {"by": "payee", "amount": {"amount": 1, "unit": "HOURS"}}
    paid.api.made("/v1/units", {"code": "HOURS", "name": "Hours", "credit_limit": 10})
    offer = {"offer": case.offer(case.payee, split=case.split(0), extra=extra)}
    before = case.read()
    problem(case.post(case.payer, "accept-offer", offer), 409, "exchange_frozen")
    assert case.read() == before


def test_of_two_legs_in_dispute_a_split_names_both_each_in_its_unit(
    api: Api, engine: Engine
) -> None:
    api.made("/v1/units", {"code": "HOURS", "name": "Hours", "credit_limit": 10_000})
    payer, payee = api.member(), api.member()
    mixed = {
        "kind": "mixed",
        "title": "A wall",
        "payer": payer["id"],
        "payee": payee["id"],
        "both_agreed": True,
        "legs": [
            {"role": "price", "amount": {"amount": 1_000, "unit": "EUR"}},
            {"role": "price", "amount": {"amount": 250, "unit": "HOURS"}},
        ],
    }
    deal = Deal(api, engine, payer, payee, api.made("/v1/exchanges", mixed))
    deal.fund()
    case = hear(deal, {"reason": "not_done", "answers": {"what_is_missing": "The roof."}})
    lines = {line["unit"]: line for line in case.read()["lines"]}
    assert {unit: line["amount"] for unit, line in lines.items()} == {"EUR": 1_000, "HOURS": 250}
    one = [{"leg": lines["HOURS"]["leg"], "to_payee": 1}]
    found = problem(
        case.post(case.payee, "make-offer", {"outcome": "split", "split": one}),
        422,
        "split_invalid",
    )
    assert set(found["facts"]["lines"]) == {line["leg"] for line in lines.values()}
    both = [*one, {"leg": lines["EUR"]["leg"], "to_payee": 999}]
    offer = case.offer(case.payee, split=both)
    done = case.made(case.payer, "accept-offer", {"offer": offer})
    got = {share["unit"]: (share["to_payer"], share["to_payee"]) for share in done["settlement"]}
    assert got == {"EUR": (1, 999), "HOURS": (249, 1)}
    assert set(case.shares()) == {(1, 999), (249, 1)}
