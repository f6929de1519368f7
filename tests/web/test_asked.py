"""A problem on the page of its exchange, and what a neutral asks a member for."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from sqlalchemy import Engine

from disputes import mediators
from disputes.outcomes import Outcome
from tests.disputes import samples
from tests.disputes.people import People
from tests.http.claimed import PRESSURED, Claimed, claim
from tests.http.client import Api, Server
from tests.http.deal import Deal
from tests.http.desk import Desk, Person, invite, take_up
from tests.web.browser import Browser, words

PHOTO = samples.encoded(samples.image(), "JPEG")


@pytest.fixture
def browser(server: Server) -> Browser:
    """Somebody's browser."""
    return Browser(server)


@pytest.fixture
def maud(paid: Deal, engine: Engine, operator: Api, new_desk: Callable[[], Desk]) -> Person:
    """Return the one neutral of the platform."""
    person, people = take_up(new_desk(), invite(operator)), People(engine, paid.platform_id)
    with people.everywhere() as connection:
        mediators.put_in_pool(connection, people.pool_id, [person.uuid])
    return person


@pytest.fixture
def hers(paid: Deal, maud: Person) -> Claimed:
    """A case that was given to her at once."""
    found = claim(paid, PRESSURED)
    assert found.case().mediator_id == maud.uuid
    return found


def ask(hers: Claimed, maud: Person, **asked: str) -> None:
    """Let her ask one side for something."""
    token = str(maud.sign_in()["token"])
    Api(hers.api.server, token).made(f"/v1/mediation{hers.desk_path}-requests", asked)


def form_of(page: str) -> str:
    """The address to which the answer to what is asked goes."""
    (found,) = re.findall(r'action="([^"]+\?asked=[^"]+)"', page)
    return str(found)


def test_a_question_of_a_neutral_is_on_both_pages_of_whom_it_asks_and_is_answered_there(
    hers: Claimed, maud: Person, browser: Browser
) -> None:
    payer, payee = hers.deal.link(hers.deal.payer), hers.deal.link(hers.deal.payee)
    ask(hers, maud, side="payee", question="what_do_you_know")
    asked = "La personne neutre vous demande"
    assert asked in words(browser.get(payee))
    assert asked not in words(browser.get(payer))
    assert asked not in words(browser.get(f"{payer}/case"))
    page = browser.get(f"{payee}/case")
    assert "Que savez-vous à ce sujet ?" in words(page)
    for _press in range(2):
        answer = browser.post(form_of(page.text), {"text": "I never wrote that."})
        assert "C'est noté" in words(answer)
        assert asked not in words(answer)
    late = browser.post(form_of(page.text), {"text": "Something else."})
    assert (late.status_code, "Vous avez déjà répondu" in words(late)) == (422, True)
    [request] = hers.payer.read(hers.path)["requests"]
    [piece] = hers.payer.read(hers.path)["data"]
    assert (request["evidence"], piece["text"]) == (piece["id"], "I never wrote that.")


@pytest.mark.parametrize(
    ("sort", "content", "kept"),
    [("photo", PHOTO, "image/jpeg"), ("document", samples.plain_pdf(), "application/pdf")],
)
def test_a_file_that_a_neutral_asks_for_is_sent_from_the_page(
    hers: Claimed, maud: Person, browser: Browser, sort: str, content: bytes, kept: str
) -> None:
    payer = hers.deal.link(hers.deal.payer)
    ask(hers, maud, side="payer", sort=sort)
    page = browser.get(f"{payer}/case")
    answer = browser.post(form_of(page.text), files={"photo": ("f", content, "")})
    assert "C'est noté" in words(answer)
    [piece] = hers.payer.read(hers.path)["data"]
    assert (piece["sort"], piece["file"]["media_type"]) == (sort, kept)
    assert piece["request"] is not None


def test_what_is_asked_of_one_side_is_not_answered_by_the_other(
    hers: Claimed, maud: Person, browser: Browser
) -> None:
    payer, payee = hers.deal.link(hers.deal.payer), hers.deal.link(hers.deal.payee)
    ask(hers, maud, side="payee", question="what_do_you_know")
    there = form_of(browser.get(f"{payee}/case").text).replace(payee, payer)
    answer = browser.post(there, {"text": "I know."})
    assert answer.status_code == 422
    assert hers.payer.read(hers.path)["data"] == []


def test_while_a_problem_is_open_the_exchange_s_page_asks_for_no_code_and_says_what_comes(
    hers: Claimed, browser: Browser
) -> None:
    payer = hers.deal.link(hers.deal.payer)
    page = browser.get(payer)
    said = words(page)
    assert "gelé tant que le problème n'est pas réglé" in said
    assert "dites votre code" not in said
    assert f'action="{payer}/code"' not in page.text
    assert f'href="{payer}/review/confirm"' in page.text, "whoever is content still can say so"
    assert "tirée au sort, propose une issue" in said, "by when, and what then"
    assert "Rien ne presse" in said
    assert "Un problème à régler Maintenant" in said


def test_the_page_says_whose_turn_it_is_in_a_problem(
    hers: Claimed, maud: Person, browser: Browser
) -> None:
    payer, payee = hers.deal.link(hers.deal.payer), hers.deal.link(hers.deal.payee)
    case = hers.case()
    hers.step("make_offer", member_id=case.payee_id, outcome=Outcome.TO_PAYER, text="Sorry.")
    assert "Yann vous fait une offre" in words(browser.get(payer))
    assert "vous fait une offre" not in words(browser.get(payee))
    hers.step("propose", mediator_id=maud.uuid, outcome=Outcome.TO_PAYER, text="All back?")
    for link in (payer, payee):
        assert "La personne neutre vous propose une solution" in words(browser.get(link))
    proposal = hers.case().proposal
    assert proposal is not None
    hers.step("accept_proposal", member_id=case.payer_id, about=proposal.id)
    assert "vous propose une solution" not in words(browser.get(payer))
