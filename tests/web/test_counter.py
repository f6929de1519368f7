"""Somebody without a telephone confirms with a paper slip: by the other side, or at the counter."""

from __future__ import annotations

import re
from typing import Any, Final

import pytest
from sqlalchemy import Engine

from service.ids import decode, spoken
from tests.http.client import Api, problem
from tests.http.deal import Deal
from tests.web.browser import Browser, words
from tests.web.test_office import signed_in

OPERATOR: Final = "Soazig Kervella"


def slip(deal: Deal, member: dict[str, Any]) -> str:
    """The digits on the slip that a member's page shows."""
    page = Browser(deal.api.server).post(f"{deal.link(member)}/code")
    found = re.search(r'class="aloud">([0-9 ]+)<', page.text)
    assert found is not None, words(page)
    return found[1].replace(" ", "")


def number(deal: Deal) -> str:
    return spoken(decode("exchange", deal.exchange["id"]))


def counter(deal: Deal, digits: str, **more: str) -> Any:
    """Enter a code at the counter, as its page does."""
    office = signed_in(deal.api.server, deal.api)
    fields = {"checkpoint": "handover", "code": digits, "operator": OPERATOR, "seen": "yes", **more}
    return office.post(f"/office/counter/{deal.exchange['id']}", fields)


def given(deal: Deal) -> list[dict[str, Any]]:
    path = f"/v1/exchanges/{deal.exchange['id']}/confirmations"
    return list(deal.api.read(path)["data"])


def test_the_slip_says_all_that_somebody_without_a_telephone_needs(paid: Deal) -> None:
    paid.api.send("PATCH", "/v1/platform", {"phone": "+33298000000"})
    page = Browser(paid.api.server).post(f"{paid.link(paid.payer)}/code")
    paper = re.sub(r"\s+", " ", page.text.split('<section class="slip"')[1].split("</section>")[0])
    said = words(page)
    assert number(paid) in paper
    assert "la remise en main propre" in said
    assert "02 98 00 00 00" in said
    assert "<svg" in paper
    assert "Sans téléphone" in paper


def test_the_slip_given_away_is_entered_by_the_other_side_whoever_of_the_two_holds_the_code(
    api: Api, engine: Engine
) -> None:
    deal = loan(api, engine)
    for holder, enterer, checkpoint in (
        (deal.payer, deal.payee, "handover"),
        (deal.payee, deal.payer, "return"),
    ):
        code = slip(deal, holder)
        browser = Browser(api.server)
        mine = browser.post(f"{deal.link(holder)}/steps/enter_code", {"code": code})
        assert mine.status_code == 409, "nobody enters the code of their own slip"
        page = f"{deal.link(enterer)}/steps/enter_code"
        entered = browser.post(page, {"code": code, "checkpoint": checkpoint})
        assert "vous avez confirmé tous les deux" in words(entered)
    assert deal.state() == "completed"


def loan(api: Api, engine: Engine) -> Deal:
    """A bicycle that is lent against a deposit, which is paid."""
    payer = api.member(name="Anna", email="anna@example.org")
    payee = api.member(name="Yann", email="yann@example.org")
    body = {
        "kind": "loan",
        "title": "Un vélo",
        "payer": payer["id"],
        "payee": payee["id"],
        "proposed_by": "payee",
        "both_agreed": True,
        "legs": [{"role": "deposit", "amount": {"amount": 5000, "unit": "EUR"}}],
    }
    deal = Deal(api, engine, payer, payee, api.made("/v1/exchanges", body))
    deal.fund()
    assert deal.state() == "active"
    return deal


def test_at_the_counter_the_code_of_the_slip_is_the_word_of_who_brought_it(paid: Deal) -> None:
    code = slip(paid, paid.payer)
    office = signed_in(paid.api.server, paid.api)
    page = office.get("/office/counter", params={"q": number(paid).lower()})
    assert "Yann doit être devant vous, avec le papier que Anna lui a remis" in words(page)
    assert code not in page.text, "nobody at the counter can look a code up"
    receipt = counter(paid, code)
    assert receipt.url.path.endswith("/handover")
    said = words(receipt)
    for part in ("Yann", "Anna", OPERATOR, number(paid), "la remise en main propre"):
        assert part in said
    assert paid.state() == "completed"
    both = given(paid)
    assert [(one["by"], one["via"], one["method"]) for one in both] == [
        ("payer", "desk", "code"),
        ("payee", "desk", "code"),
    ]
    (operator,) = {one["operator"] for one in both}
    name, _, label = operator.partition(" · ")
    assert name == OPERATOR
    assert label in {one["label"] for one in paid.api.read("/v1/api-keys")["data"]}


def test_the_member_is_told_of_what_was_done_at_the_counter_and_reads_by_whom(paid: Deal) -> None:
    counter(paid, slip(paid, paid.payer))
    paid.tell()
    found = paid.api.read("/v1/messages", member=paid.payee["id"])["data"]
    assert "desk_acted" in {one["template"] for one in found}
    found = paid.api.read("/v1/messages", member=paid.payer["id"])["data"]
    assert "desk_acted" not in {one["template"] for one in found}
    page = words(Browser(paid.api.server).get(paid.link(paid.payee)))
    assert f"(Fait au guichet de A test, par {OPERATOR}" in page
    theirs = words(Browser(paid.api.server).get(paid.link(paid.payer)))
    assert "(Fait au guichet de A test.)" in theirs
    assert OPERATOR not in theirs


