"""Short reviews on their page: facts laid out, several decided at once, each with its reasons."""

from __future__ import annotations

import re
from typing import Final

from disputes.model import Stage
from tests.http.claimed import Claimed
from tests.web.desk.browser import Browser, error, hidden, text_of
from tests.web.desk.conftest import Join

WHY: Final = "Personne n'a répondu à aucun message ; rien ne montre que l'objet a été remis. " * 2
_REVIEW: Final = re.compile(r'<section class="answer review" id="(cs_[0-9a-z]+)"')


def said(case: str, outcome: str = "to_payer", **more: str) -> dict[str, str]:
    """What is written about one review."""
    fields = {"take": "1", "outcome": outcome, "reason_code": "no_answer", "text": WHY} | more
    return {f"{case}.{name}": value for name, value in fields.items()}


def test_each_is_laid_out_and_those_that_are_marked_are_decided(
    silent: tuple[Browser, dict[str, Claimed]],
) -> None:
    maud, cases = silent
    page = maud.read("/desk/reviews")
    assert set(_REVIEW.findall(page)) == set(cases)
    shown = text_of(page)
    assert "Aucune des deux personnes n'a rien confirmé." in shown
    assert "Personne qui paie" in shown
    first, second, third = cases
    form = hidden(page) | said(first) | said(second, "cannot_decide") | said(third, take="")
    done = [maud.post("/desk/reviews", form) for _ in range(2)]
    assert {one.headers["location"] for one in done} == {"/desk/reviews?decided=2"}
    after = maud.read("/desk/reviews?decided=2")
    assert "2 examens sont décidés." in text_of(after)
    assert _REVIEW.findall(after) == [third]
    assert cases[first].case().stage is Stage.APPEALABLE
    assert cases[second].case().ruling is not None
    assert cases[third].case().ruling is None


def test_what_is_wrong_with_one_is_said_before_any_is_decided(
    silent: tuple[Browser, dict[str, Claimed]],
) -> None:
    maud, cases = silent
    first, second, _third = cases
    page = maud.read("/desk/reviews")
    form = hidden(page) | said(first) | said(second, outcome="split", text="Non.", reason_code="")
    answer = maud.post("/desk/reviews", form)
    assert answer.status_code == 422
    assert "Rien n'a été décidé encore" in error(answer.text)
    shown = text_of(answer.text)
    for words in ("Choisissez une issue.", "sur quoi vous vous fondez.", "au moins 100 caractères"):
        assert words in shown
    assert WHY.strip()[:40] in shown
    assert all(one.case().ruling is None for one in cases.values())
    nothing = maud.post("/desk/reviews", hidden(page))
    assert "Marquez au moins un" in error(nothing.text)


def test_one_that_has_gone_on_is_refused_and_the_others_are_decided(
    silent: tuple[Browser, dict[str, Claimed]],
) -> None:
    maud, cases = silent
    first, second, _third = cases
    page = maud.read("/desk/reviews")
    cases[first].payee.made(cases[first].path, {"sort": "text", "text": "Je suis là."})
    foreign = "cs_0001j5x7v4e9tsmwd8w1c9xk5v"
    form = hidden(page) | said(first) | said(second) | said(foreign) | {"nonsense.take": "1"}
    answer = maud.post("/desk/reviews", form)
    assert answer.status_code == 303
    told = error(maud.read(answer.headers["location"]))
    assert first in told
    assert "a avancé" in told
    assert foreign in told
    assert cases[first].case().ruling is None
    assert cases[second].case().ruling is not None


def test_an_address_that_tells_of_nonsense_says_nothing(join: Join) -> None:
    maud = join().browser
    page = maud.read("/desk/reviews?decided=%3Cb%3E&no=evil.%3Cscript%3E&no=cs_x&decided=x")
    assert "<script>" not in page.replace('<script src="', "")
    assert "Aucun examen court ne vous attend." in text_of(page)
