"""The pages of a case: read, decided, read by a second person, voted on, given back."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from typing import Final

import pytest
from sqlalchemy import Engine

from disputes import templates, ties
from disputes.model import Stage
from disputes.templates import Template
from service import db
from service.ids import encode, uuid7
from tests.disputes.people import NOW, People
from tests.http.claimed import Claimed
from tests.http.client import Api, at_once
from tests.http.deal import Deal
from tests.web.desk.browser import Browser, error, hidden, text_of
from tests.web.desk.conftest import Join, Sitting

WHY: Final = "Le message montre la menace, et l'autre personne ne nie pas l'avoir écrit. " * 2
SPACES: Final = str.maketrans({"\u202f": " ", "\u00a0": " "})


def path(found: Claimed) -> str:
    return f"/desk/cases/{encode('case', found.case_id)}"


def leg(found: Claimed) -> str:
    (line,) = found.case().lines
    return f"part.{encode('leg', line.id)}"


def decision(outcome: str = "to_payer", **more: str) -> dict[str, str]:
    return {"outcome": outcome, "reason_code": "evidence", "text": WHY} | more


def do(browser: Browser, found: Claimed, step: str, **said: str) -> str:
    """Send a step's form as its page has it; return where it leads."""
    at = f"{path(found)}/do/{step}"
    answer = browser.post(at, browser.fill(at, **said))
    assert answer.status_code == 303, error(answer.text)
    return str(answer.headers["location"])


def split_up(found: Claimed, *people: Sitting) -> tuple[Sitting, Sitting]:
    """Return whoever has the case, and the first of the others."""
    on_it = found.case().mediator_id
    (mine,) = [one for one in people if one.person.uuid == on_it]
    return mine, next(one for one in people if one is not mine)


def test_a_mediator_reads_their_queue_and_their_case_without_names(
    join: Join, pressed: Callable[[], Claimed]
) -> None:
    maud = join().browser
    found = pressed()
    queue = maud.read("/desk/queue")
    assert path(found) in queue
    assert "65,00" in text_of(queue)
    shown = text_of(maud.read(path(found)))
    assert "He threatened me." in shown
    assert "Un <b>vélo</b>" in shown
    for member in (found.deal.payer, found.deal.payee):
        assert member["id"] not in shown
        assert member["email"] not in shown
        assert member["name"] not in shown


def test_a_split_is_calculated_looked_over_and_decided_once(
    join: Join, pressed: Callable[[], Claimed]
) -> None:
    maud = join().browser
    found = pressed()
    at = f"{path(found)}/do/decide"
    said = decision("split", **{leg(found): "40,50"})
    tried = maud.post(at, maud.fill(at, calculate="1", **said))
    assert tried.status_code == 200, error(tried.text)
    assert "24,50 € + 40,50 € = 65,00 €" in text_of(tried.text).translate(SPACES)
    looked = maud.post(at, maud.fill(at, **said))
    assert looked.status_code == 200
    assert found.case().ruling is None, "it is read over first"
    kept = hidden(looked.text)
    assert kept["text"] == WHY
    back = maud.post(at, kept | {"edit": "1"})
    assert WHY in html.unescape(back.text)
    sure = kept | {"sure": "1"}
    done = [maud.post(at, sure) for _ in range(2)]
    assert {one.headers["location"] for one in done} == {"/desk/queue?done=decide"}
    ruling = found.case().ruling
    assert ruling is not None
    assert list(ruling.to_payee.values()) == [4050]
    assert ruling.reasons == WHY
    assert "La décision est écrite." in text_of(maud.read("/desk/queue?done=decide"))
    after = maud.get(at)
    assert after.status_code == 404, "the back button leads to what is not theirs any more"


