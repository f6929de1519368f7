"""What waits: the queue and its filters, what is to be read and voted on, one's own figures."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from disputes.model import Stage
from service.ids import encode
from tests.disputes.people import DAY, NOW, People, a_case
from tests.http.claimed import PRESSURED, Claimed, claim
from tests.http.deal import Deal
from tests.web.desk.browser import Browser, error, text_of
from tests.web.desk.conftest import Join

_ROW = re.compile(r'href="/desk/cases/(cs_[0-9a-z]+)" data-row')


def rows(page: str) -> list[str]:
    """The cases of a list, in its order."""
    return _ROW.findall(page)


def case_of(found: Claimed) -> str:
    return encode("case", found.case_id)


def test_nobody_sees_the_cases_of_others_and_only_supervisors_see_what_waits(
    join: Join, pressed: Callable[[], Claimed]
) -> None:
    first = pressed()  # nobody is there yet: it waits
    boss, plain = join(roles=["supervisor"]).browser, join().browser
    for whose in ("waiting", "all"):
        assert rows(boss.read(f"/desk/queue?whose={whose}")) == [case_of(first)]
        assert rows(plain.read(f"/desk/queue?whose={whose}")) == []
    assert "whose=all" not in plain.read("/desk/queue")
    seen = text_of(boss.read(f"/desk/cases/{case_of(first)}"))
    assert "Les preuves sont pour la personne qui décide." in seen
    assert "/do/decide" not in boss.read(f"/desk/cases/{case_of(first)}")
    assert plain.get(f"/desk/cases/{case_of(first)}").status_code == 404


def test_the_next_case_is_taken_with_one_press_and_a_second_press_takes_no_other(
    join: Join, more_deals: Callable[[int], list[Deal]]
) -> None:
    waiting = {case_of(claim(one, PRESSURED)) for one in more_deals(2)}
    maud = join(caseload_cap=5).browser
    form = maud.fill("/desk/queue")
    answers = [maud.post("/desk/claim-next", form) for _ in range(2)]
    (to,) = {answer.headers["location"] for answer in answers}
    (mine,) = rows(maud.read("/desk/queue"))
    assert mine in waiting
    assert to == f"/desk/cases/{mine}?done=claimed"
    maud.post("/desk/claim-next", maud.fill("/desk/queue"))
    nothing = maud.post("/desk/claim-next", maud.fill("/desk/queue"))
    assert nothing.headers["location"] == "/desk/queue?done=claimed_none"
    assert "Aucun litige n'attend" in text_of(maud.read(nothing.headers["location"]))
    assert maud.get("/desk/claim-next").headers["location"] == "/desk/queue"


def test_who_has_enough_is_told_so(join: Join, more_deals: Callable[[int], list[Deal]]) -> None:
    for one in more_deals(2):
        claim(one, PRESSURED)
    maud = join(caseload_cap=1).browser
    maud.post("/desk/claim-next", maud.fill("/desk/queue"))
    answer = maud.post("/desk/claim-next", maud.fill("/desk/queue"))
    assert answer.status_code == 409
    assert "assez" in error(answer.text)


def test_a_form_without_its_key_or_sent_with_something_else_is_refused_in_words(
    join: Join,
) -> None:
    maud = join().browser
    bare = maud.post("/desk/claim-next", {})
    assert bare.status_code == 400
    assert "pas entier" in error(bare.text)
    form = maud.fill("/desk/queue")
    assert maud.post("/desk/claim-next", form).status_code == 303
    other = maud.post("/desk/claim-next", form | {"more": "1"})
    assert other.status_code == 422
    assert "déjà été envoyé" in error(other.text)


@pytest.fixture
def boss(join: Join) -> Browser:
    """Return a supervisor of the platform."""
    return join(roles=["supervisor"]).browser


def read_all(browser: Browser, query: str) -> list[str]:
    """The whole list, page after page."""
    found: list[str] = []
    path: str | None = f"/desk/queue?{query}"
    while path is not None:
        page = browser.read(path)
        found += rows(page)
        more = re.search(r'rel="next" href="([^"]+)"', page)
        path = more[1].replace("&amp;", "&") if more else None
    return found


@pytest.mark.parametrize("sort", ["due", "age", "gentle"])
def test_a_long_queue_is_read_in_pages_of_fifty_in_every_order(
    boss: Browser, people: People, sort: str
) -> None:
    every = {encode("case", people.opened().id) for _ in range(53)}
    first = rows(boss.read(f"/desk/queue?whose=all&sort={sort}"))
    assert len(first) == 50
    whole = read_all(boss, f"whose=all&sort={sort}")
    assert sorted(whole) == sorted(every)


def kinds_of(people: People) -> Sequence[str]:
    """Open cases that differ, and return their ids: plain, gentle, decision, damaged, late."""
    cases = (
        a_case(people.platform_id),
        a_case(people.platform_id, gentle=True),
        a_case(people.platform_id, stage=Stage.DECISION),
        a_case(people.platform_id, reason="damaged"),
        a_case(people.platform_id),
    )
    far, past = NOW + DAY * 300_000, NOW - DAY * 4_000
    dated = [replace(one, due_at=past if one is cases[-1] else far) for one in cases]
    return [encode("case", people.opened(one).id) for one in dated]


@pytest.mark.parametrize(
    ("query", "which"),
    [
        ("", {0, 1, 2, 3, 4}),
        ("gentle=1", {1}),
        ("stage=decision", {2}),
        ("stage=nonsense", {0, 1, 2, 3, 4}),
        ("reason=damaged", {3}),
        ("reason=%27%22%3Cscript%3E", {0, 1, 2, 3, 4}),
        ("cause=silence", set()),
        ("due=today", {4}),
        ("cursor=nonsense", {0, 1, 2, 3, 4}),
        ("platform=pl_nonsense", {0, 1, 2, 3, 4}),
        ("sort=amount", {0, 1, 2, 3, 4}),
    ],
)
def test_the_queue_is_narrowed_down_and_what_cannot_be_read_asks_for_nothing(
    boss: Browser, people: People, query: str, which: set[int]
) -> None:
    every = kinds_of(people)
    found = rows(boss.read(f"/desk/queue?whose=all&{query}"))
    assert set(found) == {every[at] for at in which}


def test_one_s_own_figures_count_what_one_was_given(
    join: Join, pressed: Callable[[], Claimed]
) -> None:
    maud = join().browser
    pressed()
    said = text_of(maud.read("/desk/numbers"))
    assert "Litiges reçus 1" in said
    assert re.search(r"Litiges en cours 1 sur \d+", said)
