"""What comes to nothing is told a person in words, and a program as a problem."""

from __future__ import annotations

import pytest

from service.ids import encode, uuid7
from tests.http.client import Server, problem
from tests.http.deal import Deal
from tests.web.browser import Browser, words

TOKEN = "a" * 43


@pytest.fixture
def browser(server: Server) -> Browser:
    """Somebody's browser, which asks for pages."""
    made = Browser(server)
    made.headers["accept"] = "text/html,application/xhtml+xml,*/*;q=0.8"
    return made


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("fr", "Il n'y a rien à cette adresse"),
        ("en", "There is nothing at this address"),
        ("br", "N'eus netra er chomlec'h-mañ"),
    ],
)
def test_an_address_of_nothing_is_told_in_the_browser_s_language(
    server: Server, language: str, said: str
) -> None:
    browser = Browser(server, language)
    answer = browser.get(f"/l/{TOKEN}/nowhere", headers={"accept": "text/html"})
    assert answer.status_code == 404
    assert f'<html lang="{language}">' in answer.text
    assert said in words(answer)
    assert f'href="/l/{TOKEN}"' in answer.text


def test_a_page_of_a_mishap_has_the_policy_of_every_page(browser: Browser) -> None:
    there, here = browser.get("/code"), browser.get("/nowhere")
    assert (there.status_code, here.status_code) == (200, 404)
    for name in ("content-security-policy", "cache-control", "referrer-policy", "content-type"):
        assert here.headers[name] == there.headers[name]
    assert here.headers["x-request-id"]


def test_a_photograph_of_twenty_megabytes_is_refused_with_what_to_do(
    paid: Deal, browser: Browser
) -> None:
    link = paid.link(paid.payer)
    huge = {"photo": ("p.jpg", bytes(20_000_000), "image/jpeg")}
    answer = browser.post(f"{link}/case/evidence", files=huge)
    assert answer.status_code == 413
    assert "choisissez une photo plus petite" in words(answer)
    assert f'href="{link}/case"' in answer.text


def test_a_method_that_is_none_of_the_page_s_leads_back(browser: Browser) -> None:
    answer = browser.send("PUT", f"/l/{TOKEN}/steps/confirm")
    assert answer.status_code == 405
    assert answer.headers["allow"]
    assert "Cela n'a pas marché" in words(answer)


def test_the_address_is_shown_harmless(browser: Browser) -> None:
    answer = browser.get('/l/"><script>alert(1)</script>/nowhere')
    assert answer.status_code == 404
    assert "<script>alert" not in answer.text
    assert "Revenir à ma page" not in answer.text


def test_no_body_answers_head(browser: Browser) -> None:
    answer = browser.send("HEAD", "/nowhere")
    assert (answer.status_code, answer.content) == (404, b"")


def test_programs_read_the_problem_also_where_they_take_pages(server: Server, paid: Deal) -> None:
    there = f"/v1/exchanges/{encode('exchange', uuid7())}"
    answer = paid.api.send("GET", there, headers={"accept": "text/html"})
    problem(answer, 404, "exchange_not_found")
    program = Browser(server)
    problem(program.get("/nowhere"), 404, "not_found")
