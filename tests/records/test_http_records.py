"""Receipts, decisions and exports as platforms, members and mediators get them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, text

from disputes import mediators
from disputes.model import Case
from service.ids import decode, encode
from service.records import verify
from service.records.verify import Keys
from tests.http.client import Api, problem
from tests.http.conftest import (
    anonymous,
    api,
    app_settings,
    desk,
    maud,
    neighbour,
    new_api,
    new_desk,
    operator,
    server,
)
from tests.http.deal import Deal, make_deal, paid
from tests.http.desk import Person
from tests.records.lives import Court
from tests.records.test_dossier import plain, texts

__all__ = ["anonymous", "api", "app_settings", "desk", "maud", "neighbour", "new_api", "new_desk"]
__all__ += ["operator", "paid", "server"]


@pytest.fixture
def ours(anonymous: Api) -> Callable[[], Keys]:
    """Return what reads the published keys as anybody can."""
    return lambda: verify.read_keys(anonymous.read("/.well-known/jwks.json"))


def confirm(deal: Deal) -> None:
    for member in (deal.payer, deal.payee):
        deal.api.made(
            f"/v1/exchanges/{deal.exchange['id']}/confirm",
            {"member": member["id"], "checkpoint": "handover"},
        )


def test_a_receipt_proves_what_was_agreed_what_happened_and_who_got_what(
    paid: Deal, ours: Callable[[], Keys]
) -> None:
    path = f"/v1/exchanges/{paid.exchange['id']}/receipt"
    assert problem(paid.api.get(path), 409, "no_receipt")["facts"] == {"state": "active"}
    confirm(paid)
    told = paid.api.read(path)
    genuine = verify.verify(told["jws"], ours())
    assert (genuine.kind, genuine.document) == ("receipt", told["document"])
    said = told["document"]
    assert (said["mode"], said["state"], said["issuer"]) == (
        "sandbox",
        "completed",
        "http://tierce.test",
    )
    assert said["payer"] == {"member": paid.payer["id"], "name": "Anna"}
    assert said["payee"] == {"member": paid.payee["id"], "name": "Yann"}
    (leg,) = said["legs"]
    assert (leg["amount"], leg["unit"], leg["decimals"]) == (6500, "EUR", 2)
    assert leg["to_payee"] + leg["to_payer"] + leg["to_fees"] == 6500 + leg["payer_fee"]
    assert [(word["by"], word["word"]) for word in said["confirmations"]] == [
        ("payer", "confirmed"),
        ("payee", "confirmed"),
    ]
    assert said["terms_sha256"] == paid.api.read(path.removesuffix("/receipt"))["terms_hash"]
    assert said["cases"] == []
    assert paid.api.read(path) == told, "the same for ever"


def test_an_exchange_that_was_declined_has_no_receipt(api: Api, engine: Engine) -> None:
    deal = make_deal(api, engine, agreed=False)
    api.made(f"/v1/exchanges/{deal.exchange['id']}/decline", {"member": deal.payer["id"]})
    problem(api.get(f"/v1/exchanges/{deal.exchange['id']}/receipt"), 409, "no_receipt")


def test_both_members_have_the_receipt_and_no_other_member_has(paid: Deal, api: Api) -> None:
    confirm(paid)
    path = f"/v1/exchanges/{paid.exchange['id']}/receipt"
    whole = api.read(path)
    for member in (paid.payer, paid.payee):
        assert api.acting(member["id"]).read(path) == whole
    stranger = api.acting(api.member()["id"])
    problem(stranger.get(path), 404, "exchange_not_found")


def test_a_receipt_forgets_the_name_of_who_was_erased_and_copies_of_the_first_stay_genuine(
    paid: Deal, ours: Callable[[], Keys]
) -> None:
    confirm(paid)
    path = f"/v1/exchanges/{paid.exchange['id']}/receipt"
    first = paid.api.read(path)
    paid.api.made(f"/v1/members/{paid.payer['id']}/erase")
    second = paid.api.read(path)
    assert second["document"]["payer"]["name"] is None
    assert second["document"] | {"payer": first["document"]["payer"]} == first["document"]
    for told in (first, second):
        assert verify.verify(told["jws"], ours()).document == told["document"]


@pytest.fixture
def court(engine: Engine, platform_id: UUID) -> Court:
    return Court(engine, platform_id)


def path_of(case: Case, what: str) -> str:
    return f"/v1/cases/{encode('case', case.id)}/{what}"


def test_a_platform_has_the_signed_decision_of_its_case_and_nobody_else_s_has(
    court: Court, api: Api, neighbour: Api, ours: Callable[[], Keys]
) -> None:
    case = court.claimed()
    problem(api.get(path_of(case, "decision")), 409, "not_decided_yet")
    case = court.closed()
    told = api.read(path_of(case, "decision"))
    assert verify.verify(told["jws"], ours()).document == told["document"]
    assert told["document"]["case"] == encode("case", case.id)
    problem(neighbour.get(path_of(case, "decision")), 404, "case_not_found")


def test_a_receipt_names_the_cases_of_its_exchange_and_not_those_of_later(
    court: Court, paid: Deal, api: Api
) -> None:
    exchange = decode("exchange", paid.exchange["id"])
    court.now = datetime.now(UTC)
    case = court.claimed(subject_id=exchange)
    path = f"/v1/exchanges/{paid.exchange['id']}/receipt"
    confirm(paid)
    open_ = problem(api.get(path), 409, "no_receipt")
    assert open_["facts"] == {"case": encode("case", case.id)}
    case = court.act(case, "withdraw_claim", member_id=case.payer_id)
    court.now = datetime.now(UTC) + timedelta(days=1)
    court.claimed(subject_id=exchange)
    decision = api.read(path_of(case, "decision"))["jws"]
    assert api.read(path)["document"]["cases"] == [
        {
            "case": encode("case", case.id),
            "outcome": "withdrawn",
            "sha256": hashlib.sha256(decision.encode()).hexdigest(),
        }
    ]


def test_the_sides_of_a_case_have_its_export_and_strangers_have_not(
    court: Court, api: Api, ours: Callable[[], Keys]
) -> None:
    payer, payee = api.member()["id"], api.member()["id"]
    case = court.claimed(payer_id=decode("member", payer), payee_id=decode("member", payee))
    whole = api.get(path_of(case, "export"))
    found = verify.verify_export(json.loads(whole.content), ours())
    assert found.decision is None
    for member in (payer, payee):
        assert api.acting(member).get(path_of(case, "export")).content == whole.content
    stranger = api.acting(api.member()["id"])
    problem(stranger.get(path_of(case, "export")), 404, "case_not_found")
    problem(stranger.get(path_of(case, "decision")), 404, "case_not_found")


def mediating(court: Court, case: Case, person: Person, part: str = "mediator") -> UUID:
    """Make the assignment of whoever has the case that of somebody with an account."""
    with court.people.everywhere() as connection:
        mediators.put_in_pool(connection, court.people.pool_id, [person.uuid])
        query = text(
            "INSERT INTO disputes.assignment (platform_id, case_id, mediator_id, part, how, "
            "eligible, excluded, at) VALUES (:platform_id, :case_id, :mediator_id, 'panel', "
            "'claim', ARRAY[CAST(:mediator_id AS uuid)], '{}', now()) RETURNING id"
        )
        values: dict[str, Any] = {"platform_id": case.platform_id, "case_id": case.id}
        made: UUID = connection.execute(query, values | {"mediator_id": person.uuid}).scalar_one()
        return made


def test_a_mediator_has_the_decision_of_a_case_of_theirs_until_they_left_it(
    court: Court, maud: Person
) -> None:
    case, token = court.closed(), maud.sign_in()["token"]
    path = f"/cases/{encode('case', case.id)}/decision"
    told = maud.desk.send("GET", path, token=token)
    assert (told.status_code, told.json()["code"]) == (404, "case_not_found")
    assignment = mediating(court, case, maud)
    told = maud.desk.send("GET", path, token=token)
    assert told.status_code == 200, told.text
    assert told.json()["document"]["outcome"] == "split"
    export = f"/cases/{encode('case', case.id)}/export"
    assert maud.desk.send("GET", export, token=token).json()["decision"] == told.json()["jws"]
    with court.people.everywhere() as connection:
        leave = text(
            "UPDATE disputes.assignment SET ended_at = now(), ended_why = 'left' WHERE id = :id"
        )
        connection.execute(leave, {"id": assignment})
    for one in (path, export):
        assert maud.desk.send("GET", one, token=token).status_code == 404


def test_an_export_comes_as_pdf_with_the_hash_of_the_json(court: Court, api: Api) -> None:
    case = court.closed()
    path = path_of(case, "export")
    said = api.get(path)
    assert said.headers["content-type"] == "application/json"
    digest = hashlib.sha256(said.content).hexdigest()
    for language in ("fr", "en", "br"):
        pdf = api.get(path, format="pdf", lang=language)
        assert pdf.headers["content-type"] == "application/pdf"
        assert f'filename="{encode("case", case.id)}.pdf"' in pdf.headers["content-disposition"]
        assert digest in plain(texts(pdf.content))
        assert api.get(path, format="pdf", lang=language).content == pdf.content
    assert api.get(path, format="docx").status_code == 422
    assert api.get(path, lang="de").status_code == 422
