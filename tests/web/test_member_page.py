"""What a member's page is made of, whatever the exchange has come to."""

from __future__ import annotations

import re
from collections.abc import Callable

import httpx
import pytest

from service import db
from service.ids import decode
from tests.http.claimed import claim
from tests.http.client import Server
from tests.http.deal import Deal
from tests.web.browser import Browser, words
from tests.web.test_helpers import named
from tests.web.test_helpers import opened as opened_by_helper


@pytest.fixture
def browser(server: Server) -> Browser:
    """Somebody's browser."""
    return Browser(server)


def nothing(_deal: Deal) -> None:
    """Leave it as it is."""


def reported(deal: Deal) -> None:
    """The payer reports a problem."""
    claim(deal)


def over(deal: Deal) -> None:
    """Both confirm."""
    for one in (deal.payer, deal.payee):
        body = {"member": one["id"], "checkpoint": "handover"}
        deal.api.made(f"/v1/exchanges/{deal.exchange['id']}/confirm", body)
    assert deal.state() == "completed"


@pytest.mark.parametrize("happens", [nothing, reported, over])
@pytest.mark.parametrize(
    ("locale", "questions"),
    [
        (
            "fr",
            [
                "Où est mon argent ?",
                "Que dois-je faire maintenant ?",
                "Jusqu'à quand, et sinon ?",
            ],
        ),
        ("en", ["Where is my money?", "What do I do now?", "By when, and what if not?"]),
        (
            "br",
            [
                "Pelec'h emañ va arc'hant?",
                "Petra am eus d'ober bremañ?",
                "Betek pegoulz, ha mod all?",
            ],
        ),
    ],
)
def test_three_questions_stand_first_and_each_has_an_answer(
    paid: Deal,
    browser: Browser,
    happens: Callable[[Deal], None],
    locale: str,
    questions: list[str],
) -> None:
    happens(paid)
    for side in (paid.payer, paid.payee):
        page = browser.get(f"{paid.link(side)}?lang={locale}")
        heads = re.split(r"<h2[^>]*>", page.text)[1:4]
        for question, part in zip(questions, heads, strict=True):
            said = words(httpx.Response(200, text=part))
            assert said.startswith(question)
            assert len(said.removeprefix(question)) > 10


def path_of(page: httpx.Response) -> list[str]:
    """The path of an exchange as it is heard, stop by stop."""
    (inside,) = re.findall(r'<ol class="path">(.*?)</ol>', page.text, re.DOTALL)
    stops = re.findall(r"<li[^>]*>(.*?)</li>", inside, re.DOTALL)
    return [words(httpx.Response(200, text=stop)) for stop in stops]


def test_the_path_reads_as_text_what_is_done_what_is_now_and_what_comes(
    paid: Deal, browser: Browser
) -> None:
    page = browser.get(paid.link(paid.payer))
    heard = [re.sub(r"Fait le \w+ \d+ \S+ \d{4}$", "Fait", stop) for stop in path_of(page)]
    assert heard == [
        "Accord Fait",
        "Paiement protégé Fait",
        "La remise en main propre Maintenant",
        "Yann reçoit sa part Ensuite",
    ]
    assert page.text.count('aria-current="step"') == 1
    over(paid)
    page = browser.get(paid.link(paid.payer))
    assert all("Fait le" in stop for stop in path_of(page))
    assert 'aria-current="step"' not in page.text


def test_paying_twice_begins_one_payment(proposed: Deal, browser: Browser) -> None:
    link = proposed.link(proposed.payer)
    page = browser.get(link)
    agreed = dict(re.findall(r'name="(version|terms_hash)" value="([^"]+)"', page.text))
    page = browser.post(f"{link}/steps/agree", agreed)
    (version,) = re.findall(r'name="version" value="(\d+)"', page.text)
    for _press in range(2):
        answer = browser.post(f"{link}/pay", {"version": version})
        assert answer.status_code == 200
        assert "Aller à la page de paiement" in words(answer)
    assert words(answer).count("Vous avez commencé à payer.") == 1
    query = "SELECT count(*) FROM service.payment WHERE exchange_id = %s"
    with db.transaction(proposed.engine, proposed.platform_id) as connection:
        key = decode("exchange", proposed.exchange["id"])
        assert connection.exec_driver_sql(query, (key,)).scalar_one() == 1


@pytest.mark.parametrize("place", [2, 20, 44])
def test_a_link_in_which_one_letter_is_another_opens_nothing(
    paid: Deal, browser: Browser, place: int
) -> None:
    link = paid.link(paid.payer)
    letter = "A" if link[place] != "A" else "B"
    tampered = f"{link[:place]}{letter}{link[place + 1 :]}" if place > 2 else f"{link}A"
    for answer in (browser.get(tampered), browser.post(f"{tampered}/steps/confirm")):
        assert answer.status_code == 404
        assert "vélo" not in answer.text
    assert paid.state() == "active"


def test_after_the_end_date_a_helper_does_nothing_more_and_reads_so(
    paid: Deal, browser: Browser
) -> None:
    home = named(paid, paid.payer)
    page = opened_by_helper(paid, home)
    assert browser.get(page).status_code == 200
    paid.api.made("/v1/sandbox/clock/advance", {"by": "P31D"})
    for answer in (
        browser.get(home),
        browser.get(page),
        browser.post(f"{page}/steps/confirm", {"checkpoint": "handover"}),
    ):
        assert answer.status_code == 410
        assert "Cette aide est terminée" in words(answer)


def test_an_offer_is_read_again_with_its_amounts_before_it_is_accepted(
    paid: Deal, browser: Browser
) -> None:
    path = f"/v1/exchanges/{paid.exchange['id']}"
    split = {"member": paid.payee["id"], "legs": [{"to_payee": 2550}]}
    paid.api.made(f"{path}/propose-settlement", split)
    link = paid.link(paid.payer)
    for step in ("accept_proposal", "reject_proposal"):
        said = words(browser.get(f"{link}/review/{step}"))
        assert "Pour vous : 39,50 €. Pour Yann : 25,50 €." in said
    page = browser.get(f"{link}/review/accept_proposal")
    assert "C'est définitif" in words(page)
    hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', page.text))
    for _press in range(2):
        assert browser.post(f"{link}/steps/accept_proposal", hidden).status_code == 200
    assert paid.state() == "settled"