def test_a_member_without_any_address_is_served_and_what_was_done_stays_on_record(
    paid: Deal,
) -> None:
    path = f"/v1/members/{paid.payee['id']}"
    assert paid.api.send("PATCH", path, {"email": None}).is_success
    assert counter(paid, slip(paid, paid.payer)).status_code == 200
    paid.tell()
    found = paid.api.read("/v1/messages", member=paid.payee["id"])["data"]
    (told,) = [one for one in found if one["template"] == "desk_acted"]
    assert (told["state"], told["reason"]) == ("suppressed", "no_address")
    assert len(given(paid)) == 2


def test_wrong_codes_at_the_counter_count_with_all_others_until_the_code_is_locked(
    paid: Deal,
) -> None:
    code = slip(paid, paid.payer)
    wrong = f"{(int(code) + 1) % 1_000_000:06d}"
    page = Browser(paid.api.server)
    link = paid.link(paid.payee)
    page.post(f"{link}/steps/enter_code", {"code": wrong, "checkpoint": "handover"})
    for left in (3, 2, 1):
        assert f"Essais qui restent : {left}." in words(counter(paid, wrong))
    assert "bloqué" in words(counter(paid, wrong))
    locked = counter(paid, code)
    assert locked.status_code == 409
    assert given(paid) == []
    assert paid.state() == "active"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"operator": " "}, "Écrivez votre nom"),
        ({"seen": ""}, "Vérifiez d'abord qui est devant vous"),
        ({"checkpoint": "return"}, "L'échange a changé"),
        ({"code": " "}, "Écrivez les six chiffres"),
    ],
)
def test_nothing_is_confirmed_without_a_name_a_look_and_the_code(
    paid: Deal, wrong: dict[str, str], said: str
) -> None:
    answer = counter(paid, slip(paid, paid.payer), **wrong)
    assert answer.status_code == 409
    assert said in words(answer)
    assert given(paid) == []


def test_a_second_press_shows_the_same_receipt(paid: Deal) -> None:
    code = slip(paid, paid.payer)
    first, second = counter(paid, code), counter(paid, code)
    assert first.url.path == second.url.path
    assert len(given(paid)) == 2


def test_the_counter_of_another_platform_finds_nothing(paid: Deal, neighbour: Api) -> None:
    office = signed_in(neighbour.server, neighbour)
    page = office.get("/office/counter", params={"q": number(paid)})
    assert "Aucun échange n'a ce numéro" in words(page)
    answer = office.get(f"/office/counter/{paid.exchange['id']}")
    assert answer.status_code == 404
    assert office.post(f"/office/counter/{paid.exchange['id']}", {}).status_code == 404


def test_a_key_that_may_not_act_for_members_has_no_counter(paid: Deal) -> None:
    made = paid.api.made("/v1/api-keys", {"label": "reader", "scopes": ["exchanges:read"]})
    office = Browser(paid.api.server)
    office.post("/office/sign-in", {"key": made["secret"]})
    assert office.get("/office/exchanges").status_code == 200
    assert "/office/counter" not in office.get("/office/exchanges").text
    assert office.get("/office/counter").status_code == 403
    answer = office.post(f"/office/counter/{paid.exchange['id']}", {})
    assert answer.status_code == 403


def test_by_the_api_the_platforms_desk_enters_the_code_and_a_member_has_no_desk(
    paid: Deal,
) -> None:
    body = {
        "member": paid.payee["id"],
        "checkpoint": "handover",
        "code": slip(paid, paid.payer),
        "operator": OPERATOR,
    }
    path = f"/v1/exchanges/{paid.exchange['id']}/enter-code"
    own = paid.api.acting(paid.payee["id"])
    problem(own.post(path, {**body}), 403, "not_yourself")
    for_payer = {**body, "member": paid.payer["id"]}
    problem(paid.api.post(path, for_payer), 403, "not_your_step")
    paid.api.made(path, body)
    assert {(one["via"], one["operator"]) for one in given(paid)} == {("desk", OPERATOR)}
    told = next(one for one in paid.api.events(5) if one["type"] == "member.assisted")
    assert (told["data"]["via"], told["data"]["operator"]) == ("desk", OPERATOR)


def test_the_office_reads_whose_hand_gave_each_word(paid: Deal) -> None:
    counter(paid, slip(paid, paid.payer))
    office = signed_in(paid.api.server, paid.api)
    page = words(office.get(f"/office/exchanges/{paid.exchange['id']}"))
    assert "Ce que chacun a confirmé" in page
    assert f"le guichet : {OPERATOR}" in page


def test_a_platform_says_where_it_can_be_called_and_takes_it_back(paid: Deal) -> None:
    browser, link = Browser(paid.api.server), paid.link(paid.payer)
    assert "(téléphone" not in words(browser.get(link))
    changed = paid.api.send("PATCH", "/v1/platform", {"phone": "+33298000000"})
    assert changed.json()["phone"] == "+33298000000"
    assert "(téléphone 02 98 00 00 00" in words(browser.get(link))
    wrong = paid.api.send("PATCH", "/v1/platform", {"phone": "0298000000"})
    problem(wrong, 422, "invalid_request")
    assert paid.api.read("/v1/platform")["phone"] == "+33298000000"
    paid.api.send("PATCH", "/v1/platform", {"phone": None})
    assert "(téléphone" not in words(browser.get(link))