def test_two_presses_at_once_decide_once(join: Join, pressed: Callable[[], Claimed]) -> None:
    maud = join().browser
    found = pressed()
    at = f"{path(found)}/do/decide"
    form = maud.fill(at, sure="1", **decision())
    answers = at_once(*(lambda: maud.post(at, form) for _ in range(4)))
    assert {one.status_code for one in answers} <= {303, 409}
    assert 303 in {one.status_code for one in answers}
    assert found.case().stage is Stage.APPEALABLE


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ({"outcome": ""}, "Choisissez une issue"),
        ({"outcome": "withdrawn"}, "Choisissez une issue"),
        ({"outcome": "split"}, "Écrivez un montant"),
        ({"outcome": "split", "leg": "-1"}, "Écrivez un montant"),
        ({"outcome": "split", "leg": "0,001"}, "Écrivez un montant"),
        ({"outcome": "split", "leg": "1e3"}, "Écrivez un montant"),
        ({"outcome": "split", "leg": "65,01"}, "plus que le montant"),
        ({"outcome": "split", "leg": "999999999999999"}, "plus que le montant"),
        ({"reason_code": "because"}, "sur quoi vous vous fondez"),
        ({"text": "Non."}, "au moins 100 caractères"),
        ({"text": f"{WHY} {{{{what_was_shown}}}}"}, "encore des blancs"),
        ({"text": "x" * 20_001}, "trop long"),
    ],
)
def test_what_is_wrong_is_said_at_its_field_and_nothing_is_lost_or_moved(
    join: Join, pressed: Callable[[], Claimed], said: dict[str, str], says: str
) -> None:
    maud = join().browser
    found = pressed()
    before = found.case()
    at = f"{path(found)}/do/decide"
    given = {leg(found) if name == "leg" else name: value for name, value in said.items()}
    form = maud.fill(at, sure="1", **(decision() | given))
    answer = maud.post(at, form)
    assert answer.status_code == 422
    assert says in error(answer.text)
    assert form["text"].strip()[:50] in answer.text.replace("&#39;", "'")
    assert 'aria-invalid="true"' in answer.text
    assert found.case() == before


@pytest.mark.parametrize(
    ("written", "minor"),
    [("40,50", 4050), ("40.5", 4050), (" 40 ", 4000), ("0", 0), ("65,00", 6500), ("1,10", 110)],
)
def test_amounts_are_read_as_people_write_them(
    join: Join, pressed: Callable[[], Claimed], written: str, minor: int
) -> None:
    maud = join().browser
    found = pressed()
    do(maud, found, "propose", outcome="split", text="Ainsi ?", **{leg(found): written})
    proposal = found.case().proposal
    assert proposal is not None
    assert list(proposal.to_payee.values()) == [minor]


def test_a_proposal_reaches_both_and_stands_on_the_page(
    join: Join, pressed: Callable[[], Claimed]
) -> None:
    maud = join().browser
    found = pressed()
    at = f"{path(found)}/do/propose"
    empty = maud.post(at, maud.fill(at, outcome="to_payer", text=" "))
    assert "Écrivez un message" in error(empty.text)
    to = do(maud, found, "propose", outcome="to_payee", text="Tout lui revient, je crois.")
    shown = text_of(maud.read(to))
    assert "La proposition est envoyée aux deux." in shown
    assert "Personne n'a encore répondu." in shown
    assert "Tout lui revient, je crois." in shown


def test_what_is_unusual_is_read_by_a_second_person_who_agrees_or_sends_it_back(
    join: Join, pressed: Callable[[], Claimed]
) -> None:
    sittings = join(), join(), join()
    found = pressed()
    mine, _ = split_up(found, *sittings)
    do(mine.browser, found, "decide", sure="1", **decision("cannot_decide"))
    assert found.case().stage is Stage.SECOND_LOOK

    def second() -> Browser:
        reads = found.case().second_id
        return next(one.browser for one in sittings if one.person.uuid == reads)

    reader = second()
    assert path(found) in reader.read("/desk/inbox")
    assert path(found) not in mine.browser.read("/desk/inbox")
    assert WHY.strip()[:60] in text_of(reader.read(f"{path(found)}/do/agree-with"))
    at = f"{path(found)}/do/send-back"
    bare = reader.post(at, reader.fill(at, text="  "))
    assert "Dites pourquoi" in error(bare.text)
    to = do(reader, found, "send-back", text="Dites ce qui manque.")
    assert "renvoyée" in text_of(reader.read(to))
    assert "Dites ce qui manque." in text_of(mine.browser.read(path(found)))
    do(mine.browser, found, "decide", sure="1", **decision("cannot_decide"))
    reader = second()
    to = do(reader, found, "agree-with")
    assert "prévenues" in text_of(reader.read(to))
    assert found.case().stage is Stage.APPEALABLE


