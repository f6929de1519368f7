"""Precedents tell what was decided and never of whom; templates have blanks that are named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, text

from disputes import precedents
from disputes.model import Case
from disputes.outcomes import Outcome
from disputes.precedents import PrecedentRefused, check_text, percent
from service.ids import decode, encode
from tests.http.client import Api, problem
from tests.http.conftest import (
    anonymous,
    api,
    app_settings,
    desk,
    maud,
    new_api,
    new_desk,
    operator,
    server,
)
from tests.http.desk import Desk, Person, invite, take_up
from tests.records.lives import Court

__all__ = ["anonymous", "api", "app_settings", "desk", "maud", "new_api", "new_desk", "operator"]
__all__ += ["server"]

ASKED = (
    "L'acheteuse disait que l'objet avait une rayure que l'annonce ne montrait pas. Le vendeur "
    "répondait qu'elle était visible sur la troisième photo."
)
TEXT = (
    "La rayure ne se voit sur aucune photo de l'annonce, mais elle n'empêche pas l'usage. Le prix "
    "est partagé par moitié, car l'acheteuse garde l'objet."
)


@pytest.fixture
def court(engine: Engine, platform_id: UUID) -> Court:
    return Court(engine, platform_id)


@pytest.fixture
def supervisor(operator: Api, new_desk: Callable[[], Desk]) -> Person:
    """Return a supervisor with an account."""
    return take_up(new_desk(), invite(operator, roles=["supervisor"]))


class Signed:
    """A mediator who is signed in, with the keys of idempotency."""

    def __init__(self, person: Person) -> None:
        self._desk = person.desk
        self._api = Api(person.desk.server, person.sign_in()["token"])

    def get(self, path: str, **query: Any) -> Any:
        return self._api.get(f"/v1/mediation{path}", **query)

    def post(self, path: str, body: Any = None, **more: Any) -> Any:
        return self._api.post(f"/v1/mediation{path}", body, **more)


def body_of(case: Case, **more: Any) -> dict[str, Any]:
    return {
        "case": encode("case", case.id),
        "language": "fr",
        "asked": ASKED,
        "text": TEXT,
    } | more


def test_a_supervisor_publishes_a_decision_and_everybody_reads_it(
    court: Court, supervisor: Person, anonymous: Api
) -> None:
    case, desk = court.closed(), Signed(supervisor)
    made = desk.post("/precedents", body_of(case))
    assert made.status_code == 201, made.text
    shown = made.json()
    assert (shown["kind"], shown["reason"], shown["outcome"], shown["reason_code"]) == (
        "sale",
        "pressure_or_scam",
        "split",
        "facts",
    )
    assert shown["to_payee_percent"] == [50, 43]  # of 600.00 EUR, and of 7 JPY
    assert anonymous.read(made.headers["location"]) == shown
    listed = anonymous.read("/v1/precedents", mode="sandbox", reason="pressure_or_scam")
    assert listed["data"][0] == shown
    for hidden in (case.id, case.subject_id, case.payer_id, court.platform_id):
        assert str(hidden) not in made.text
        assert all(encode(kind, hidden) not in made.text for kind in ("case", "exchange", "member"))


def test_what_was_played_in_a_sandbox_is_not_among_what_was_real(
    court: Court, supervisor: Person, anonymous: Api
) -> None:
    made = Signed(supervisor).post("/precedents", body_of(court.closed())).json()
    assert made["mode"] == "sandbox"
    ids = [one["id"] for one in anonymous.read("/v1/precedents", limit=100)["data"]]
    assert made["id"] not in ids


def test_precedents_are_found_by_what_they_are_about_page_by_page(
    court: Court, supervisor: Person, anonymous: Api
) -> None:
    desk = Signed(supervisor)
    language = "kw"  # nobody else's in these tests
    made = [
        desk.post("/precedents", body_of(case, language=language)).json()["id"]
        for case in (court.closed(), court.closed(), court.closed())
    ]
    query: dict[str, Any] = {"mode": "sandbox", "language": language}
    first = anonymous.read("/v1/precedents", limit=2, **query)
    second = anonymous.read("/v1/precedents", limit=2, cursor=first["next_cursor"], **query)
    assert [one["id"] for one in first["data"] + second["data"]] == made[::-1]
    assert second["next_cursor"] is None
    for name, value, count in (
        ("outcome", "split", 3),
        ("outcome", "to_payer", 0),
        ("kind", "rental", 0),
        ("reason_code", "facts", 3),
    ):
        found = anonymous.read("/v1/precedents", **query, **{name: value})["data"]
        assert len(found) == count, name
    assert anonymous.get("/v1/precedents", case="cs_1").status_code == 422


def test_a_case_has_one_precedent_in_a_language_until_it_is_withdrawn(
    court: Court, supervisor: Person, anonymous: Api, engine: Engine
) -> None:
    case, desk = court.closed(), Signed(supervisor)
    made = desk.post("/precedents", body_of(case)).json()["id"]
    problem(desk.post("/precedents", body_of(case)), 409, "precedent_taken")
    assert desk.post("/precedents", body_of(case, language="br")).status_code == 201
    gone = desk.post(f"/precedents/{made}/withdraw", {"reason": "A court saw it otherwise."})
    assert gone.status_code == 200, gone.text
    problem(anonymous.get(f"/v1/precedents/{made}"), 404, "precedent_not_found")
    again = desk.post(f"/precedents/{made}/withdraw", {"reason": "Again."})
    problem(again, 404, "precedent_not_found")
    assert desk.post("/precedents", body_of(case)).status_code == 201
    with engine.begin() as connection:
        why = text("SELECT withdrawn_why FROM disputes.precedent WHERE id = :id")
        kept = connection.scalar(why, {"id": decode("precedent", made)})
    assert kept == "A court saw it otherwise."


def test_the_same_request_again_publishes_once(court: Court, supervisor: Person) -> None:
    case, desk = court.closed(), Signed(supervisor)
    first = desk.post("/precedents", body_of(case), key="one-key-of-this-test")
    again = desk.post("/precedents", body_of(case), key="one-key-of-this-test")
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.headers["idempotent-replayed"] == "true"
    assert again.json() == first.json()


def test_only_a_supervisor_publishes(court: Court, maud: Person) -> None:
    desk = Signed(maud)
    for path, body in (
        ("/precedents", body_of(court.closed())),
        (f"/precedents/{encode('precedent', uuid4())}/withdraw", {"reason": "x"}),
        ("/templates", {"language": "fr", "outcome": "split", "title": "x", "text": "x"}),
        (f"/templates/{encode('template', uuid4())}/retire", None),
    ):
        problem(desk.post(path, body), 403, "role_missing")


def test_only_what_was_decided_and_is_over_is_an_example(court: Court, supervisor: Person) -> None:
    desk = Signed(supervisor)
    open_, told = court.claimed(), court.told()
    limit = court.written(court.claimed(), Outcome.CANNOT_DECIDE)
    agreed = court.claimed()
    court.now = limit.decide_by
    limit = court.act(limit, "reach_limit")
    agreed = court.act(agreed, "withdraw_claim", member_id=agreed.payer_id)
    for case in (open_, told, limit, agreed):
        problem(desk.post("/precedents", body_of(case)), 409, "no_decision_to_publish")
    unknown = body_of(open_) | {"case": encode("case", uuid4())}
    problem(desk.post("/precedents", unknown), 404, "case_not_found")


def test_what_tells_whose_it_was_is_refused(court: Court, supervisor: Person, api: Api) -> None:
    payer = api.member(name="Anaïs de la Tour", email="a.tour@example.org", phone="+33612345678")[
        "id"
    ]
    payee = api.member("shop-4711", name="Léo Le Goff")["id"]
    desk = Signed(supervisor)
    sides = {"payer_id": decode("member", payer), "payee_id": decode("member", payee)}
    case = court.written(court.claimed(**sides))
    court.now = case.due_at
    case = court.act(case, "end_appeal_time")
    for added in (
        "ANAIS a tout payé.",
        "Madame anaïs, de Brest.",
        "Monsieur Le Goff.",
        "Léo.",
        "A. T o u r @ example . org",
        "shop-4711",
        "a.tour (at) example.org, ou plutôt a.tour@example.org",
        "A\u200bnaïs",
        "ＡＮＡＩＳ",
        "A neutral",
    ):
        for field in ("asked", "text"):
            told = desk.post("/precedents", body_of(case, **{field: f"{TEXT} {added}"}))
            told = problem(told, 422, "precedent_refused")
            assert told["pointer"] == f"/{field}", added
            assert "ana" not in told["detail"].lower()
    # Small words that are part of a name stand in every text.
    said = f"{TEXT} Le goût de la tourbe, leo n'est pas un nom ici."
    assert desk.post("/precedents", body_of(case, text=said)).status_code == 201


@pytest.mark.parametrize(
    "added",
    [
        "moi@chez.moi.bzh",
        "https://example.org/annonce/1",
        "www.example.org",
        "06 12 34 56 78",
        "+33 (0)6.12.34.56.78",
        "FR76 3000 6000 0112 3456 7890 189",
        "ex_0001j5x7v4e9tsmwd8w1c9xk5v",
        "0191d2a8-7f7e-7a52-9e57-2f6b1f0c9a11",
        "65 €",
        "65,00 EUR",
        "1 250 euros",
        "€65",
        "EUR 65",
    ],
)
def test_numbers_addresses_and_amounts_are_refused(added: str) -> None:
    with pytest.raises(PrecedentRefused):
        check_text("text", f"{TEXT} {added}", [], [])


@pytest.mark.parametrize("text", ["", "x" * 99, "x" * 8_001, " " * 200])
def test_a_text_that_is_of_no_use_is_refused(text: str) -> None:
    with pytest.raises(PrecedentRefused, match="100 to 8000"):
        check_text("text", text, [], [])


def test_figures_that_lead_to_nobody_may_stand() -> None:
    said = f"{TEXT} Après 3 jours, le 12 mars 2027 à 14 h 30, avec 5 photos : article L217-3."
    check_text("text", said, ["Lou"], ["12"])


@pytest.mark.parametrize(
    ("part", "whole", "expected"),
    [
        (0, 7, 0),
        (7, 7, 100),
        (3, 7, 43),
        (1, 10_000, 1),
        (9_999, 10_000, 99),
        (5, 1_000, 1),
        (1, 2, 50),
        (0, 0, 100),
        (125, 1_000, 13),
    ],
)
def test_percents_are_whole_and_never_say_all_of_what_was_not(
    part: int, whole: int, expected: int
) -> None:
    assert percent(part, whole) == expected


def test_templates_are_shared_found_and_retired(supervisor: Person, maud: Person) -> None:
    desk, reader = Signed(supervisor), Signed(maud)
    language = f"x{'abcdefghij'[supervisor.uuid.int % 10]}"
    body = {
        "language": language,
        "reason": "damaged",
        "outcome": "split",
        "title": "Partly damaged",
        "text": "You showed {{what_was_shown}}; {{what_differs}}, and {{what_was_shown}} again.",
    }
    special = desk.post("/templates", body)
    assert special.status_code == 201, special.text
    general = desk.post("/templates", body | {"reason": None, "title": "Any"}).json()
    assert special.json()["blanks"] == ["what_was_shown", "what_differs"]

    def found(**query: str) -> list[str]:
        listed = reader.get("/templates", language=language, **query).json()["data"]
        return [one["id"] for one in listed]

    assert found(reason="damaged", outcome="split") == [special.json()["id"], general["id"]]
    assert found(reason="not_received") == [general["id"]]
    assert found(outcome="to_payer") == []
    retired = desk.post(f"/templates/{general['id']}/retire")
    assert (retired.status_code, retired.json()) == (200, general)
    problem(desk.post(f"/templates/{general['id']}/retire"), 404, "template_not_found")
    assert found() == [special.json()["id"]]
    desk.post(f"/templates/{special.json()['id']}/retire")


@pytest.mark.parametrize(
    ("wrong", "pointer"),
    [
        ({"reason": "bad_mood"}, "/reason"),
        ({"outcome": "withdrawn"}, "/outcome"),
        ({"reason": "counterfeit", "outcome": "no_show_payee"}, "/outcome"),
        ({"text": "{{Name}}"}, "/text"),
        ({"text": "{{open}"}, "/text"),
        ({"text": "{% if x %}"}, "/text"),
    ],
)
def test_templates_for_what_cannot_be_and_blanks_without_names_are_refused(
    supervisor: Person, wrong: dict[str, str], pointer: str
) -> None:
    body = {"language": "fr", "outcome": "split", "title": "x", "text": "x"} | wrong
    told = problem(Signed(supervisor).post("/templates", body), 422, "template_invalid")
    assert told["pointer"] == pointer


def test_a_precedent_is_not_deleted(court: Court, engine: Engine) -> None:
    with engine.connect() as connection, connection.begin() as doomed:
        connection.execute(text("SET LOCAL ROLE tierce_owner"))
        with pytest.raises(Exception, match="append-only"):
            connection.execute(text("DELETE FROM disputes.precedent"))
        doomed.rollback()
    with court.people.everywhere() as connection:
        assert precedents.page(connection, mode="live", limit=1) == []
