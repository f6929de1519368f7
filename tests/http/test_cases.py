"""A case over HTTP as its two sides and their platform meet it: to talk, to agree, to end it."""

from __future__ import annotations

import secrets

from tests.http.client import problem
from tests.http.court import hear
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
