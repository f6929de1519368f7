"""Whatever may be refused at the desk is said in words, and pages ask the database a few times."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest
from sqlalchemy import event

from ledger.refusals import Refusal
from service.messages.words import LOCALES
from service.records import catalogue as records
from service.web.desk import tickets
from service.web.words import catalogue
from tests.disputes.people import People
from tests.http.claimed import PRESSURED, Claimed, claim
from tests.http.client import Api, Server
from tests.http.deal import Deal
from tests.web.browser import Browser as Pages
from tests.web.desk.conftest import Join
from tests.web.desk.test_desk_cases import path

#: Where what is refused at the desk comes from.
_FROM: Final = (
    "disputes.refusals",
    "disputes.rulings",
    "disputes.outcomes",
    "disputes.hand_over",
    "disputes.queue",
    "service.mediators",
)
#: What no form of the desk can lead to: steps of the two sides, of the clock and of operators.
_NOT_HERE: Final = frozenset(
    {
        "too_soon",
        "not_your_turn",
        "nothing_open",
        "already_accepted",
        "appeal_ground_missing",
        "challenge_used",
        "case_open",
        "nobody_eligible",
        "mediator_ended",
        "session_over",
    }
)


def _refusals(kind: type[Refusal] = Refusal) -> Iterator[type[Refusal]]:
    for one in kind.__subclasses__():
        yield one
        yield from _refusals(one)


def test_every_refusal_that_the_desk_can_meet_has_words() -> None:
    met = {one.code for one in _refusals() if one.__module__.startswith(_FROM)}
    said = set(catalogue("fr", "desk")["refused"])
    assert met - said == _NOT_HERE & met
    assert not said & _NOT_HERE


@pytest.mark.parametrize("locale", LOCALES)
def test_everything_that_the_queue_offers_to_choose_has_words(locale: str) -> None:
    words = records.words(locale)
    assert set(tickets.REASON_CODES) <= set(words["reasons"])
    assert set(tickets.STAGES) <= set(words["stages"])


@contextmanager
def counting(server: Server) -> Iterator[list[str]]:
    """Count what the application asks the database, but for the heartbeat of its process."""
    engine = server.app.state.edge.engine.sync_engine
    asked: list[str] = []
    noted: list[tuple[Any, str]] = []

    def note(connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        noted.append((connection, statement))

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield asked
    finally:
        event.remove(engine, "before_cursor_execute", note)
        beats = [connection for connection, one in noted if "service.heartbeat" in one]
        asked += [one for connection, one in noted if connection not in beats]


def test_two_hundred_open_cases_cost_no_more_questions_than_one(
    join: Join, people: People, server: Server
) -> None:
    boss = join(roles=["supervisor"]).browser
    people.opened()
    with counting(server) as with_one:
        boss.read("/desk/queue?whose=all")
    for _ in range(199):
        people.opened()
    with counting(server) as with_many:
        page = boss.read("/desk/queue?whose=all")
    assert len(re.findall("data-row>", page)) == tickets.PAGE
    assert len(with_many) == len(with_one)


def test_a_case_with_a_long_history_costs_no_more_questions(
    join: Join, pressed: Callable[[], Claimed], server: Server
) -> None:
    maud = join().browser
    found = pressed()
    found.payee.made(found.path, {"sort": "text", "text": "Un mot."})
    with counting(server) as with_one:
        maud.read(path(found))
    for number in range(20):
        found.payee.made(found.path, {"sort": "text", "text": f"Mot {number}."})
    with counting(server) as with_many:
        assert "Mot 19." in maud.read(path(found))
    assert len(with_many) == len(with_one)


def test_the_office_and_a_member_s_page_cost_no_more_questions_with_more_cases(
    api: Api, paid: Deal, more_deals: Callable[[int], list[Deal]], server: Server
) -> None:
    office = Pages(server)
    office.post("/office/sign-in", {"key": str(api.bearer), "next": "/office"})
    claim(paid, PRESSURED)
    link = paid.link(paid.payer)
    asked = [lambda: office.get("/office/exchanges"), lambda: office.get(link)]
    before = [_questions(server, one) for one in asked]
    for one in more_deals(4):
        claim(one, PRESSURED)
    assert office.get("/office/exchanges").text.count("Un &lt;b&gt;") == 5
    assert [_questions(server, one) for one in asked] == before


def _questions(server: Server, ask: Callable[[], Any]) -> int:
    ask()  # what a process reads once is read
    with counting(server) as found:
        assert ask().status_code == 200
    return len(found)