def test_an_appeal_is_voted_on_without_seeing_what_the_others_would_decide(
    join: Join, pressed: Callable[[], Claimed]
) -> None:
    sittings = [join() for _ in range(4)]
    found = pressed()
    mine, _ = split_up(found, *sittings)
    do(mine.browser, found, "decide", sure="1", **decision())
    case = found.step(
        "appeal",
        member_id=found.case().payee_id,
        reason_code="procedure",
        text="On ne m'a pas entendu.",
    )
    assert case.appeal is not None
    panel = [one for one in sittings if one.person.uuid in case.appeal.panel]
    assert panel
    for number, one in enumerate(panel):
        assert path(found) in one.browser.read("/desk/inbox")
        shown = text_of(one.browser.read(path(found)))
        assert "On ne m'a pas entendu." in shown
        assert "Voix 1" not in shown
        do(one.browser, found, "vote", sure="1", **decision("to_payee" if number else "to_payer"))
    assert found.case().stage in {Stage.CLOSED, Stage.APPEAL}


def test_a_case_is_given_back_with_a_reason_and_is_gone(
    join: Join, pressed: Callable[[], Claimed]
) -> None:
    sittings = join(), join()
    found = pressed()
    mine, other = split_up(found, *sittings)
    at = f"{path(found)}/do/decline"
    assert "Dites pourquoi" in error(mine.browser.post(at, mine.browser.fill(at)).text)
    form = mine.browser.fill(at, text="Je connais la rue.")
    answers = [mine.browser.post(at, form) for _ in range(2)]
    assert {one.headers["location"] for one in answers} == {"/desk/queue?done=decline"}
    assert "Quelqu'un d'autre le prend" in text_of(mine.browser.read("/desk/queue?done=decline"))
    assert mine.browser.get(path(found)).status_code == 404
    assert "Je connais la rue." in text_of(other.browser.read(path(found)))


@pytest.mark.parametrize("tied", ["payer", "payee", "platform", "none", "nonsense"])
def test_whoever_is_tied_says_so_and_is_not_drawn_for_them_again(
    join: Join, pressed: Callable[[], Claimed], people: People, tied: str
) -> None:
    maud = join()
    found = pressed()
    do(maud.browser, found, "decline", text="Je les connais.", tie=tied)
    with people.everywhere() as connection:
        told = ties.page(connection, None, 10, mediator_id=maud.person.uuid)
    case = found.case()
    members = {"payer": case.payer_id, "payee": case.payee_id, "platform": None}
    expected = [(case.platform_id, members[tied])] if tied in members else []
    assert [(one.tie.platform_id, one.tie.member_id) for one in told] == expected


def test_a_page_that_is_out_of_date_decides_nothing_and_keeps_what_was_written(
    join: Join, pressed: Callable[[], Claimed]
) -> None:
    maud = join().browser
    found = pressed()
    at = f"{path(found)}/do/decide"
    form = maud.fill(at, sure="1", **decision())
    found.payee.made(found.path, {"sort": "text", "text": "Voici ce qui a changé."})
    answer = maud.post(at, form)
    assert answer.status_code == 409
    assert "a avancé" in error(answer.text)
    assert found.case().ruling is None
    assert "Voici ce qui a changé." in text_of(answer.text)
    again = hidden(answer.text) | decision(sure="1")
    assert maud.post(at, again).status_code == 303


