"""Getting in and out of the desk: password and code, invitations, sessions, and forms of others."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import pytest
import structlog
from sqlalchemy import Engine

from service.mediators import totp
from tests.http.client import Api
from tests.http.desk import PASSWORD, Desk, Person, do, invite, one, take_up
from tests.web.desk.browser import Browser, error, hidden, text_of
from tests.web.desk.conftest import Join

PAGES: Final = ("queue", "inbox", "reviews", "numbers", "account")


@pytest.fixture
def maud(operator: Api, new_desk: Callable[[], Desk]) -> Person:
    """Return a mediator with an account."""
    return take_up(new_desk(), invite(operator))


def test_a_mediator_signs_in_and_is_led_where_they_wanted_to_go(
    maud: Person, new_browser: Callable[[], Browser]
) -> None:
    browser = new_browser()
    asked = browser.get("/desk/numbers")
    assert asked.status_code == 303
    page = browser.read(asked.headers["location"])
    form = hidden(page) | {"email": maud.email, "password": PASSWORD, "code": maud.code()}
    answer = browser.post("/desk/sign-in", form)
    assert (answer.status_code, answer.headers["location"]) == (303, "/desk/numbers")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "Path=/desk" in cookie
    for name in PAGES:
        assert "Maud Le Goff" in browser.read(f"/desk/{name}")


def test_what_is_wrong_is_not_told_apart_and_what_was_typed_stays(
    maud: Person, new_browser: Callable[[], Browser]
) -> None:
    browser = new_browser()
    said = set()
    for form in (
        {"email": maud.email, "password": "another one altogether", "code": maud.code()},
        {"email": maud.email, "password": PASSWORD, "code": "000000"},
        {"email": "nobody@example.org", "password": PASSWORD, "code": "000000"},
        {},
    ):
        answer = browser.post("/desk/sign-in", form)
        assert answer.status_code in {401, 403, 422}, answer.status_code
        said.add(error(answer.text))
        assert f'value="{form.get("email", "")}"' in answer.text
        assert PASSWORD not in answer.text
    assert len(said) == 1
    assert browser.cookies == {}


def test_after_many_tries_the_page_says_how_long_to_wait(
    maud: Person, new_browser: Callable[[], Browser]
) -> None:
    browser = new_browser()
    form = {"email": maud.email, "password": "x", "code": "000000"}
    for _ in range(5):
        browser.post("/desk/sign-in", form)
    answer = browser.post("/desk/sign-in", form)
    assert answer.status_code == 429
    assert re.search(r"Réessayez dans \d+ secondes", error(answer.text))


@pytest.mark.parametrize("to", ["https://evil.example/", "//evil.example", "/desk//evil", "/v1/x"])
def test_signing_in_never_leads_away_from_the_desk(
    maud: Person, new_browser: Callable[[], Browser], to: str
) -> None:
    form = {"to": to, "email": maud.email, "password": PASSWORD, "code": maud.code()}
    answer = new_browser().post("/desk/sign-in", form)
    assert answer.headers["location"] == "/desk/queue"


def test_signing_out_ends_the_session_for_whoever_still_has_its_cookie(join: Join) -> None:
    maud = join().browser
    kept = dict(maud.cookies)
    answer = maud.post("/desk/sign-out")
    assert answer.status_code == 303
    assert "Vous êtes déconnecté" in maud.read(answer.headers["location"])
    maud.cookies.update(kept)
    assert maud.get("/desk/queue").status_code == 303


def test_who_is_reset_or_ended_is_out_at_once(join: Join, operator: Api) -> None:
    sitting = join()
    operator.made(f"/v1/operator/mediators/{sitting.person.id}/reset")
    assert sitting.browser.get("/desk/queue").status_code == 303


def test_the_cookie_opens_no_api_and_a_token_of_the_api_opens_no_page(
    join: Join, new_desk: Callable[[], Desk]
) -> None:
    sitting = join()
    (cookie,) = sitting.browser.cookies.values()
    desk = new_desk()
    assert desk.me(cookie).status_code == 401
    session = sitting.person.sign_in()
    assert desk.me(session["token"]).status_code == 200
    (name,) = sitting.browser.cookies
    sitting.browser.cookies[name] = session["token"]
    assert sitting.browser.get("/desk/queue").status_code == 303


def test_each_page_renews_the_session_but_not_beyond_its_twelve_hours(
    join: Join, engine: Engine
) -> None:
    sitting = join()
    (before,) = sitting.browser.cookies.values()
    sitting.browser.read("/desk/queue")
    (after,) = sitting.browser.cookies.values()
    assert after != before
    do(
        engine,
        "UPDATE service.sign_in_session SET expires_at = now() - interval '1 second' "
        "WHERE mediator_id = :id",
        id=sitting.person.uuid,
    )
    assert sitting.browser.get("/desk/queue").status_code == 303


def test_nothing_that_was_written_is_lost_when_the_session_has_ended(
    join: Join, engine: Engine
) -> None:
    sitting = join()
    browser = sitting.browser
    form = browser.fill("/desk/account", current=PASSWORD, password="cinq goélands sur un toit")
    do(
        engine,
        "UPDATE service.sign_in_session SET ended_at = now(), ended_why = 'signed_out' "
        "WHERE mediator_id = :id",
        id=sitting.person.uuid,
    )
    asked = browser.post("/desk/account", form)
    assert asked.status_code == 401
    assert "gardé" in error(asked.text)
    person = sitting.person
    again = hidden(asked.text) | {
        "email": person.email,
        "password": PASSWORD,
        "code": person.code(),
    }
    kept = browser.post("/desk/sign-in", again)
    assert kept.status_code == 200, error(kept.text)
    sent = browser.post("/desk/account", hidden(kept.text))
    assert sent.headers["location"] == "/desk/account?done=1"


def test_forms_of_other_sites_are_refused_whoever_is_signed_in(join: Join) -> None:
    maud = join().browser
    for path in ("sign-out", "claim-next", "reviews", "account", "stay", "sign-in"):
        for site in ("cross-site", "same-site"):
            answer = maud.post(f"/desk/{path}", site=site)
            assert answer.status_code == 403
            assert "Rien n'a été fait" in text_of(answer.text)
    elsewhere = maud.send("POST", "/desk/sign-out", {}, site=None, origin="https://evil.example")
    assert elsewhere.status_code == 403
    assert maud.get("/desk/queue").status_code == 200


def test_an_invitation_is_taken_up_on_a_page_with_a_square_and_a_code(
    operator: Api, new_browser: Callable[[], Browser], engine: Engine
) -> None:
    browser, invited = new_browser(), invite(operator)
    path = invited["invitation"]["page"]
    assert "Maud Le Goff" in browser.read(path)
    weak = browser.post(path, {"password": "court"})
    assert weak.status_code == 422
    assert "12 caractères" in error(weak.text)
    chosen = browser.post(path, {"password": PASSWORD})
    assert chosen.status_code == 200
    assert '<path class="dark" d="M4 4h7v1h-7z' in chosen.text
    uri = hidden(chosen.text)["uri"]
    secret = re.search(r"secret=([A-Z2-7]+)", uri)
    assert secret is not None
    assert secret[1] in re.sub(r"\s", "", text_of(chosen.text))
    wrong = browser.post(path, {"uri": uri, "code": "12 34"})
    assert wrong.status_code == 422
    assert hidden(wrong.text)["uri"] == uri, "a code that was mistyped is typed again"
    now = totp.step(datetime.now(UTC))
    opened = browser.post(path, {"uri": uri, "code": totp.code(secret[1], now)})
    assert opened.headers["location"] == "/desk/opened", error(opened.text)
    assert one(
        engine,
        "SELECT count(*) FROM service.sign_in WHERE mediator_id = "
        "(SELECT id FROM disputes.mediator WHERE email = :email)",
        email=invited["email"],
    )
    used = browser.get(path)
    assert used.status_code == 404
    assert "déjà servi" in text_of(used.text)


def test_an_invitation_that_is_none_says_where_to_get_one(
    new_browser: Callable[[], Browser],
) -> None:
    browser = new_browser()
    for answer in (
        browser.get("/desk/invitations/tmi_nothing"),
        browser.post("/desk/invitations/tmi_nothing", {"password": PASSWORD}),
        browser.post("/desk/invitations/tmi_nothing", {"code": "123456", "uri": "javascript:1"}),
    ):
        assert answer.status_code == 404
        assert "opérateur" in text_of(answer.text)


def test_the_log_never_holds_an_invitation_s_secret(
    operator: Api, new_browser: Callable[[], Browser]
) -> None:
    with structlog.testing.capture_logs() as logged:
        invited = invite(operator)
        new_browser().read(invited["invitation"]["page"])
    secret = invited["invitation"]["page"].rsplit("/", 1)[1]
    assert secret not in str(logged)
    assert any(line.get("path") == "/desk/invitations/…" for line in logged)


def test_a_password_is_changed_by_whoever_knows_the_present_one(join: Join) -> None:
    browser = join().browser
    refused = browser.post("/desk/account", {"current": "x", "password": "six cormorans au port"})
    assert refused.status_code in {409, 422}
    assert "mot de passe actuel" in error(refused.text)
    done = browser.post("/desk/account", {"current": PASSWORD, "password": "six cormorans au port"})
    assert done.headers["location"] == "/desk/account?done=1"
    assert "changé" in text_of(browser.read("/desk/account?done=1"))


def test_the_language_is_the_mediators_own_or_the_one_they_chose_for_the_desk(join: Join) -> None:
    browser = join(languages=["br"]).browser
    assert '<html lang="br">' in browser.read("/desk/queue")
    assert '<html lang="en">' in browser.read("/desk/queue?lang=en")
    assert '<html lang="en">' in browser.read("/desk/inbox")
    assert '<html lang="en">' in browser.read("/desk/inbox?lang=xx")


def test_staying_leads_back_to_where_one_was_and_never_elsewhere(join: Join) -> None:
    browser = join().browser
    for to, leads in (
        ("/desk/inbox?x=1", "/desk/inbox?x=1"),
        ("https://evil.example/", "/desk/queue"),
        ("", "/desk/queue"),
    ):
        assert browser.post("/desk/stay", {"to": to}).headers["location"] == leads
    assert browser.get("/desk/stay").headers["location"] == "/desk/queue"


@pytest.mark.parametrize("path", ["/desk/nothing", "/desk/", "/desk/cases", "/desk/cases/a/b/c"])
def test_an_address_without_a_page_says_so_in_words(join: Join, path: str) -> None:
    answer = join().browser.get(path)
    assert answer.status_code == 404
    assert "Il n'y a rien ici" in text_of(answer.text)


def test_pages_are_never_kept_and_run_nothing_but_our_own_scripts(join: Join) -> None:
    answer = join().browser.get("/desk/queue")
    assert answer.headers["cache-control"] == "no-store"
    policy = answer.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    assert not re.search(r"<script(?![^>]* src=)|<style| style=| on[a-z]+=", answer.text)
