"""What is one's own at the desk: ties, words for decisions, and cases to decide again, blind."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from playwright.sync_api import expect
from sqlalchemy import Engine

from disputes import mediators, redecisions, ties
from disputes.model import Stage
from service import db
from service.ids import decode, encode
from tests.disputes import samples
from tests.disputes.people import SEED, People
from tests.http.claimed import Claimed
from tests.http.client import Api
from tests.http.deal import Deal
from tests.web.desk.browser import Browser, error, hidden, text_of
from tests.web.desk.conftest import Join, Sitting
from tests.web.desk.test_desk_cases import WHY, decision, do, leg, path, split_up
from tests.web.eyes import NARROW, Open, wrong
from tests.web.live import Live

PHOTO: Final = samples.encoded(samples.image(64, 48), "JPEG")
SECRET: Final = "Ce que la première personne pensait, et que personne d'autre ne doit lire. " * 2


@pytest.fixture
def again(
    join: Join, pressed: Callable[[], Claimed], people: People
) -> tuple[Claimed, Sitting, str]:
    """A case that was decided, whoever is to decide it again, and the page where they do."""
    first = join()
    found = pressed()
    found.sent(PHOTO, found.payer, text="Son message.")
    do(first.browser, found, "decide", sure="1", **decision("to_payee", text=SECRET))
    second = join()
    with people.inside() as connection:
        made = redecisions.begin(connection, found.case(), SEED, datetime.now(UTC), share=1000)
    assert made is not None
    return found, second, f"/desk/again/{encode('redecision', made)}"


def test_a_case_is_decided_again_without_a_word_of_what_was_decided(
    again: tuple[Claimed, Sitting, str],
) -> None:
    found, second, at = again
    assert at in second.browser.read("/desk/inbox")
    page = second.browser.read(at)
    shown = text_of(page)
    assert "He threatened me." in shown
    assert "Son message." in shown
    assert SECRET.strip() not in shown
    assert "Ce qui est arrivé" not in shown  # the journal tells who decided, and when
    assert second.browser.get(path(found)).status_code == 404
    split = {**hidden(page), "outcome": "split", leg(found): "40,50"}
    tried = second.browser.post(at, {**split, "calculate": "1"})
    assert re.search(r"24,50\s€ \+ 40,50\s€ = 65,00\s€", text_of(tried.text))
    before = found.case()
    for text in ("trop court", f"{WHY} {{{{un_blanc}}}}"):
        refused = second.browser.post(at, {**split, "text": text})
        assert refused.status_code == 422
        assert hidden(refused.text).keys() >= {"key"}
    sent = [second.browser.post(at, {**split, "text": WHY}) for _ in range(2)]
    assert {one.headers["location"] for one in sent} == {"/desk/inbox?done=again"}
    after = text_of(second.browser.read("/desk/inbox?done=again"))
    assert "Votre avis est écrit." in after
    assert at not in second.browser.read("/desk/inbox")
    assert found.case() == before
    assert second.browser.get(at).status_code == 404


def test_evidence_of_a_case_to_decide_again_is_read_there_until_it_is_decided(
    again: tuple[Claimed, Sitting, str], join: Join
) -> None:
    _found, second, at = again
    listed = second.browser.read(f"{at}/evidence")
    (file,) = set(re.findall(rf'src="({re.escape(at)}/evidence/[^"]+/file)"', listed))
    image = second.browser.get(file)
    assert image.headers["content-type"] == "image/jpeg"
    assert 'class="viewer zoom200"' in second.browser.read(f"{file.removesuffix('/file')}?zoom=200")
    stranger = join().browser
    for address in (at, f"{at}/evidence", file):
        assert stranger.get(address).status_code == 404
    form = second.browser.fill(at, outcome="to_payer", text=WHY)
    assert second.browser.post(at, form).status_code == 303
    assert second.browser.get(file).status_code == 404


def test_somebody_tells_what_ties_them_and_the_case_goes_to_another(
    join: Join, pressed: Callable[[], Claimed], paid: Deal
) -> None:
    sittings = join(), join()
    found = pressed()
    mine, _other = split_up(found, *sittings)
    page = mine.browser.read("/desk/ties")
    assert "Vous n'avez dit aucun lien." in text_of(page)
    (platform,) = re.findall(r'<option value="(pl_[0-9a-z]+)"', page)
    said = {**hidden(page), "platform": platform, "kind": "household", "note": "Ma <sœur>."}
    for member, why in (
        ("", "Pour ce lien, dites avec qui"),
        ("mb_nobody", "Ce numéro n'est celui d'aucun membre"),
        (encode("member", found.case_id), "Ce numéro n'est celui d'aucun membre"),
    ):
        refused = mine.browser.post("/desk/ties", {**said, "member": member})
        assert refused.status_code in {404, 422}
        assert why in error(refused.text)
        said["key"] = hidden(refused.text)["key"]
    sent = mine.browser.post("/desk/ties", {**said, "member": paid.payer["id"]})
    assert sent.headers["location"] == "/desk/ties?done=told"
    shown = text_of(mine.browser.read("/desk/ties"))
    assert "Quelqu'un de mon foyer" in shown
    assert "Ma <sœur>." in shown
    form = f"{path(found)}/do/decide"
    if mine.browser.get(form).status_code == 200:  # until the worker has drawn another
        refused = mine.browser.post(form, mine.browser.fill(form, **decision(), sure="1"))
        assert refused.status_code >= 400
    assert found.case().ruling is None


def test_somebody_recognised_in_a_case_is_told_of_without_their_number(
    join: Join, pressed: Callable[[], Claimed], paid: Deal, engine: Engine
) -> None:
    maud = join()
    found = pressed()
    stranger = join()
    page = maud.browser.read("/desk/ties")
    offered = dict(re.findall(r'<option value="(pay(?:er|ee)\.cs_[0-9a-z]+)">([^<]*)', page))
    case = encode("case", found.case_id)
    assert set(offered) == {f"payer.{case}", f"payee.{case}"}
    assert "Anna" not in page
    assert "la personne payée" in offered[f"payee.{case}"]
    said = {"person": f"payee.{case}", "kind": "household"}
    # Who was never given the case does not learn by it who its people are.
    refused = stranger.browser.post(
        "/desk/ties", stranger.browser.fill("/desk/ties", platform="", **said)
    )
    assert refused.status_code == 422
    twice = maud.browser.post(
        "/desk/ties", {**hidden(page), **said, "member": paid.payer["id"], "platform": ""}
    )
    assert twice.status_code == 422
    assert "pas les deux" in error(twice.text)
    # Their platform is their case's, whatever is chosen beside it.
    sent = maud.browser.post("/desk/ties", {**hidden(twice.text), **said, "platform": ""})
    assert sent.headers["location"] == "/desk/ties?done=told"
    with db.transaction(engine, db.SYSTEM) as connection:
        (one,) = ties.page(connection, None, 5, mediator_id=maud.person.uuid)
    assert (one.tie.platform_id, one.tie.member_id) == (
        paid.platform_id,
        decode("member", paid.payee["id"]),
    )
    assert "la personne payée" in text_of(maud.browser.read("/desk/ties"))


def test_a_claim_is_found_in_bad_faith_by_who_decided_it_and_cleared_by_a_supervisor(
    join: Join, pressed: Callable[[], Claimed]
) -> None:
    maud = join().browser
    found = pressed()
    at = f"/desk/decided/{encode('case', found.case_id)}"
    assert maud.get(at).status_code == 404  # nothing is decided
    assert maud.post(at, {"key": "a-key-of-a-form", "reason": "extortion"}).status_code == 404
    do(maud, found, "decide", sure="1", **decision("to_payee"))
    assert f'href="{at}"' in maud.read("/desk/decided")
    unsaid = maud.post(at, maud.fill(at))
    assert unsaid.status_code == 422
    assert "Choisissez en quoi" in error(unsaid.text)
    form = maud.fill(at, reason="untrue_facts")
    for _ in range(2):
        assert maud.post(at, form).headers["location"] == "/desk/decided?done=struck"
    shown = text_of(maud.read("/desk/decided"))
    assert "mauvaise foi Faits inventés" in shown
    assert "Retirer" not in shown
    assert "C'est déjà dit" in text_of(maud.read(at))
    boss, stranger = join(roles=["supervisor"]).browser, join().browser
    assert stranger.get(at).status_code == 404
    assert boss.get(at).status_code == 404  # who supervises did not decide
    page = boss.read("/desk/decided")
    (lift,) = re.findall(r'action="(/desk/decided/strikes/stk_[0-9a-z]+/lift)"', page)
    refused = maud.post(lift, hidden(maud.read("/desk/decided")) | {"key": "another-key-of-mine"})
    assert refused.status_code == 403
    assert boss.post(lift, hidden(page)).headers["location"] == "/desk/decided?done=lifted"
    assert lift not in boss.read("/desk/decided")
    assert "retirée" in text_of(maud.read("/desk/decided"))


def test_whoever_is_away_says_so_at_the_desk_and_is_given_nothing_new(
    join: Join, pressed: Callable[[], Claimed], engine: Engine
) -> None:
    maud = join(caseload_cap=7, languages=["fr", "de"])
    at = "/desk/profile"
    page = maud.browser.read(at)
    assert 'name="lang.fr" value="1" checked' in page
    assert 'name="lang.br" value="1" checked' not in page
    for wrong_, said in (
        ("wish", {"lang.fr": "1", "wish": "8"}),
        ("wish", {"lang.fr": "1", "wish": "two"}),
        ("away", {"lang.fr": "1", "away": "2020-01-01"}),
        ("away", {"lang.fr": "1", "away": "9999-12-31"}),
        ("away", {"lang.fr": "1", "away": "soon"}),
    ):
        refused = maud.browser.post(at, hidden(page) | said)
        assert refused.status_code == 422
        assert f'id="wrong-{wrong_}"' in refused.text
        assert "Rien n'a été enregistré" in error(refused.text)
    away = (datetime.now(UTC) + timedelta(days=9)).date().isoformat()
    said = {"lang.br": "1", "wish": "3", "away": away}
    assert maud.browser.post(at, hidden(page) | said).headers["location"] == f"{at}?done=1"
    with db.transaction(engine, db.SYSTEM) as connection:
        me = mediators.get(connection, maud.person.uuid)
    assert (me.languages, me.caseload_wish) == (frozenset({"br", "de"}), 3)
    shown = maud.browser.read(at)
    assert f'value="{away}"' in shown
    assert "Ezvezant oc'h betek" in text_of(shown)  # their languages are the page's
    assert pressed().case().mediator_id is None
    # Without a language nobody could give them anything.
    other = join()
    refused = other.browser.post(at, other.browser.fill(at))
    assert refused.status_code == 422
    assert 'id="wrong-languages"' in refused.text
    back = {"lang.fr": "1"}
    assert maud.browser.post(at, hidden(shown) | back).status_code == 303
    with db.transaction(engine, db.SYSTEM) as connection:
        me = mediators.get(connection, maud.person.uuid)
    assert (me.caseload_wish, me.away_until) == (None, None)


def test_a_tie_ends_by_whoever_told_it_and_stays_on_record(
    join: Join, engine: Engine, paid: Deal
) -> None:
    maud, stranger = join(), join()
    page = maud.browser.read("/desk/ties")
    (platform,) = re.findall(r'<option value="(pl_[0-9a-z]+)"', page)
    maud.browser.post("/desk/ties", {**hidden(page), "platform": platform, "kind": "staff"})
    page = maud.browser.read("/desk/ties")
    (end,) = re.findall(r'action="(/desk/ties/tie_[0-9a-z]+/end)"', page)
    foreign = stranger.browser.post(end, hidden(stranger.browser.read("/desk/ties")))
    assert foreign.status_code == 404
    assert "ce n'est pas à vous" in error(foreign.text)
    ended = maud.browser.post(end, hidden(page))
    assert ended.headers["location"] == "/desk/ties?done=ended"
    assert "Liens finis" in text_of(maud.browser.read("/desk/ties"))
    with db.transaction(engine, db.SYSTEM) as connection:
        (one,) = ties.page(connection, None, 5, mediator_id=maud.person.uuid)
    assert one.ended_at is not None


def write(browser: Browser, at: str, **said: str) -> str:
    """Send the form of a template; return where it leads."""
    answer = browser.post(at, browser.fill(at, **said))
    assert answer.status_code == 303, error(answer.text)
    return str(answer.headers["location"])


def test_a_supervisor_writes_changes_and_retires_words_that_a_decision_starts_from(
    join: Join, pressed: Callable[[], Claimed]
) -> None:
    boss, maud = join(roles=["supervisor"]).browser, join().browser
    found = pressed()
    words = {
        "language": "fr",
        "reason": "pressure_or_scam",
        "outcome": "to_payer",
        "title": "Menace <écrite>",
        "text": "Le message du {{jour}} menace la personne qui paie.",
    }
    assert write(boss, "/desk/templates/new", **words).endswith("?done=written")
    listed = boss.read("/desk/templates")
    (at,) = set(re.findall(r'href="(/desk/templates/tp_[0-9a-z]+)"', listed))
    assert "À remplir : jour." in text_of(listed).replace("\u00a0", " ").replace("\u202f", " ")
    better = words | {"text": "Le message du {{jour}} menace, et {{qui}} l'a reçu."}
    assert write(boss, at, **better).endswith("?done=changed")
    assert boss.get(at).status_code == 404  # the words before are retired
    form = maud.read(f"{path(found)}/do/decide")
    (choice,) = re.findall(r'<option value="(tp_[0-9a-z]+)">', form)
    filled = maud.post(
        f"{path(found)}/do/decide", {**hidden(form), "template": choice, "insert": "1"}
    )
    assert "et {{qui}} l'a reçu." in text_of(filled.text).replace("&#39;", "'")
    listed = boss.read("/desk/templates")
    (retire,) = re.findall(r'action="(/desk/templates/tp_[0-9a-z]+/retire)"', listed)
    assert boss.post(retire, hidden(listed)).headers["location"].endswith("?done=retired")
    assert "Il n'y a encore aucun modèle." in text_of(boss.read("/desk/templates"))
    assert found.case().stage is not Stage.CLOSED


@pytest.mark.parametrize(
    ("field", "said", "why"),
    [
        ("outcome", "no_show_payee", "on ne peut pas décider ainsi"),
        ("outcome", "withdrawn", "Choisissez l'issue."),
        ("text", "Un {blanc} mal écrit.", "Un blanc est mal écrit"),
        ("title", " ", "Donnez un titre."),
        ("language", "de", "Choisissez la langue."),
        ("reason", "boredom", "Choisissez un motif de la liste."),
    ],
)
def test_a_template_that_nobody_could_use_is_refused_at_its_field_and_not_lost(
    join: Join, operator: Api, field: str, said: str, why: str
) -> None:
    boss = join(roles=["supervisor"]).browser
    words = {
        "language": "fr",
        "reason": "pressure_or_scam",
        "outcome": "to_payer",
        "title": "Menace",
        "text": "Le message menace.",
    }
    at = "/desk/templates/new"
    refused = boss.post(at, boss.fill(at, **{**words, field: said}))
    assert refused.status_code == 422
    assert why in error(refused.text).replace("\u00a0", " ")
    assert f'id="wrong-{field}"' in refused.text
    kept = "Menace" if field == "text" else "Le message menace."
    assert kept in refused.text


def test_whoever_supervises_nobody_reads_templates_and_writes_none(join: Join) -> None:
    boss, maud = join(roles=["supervisor"]).browser, join().browser
    words = {"language": "fr", "outcome": "to_payer", "title": "Pour tous", "text": "Des mots."}
    write(boss, "/desk/templates/new", **words)
    listed = boss.read("/desk/templates")
    (at,) = set(re.findall(r'href="(/desk/templates/tp_[0-9a-z]+)"', listed))
    seen = maud.read("/desk/templates")
    assert "Pour tous" in seen
    assert at not in seen
    key = hidden(boss.read("/desk/templates/new"))
    for address in ("/desk/templates/new", at):
        assert maud.get(address).status_code == 404
        assert maud.post(address, {**key, **words}).status_code == 404
    assert maud.post(f"{at}/retire", key).status_code == 404
    assert boss.read("/desk/templates") != ""
    assert at in boss.read("/desk/templates")


@pytest.mark.parametrize("locale", ["fr", "en", "br"])
def test_no_page_of_a_case_to_decide_again_has_a_barrier(
    again: tuple[Claimed, Sitting, str], opened: Open, live: Live, locale: str
) -> None:
    _found, second, at = again
    page = opened("/desk/sign-in", viewport=NARROW)
    kept = second.browser.cookies.items()
    page.context.add_cookies(
        [{"name": name, "value": said, "url": f"{live.url}/desk"} for name, said in kept]
    )
    for address in ("/desk/inbox", at, f"{at}/evidence"):
        page.goto(f"{address}?lang={locale}")
        assert wrong(page) == [], address
    page.goto(at)
    page.check("#o-split")
    page.fill("input[name^='part.']", "40.50")
    expect(page.locator("#preview .holds")).to_be_visible()
    page.click("form.form > .act button")  # without a reason
    expect(page.locator("#text[aria-invalid]")).to_be_visible()
    assert wrong(page) == []


@pytest.mark.parametrize("locale", ["fr", "en", "br"])
def test_no_page_of_bad_faith_has_a_barrier(
    join: Join, pressed: Callable[[], Claimed], opened: Open, live: Live, locale: str
) -> None:
    maud = join(roles=["mediator", "supervisor"]).browser
    found = pressed()
    do(maud, found, "decide", sure="1", **decision("to_payee"))
    page = opened("/desk/sign-in", viewport=NARROW)
    kept = maud.cookies.items()
    page.context.add_cookies(
        [{"name": name, "value": said, "url": f"{live.url}/desk"} for name, said in kept]
    )
    page.goto(f"/desk/decided?lang={locale}")
    assert wrong(page) == []
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url("**/desk/decided/cs_*")
    page.click("form.form > .act button")  # without a reason
    expect(page.locator("#reason[aria-invalid]")).to_be_visible()
    assert wrong(page) == []
    page.check("#reason-extortion")
    page.click("form.form > .act button")
    page.wait_for_url("**?done=struck")
    assert wrong(page) == []
    page.goto(f"/desk/decided/{encode('case', found.case_id)}")
    assert wrong(page) == []