def test_a_step_that_is_not_open_any_more_is_refused_in_words(
    join: Join, pressed: Callable[[], Claimed]
) -> None:
    maud = join().browser
    found = pressed()
    form = maud.fill(f"{path(found)}/do/propose", outcome="to_payer", text="Tout ?")
    do(maud, found, "propose", outcome="to_payee", text="Tout !")
    proposal = found.case().proposal
    assert proposal is not None
    found.step("reject_proposal", member_id=found.case().payee_id, about=proposal.id)
    late = maud.post(f"{path(found)}/do/propose", form)
    assert late.status_code == 409
    assert "Tout ?" in text_of(late.text), "what was written is shown"
    shown = maud.get(f"{path(found)}/do/propose")
    assert shown.status_code == 409
    assert "n'en est plus là" in error(shown.text)


def test_a_case_of_somebody_else_is_none_on_every_page(
    join: Join, pressed: Callable[[], Claimed]
) -> None:
    join()
    found = pressed()
    stranger = join().browser
    before = found.case()
    steps = ("propose", "decide", "vote", "lift-flag", "agree-with", "send-back", "decline", "ask")
    pages = [path(found), f"{path(found)}/evidence", "/desk/cases/nonsense", f"{path(found)}/x"]
    pages += [f"{path(found)}/do/{step}" for step in steps]
    for page in pages:
        assert stranger.get(page).status_code == 404
    for step in steps:
        form = {"key": encode("case", uuid7()), "version": "1", "sure": "1", **decision()}
        answer = stranger.post(f"{path(found)}/do/{step}", form)
        assert answer.status_code == 404
        assert "He threatened me." not in answer.text
    assert found.case() == before


def test_hostile_words_are_shown_as_words_everywhere(
    join: Join, pressed: Callable[[], Claimed]
) -> None:
    maud = join().browser
    found = pressed()
    evil = "<script>alert(1)</script>{{ 7*7 }}\"'><img src=x onerror=alert(1)>"
    found.payee.made(found.path, {"sort": "text", "text": evil})
    do(maud, found, "propose", outcome="to_payer", text=evil)
    for at in ("", "/evidence", "/do/decide", "/do/propose"):
        page = maud.read(path(found) + at)
        assert "<script>alert" not in page
        assert "<img src=x" not in page
        assert "{{ 7*7 }}" in text_of(page)
    echoed = maud.post(f"{path(found)}/do/decide", decision(text=evil))
    assert "<img src=x" not in echoed.text


def test_a_flag_is_lifted_with_reasons(join: Join, paid: Deal, api: Api) -> None:
    maud = join().browser
    exchange = paid.exchange["id"]
    api.made(f"/v1/exchanges/{exchange}/flag", {"text": "Two accounts, one phone."})
    (id_,) = set(re.findall(r"/desk/cases/(cs_[0-9a-z]+)", maud.read("/desk/queue")))
    at = f"/desk/cases/{id_}/do/lift-flag"
    bare = maud.post(at, maud.fill(at))
    assert "sur quoi vous vous fondez" in error(bare.text)
    said = {"reason_code": "facts", "text": WHY}
    assert 'name="sure"' in maud.post(at, maud.fill(at, **said)).text
    done = maud.post(at, maud.fill(at, sure="1", **said))
    assert done.status_code == 303, error(done.text)
    assert "l'échange continue" in text_of(maud.read(done.headers["location"]))
    assert api.read(f"/v1/exchanges/{exchange}")["state"] == "active"


def test_a_template_is_put_into_what_was_written_already(
    join: Join, pressed: Callable[[], Claimed], engine: Engine
) -> None:
    sitting = join()
    found = pressed()
    made = Template(
        uuid7(),
        "fr",
        None,
        "to_payer",
        "Rien de remis",
        "Il manque {{what_is_missing}}.",
        NOW,
        sitting.person.uuid,
    )
    with db.transaction(engine, db.SYSTEM) as connection:
        templates.add(connection, made)
    at = f"{path(found)}/do/decide"
    try:
        form = sitting.browser.fill(at, text="D'abord.", template=encode("template", made.id))
        page = sitting.browser.post(at, form | {"insert": "1"}).text
        assert "D&#39;abord.\n\nIl manque {{what_is_missing}}.</textarea>" in page
        assert re.search(r'value="to_payer" checked', page)
    finally:
        with db.transaction(engine, db.SYSTEM) as connection:
            templates.retire(connection, made.id, NOW)
