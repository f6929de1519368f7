"""Chargebacks over HTTP: rehearsed, listed, shown, answered once, lifted, borne."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from service import clock
from service.exchanges import sweep
from service.ids import encode, uuid7
from tests.http.client import Api, Server, problem


def _sweep(server: Server) -> None:
    """Do what the worker would do now."""
    sweep.run(server.app.state.edge.desk, clock.now())


def _sold(api: Api, server: Server, **terms: Any) -> dict[str, Any]:
    """A sale that is paid and held."""
    payer, payee = (api.member(name=name)["id"] for name in ("Soazig Le Bris", "Yann"))
    made = api.made(
        "/v1/exchanges",
        {
            "kind": "sale",
            "title": "A bicycle",
            "payer": payer,
            "payee": payee,
            "both_agreed": True,
            "legs": [{"role": "price", "amount": {"amount": 6_500, "unit": "EUR"}}],
            **terms,
        },
    )
    funded = api.made(f"/v1/exchanges/{made['id']}/fund", {"member": payer})
    _sweep(server)
    return {"id": made["id"], "payer": payer, "payee": payee, "payment": funded["payment"]}


def _confirm(api: Api, sale: dict[str, Any], *sides: str) -> None:
    for side in sides:
        body = {"member": sale[side], "checkpoint": "handover"}
        api.made(f"/v1/exchanges/{sale['id']}/confirm", body)


def _contest(api: Api, server: Server, sale: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Let the bank contest the payment; return the chargeback that we heard of."""
    made = api.made(f"/v1/sandbox/payments/{sale['payment']}/dispute", more)
    _sweep(server)
    (found,) = [
        one
        for one in api.read("/v1/chargebacks", exchange=sale["id"])["data"]
        if one["provider_ref"] == made["provider_ref"]
    ]
    return dict(found)


def _decide(api: Api, server: Server, chargeback: dict[str, Any], outcome: str) -> dict[str, Any]:
    api.made(f"/v1/sandbox/chargebacks/{chargeback['id']}/close", {"outcome": outcome})
    _sweep(server)
    return api.read(f"/v1/chargebacks/{chargeback['id']}")


def test_a_chargeback_is_shown_and_so_is_what_it_does_to_the_exchange(
    api: Api, server: Server
) -> None:
    sale = _sold(api, server)
    before = api.read(f"/v1/exchanges/{sale['id']}")
    assert before["reversible_until"] is not None
    assert (before["frozen_at"], before["charged_back"]) == (None, 0)
    chargeback = _contest(api, server, sale, amount=2_500, reason="product_not_received")
    assert chargeback == api.read(f"/v1/chargebacks/{chargeback['id']}")
    shown = ("kind", "status", "amount", "unit", "withdrawn", "reason", "exchange", "payment")
    assert tuple(chargeback[name] for name in shown) == (
        "dispute",
        "needs_response",
        2_500,
        "EUR",
        2_500,
        "product_not_received",
        sale["id"],
        sale["payment"],
    )
    assert chargeback["due_by"] is not None
    frozen = api.read(f"/v1/exchanges/{sale['id']}")
    assert frozen["frozen_at"] is not None
    assert frozen["charged_back"] == 2_500
    body = {"member": sale["payer"], "checkpoint": "handover"}
    problem(api.post(f"/v1/exchanges/{sale['id']}/confirm", body), 409, "exchange_frozen")
    won = _decide(api, server, chargeback, "won")
    assert (won["status"], won["withdrawn"]) == ("won", 0)
    assert won["closed_at"] is not None
    after = api.read(f"/v1/exchanges/{sale['id']}")
    assert (after["frozen_at"], after["charged_back"]) == (None, 0)


def test_lists_are_newest_first_by_pages_and_by_status_and_exchange(
    api: Api, server: Server
) -> None:
    sale, other = _sold(api, server), _sold(api, server)
    made = [_contest(api, server, sale, amount=100 + n)["id"] for n in range(3)]
    made.append(_contest(api, server, other, kind="warning")["id"])
    pages: list[str] = []
    cursor = None
    while True:
        page = api.read("/v1/chargebacks", limit=3, **({"cursor": cursor} if cursor else {}))
        pages += [one["id"] for one in page["data"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert pages == made[::-1]
    found = api.read("/v1/chargebacks", status="warning")["data"]
    assert [one["id"] for one in found] == made[3:]
    found = api.read("/v1/chargebacks", exchange=sale["id"])["data"]
    assert [one["id"] for one in found] == made[2::-1]
    problem(api.get("/v1/chargebacks", status="angry"), 422, "invalid_request")


def test_the_bank_is_answered_once_with_what_was_previewed(api: Api, server: Server) -> None:
    sale = _sold(api, server)
    _confirm(api, sale, "payer", "payee")
    _sweep(server)
    chargeback = _contest(api, server, sale)
    path = f"/v1/chargebacks/{chargeback['id']}"
    preview = api.read(f"{path}/evidence")
    assert (preview["payer_confirmed"], preview["sent_at"]) == (True, None)
    told = preview["fields"]
    assert told["customer_name"] == "Soazig Le Bris"
    # The platform's key spoke for the payer, and a bank is told so.
    assert (
        "the payer confirmed 'handover' to the platform, which recorded it for them"
        in (told["uncategorized_text"])
    )
    said = api.send("PUT", f"{path}/evidence", {"own_words": "They thanked us in writing."})
    assert said.status_code == 200, said.text
    words = said.json()["fields"]["uncategorized_text"]
    assert words.startswith("From the platform:\nThey thanked us in writing.")
    first = api.post(f"{path}/answer", key="k")
    assert first.status_code == 200, first.text
    answered = first.json()
    assert answered["status"] == "under_review"
    assert answered["answered_at"] is not None
    again = api.post(f"{path}/answer", key="k")
    assert again.headers["idempotent-replayed"] == "true"
    assert again.json() == answered
    problem(api.post(f"{path}/answer"), 409, "chargeback_over")
    late = api.send("PUT", f"{path}/evidence", {"own_words": "One thing more."})
    problem(late, 409, "chargeback_over")
    sent = api.read(f"{path}/evidence")
    assert sent["fields"] == said.json()["fields"]
    assert sent["sent_at"] is not None
    assert _decide(api, server, chargeback, "won")["status"] == "won"
    types = [one["type"] for one in api.events(1)]
    assert types.count("chargeback.answered") == 1


def test_with_nothing_to_show_there_is_no_answer_until_the_platform_knows_more(
    api: Api, server: Server
) -> None:
    chargeback = _contest(api, server, _sold(api, server))
    path = f"/v1/chargebacks/{chargeback['id']}"
    assert api.read(f"{path}/evidence")["payer_confirmed"] is False
    problem(api.post(f"{path}/answer"), 409, "nothing_to_show")
    api.send("PUT", f"{path}/evidence", {"own_words": "winning_evidence"})
    won = api.made(f"{path}/answer")
    assert won["status"] == "won"
    problem(api.post(f"{path}/answer"), 409, "chargeback_over")


def test_a_warning_is_lifted_once_with_a_reason_and_only_a_warning(
    api: Api, server: Server
) -> None:
    sale = _sold(api, server)
    warning = _contest(api, server, sale, kind="warning")
    path = f"/v1/chargebacks/{warning['id']}"
    problem(api.post(f"{path}/answer"), 409, "chargeback_over")
    problem(api.post(f"{path}/lift", {}), 422, "invalid_request")
    lifted = api.made(f"{path}/lift", {"reason": "The payer says it was them."})
    assert (lifted["status"], lifted["closed_reason"]) == ("closed", "The payer says it was them.")
    assert api.read(f"/v1/exchanges/{sale['id']}")["frozen_at"] is None
    problem(api.post(f"{path}/lift", {"reason": "again"}), 409, "chargeback_over")
    closed = f"/v1/sandbox/chargebacks/{warning['id']}/close"
    problem(api.post(closed, {"outcome": "won"}), 404, "chargeback_not_found")
    dispute = _contest(api, server, sale)
    lift = f"/v1/chargebacks/{dispute['id']}/lift"
    problem(api.post(lift, {"reason": "please"}), 409, "chargeback_over")


def test_nothing_is_written_off_while_nothing_is_missing_or_the_bank_may_bring_it(
    api: Api, server: Server
) -> None:
    sale = _sold(api, server)
    path = f"/v1/exchanges/{sale['id']}/write-off"
    problem(api.post(path, {"reason": "x"}), 409, "nothing_missing")
    _confirm(api, sale, "payer", "payee")
    _sweep(server)
    chargeback = _contest(api, server, sale)
    problem(api.post(path, {"reason": "x"}), 409, "nothing_missing")
    _decide(api, server, chargeback, "lost")
    problem(api.post(path, {"reason": "x"}), 409, "nothing_missing")  # the terms had it borne


def test_what_a_payee_could_not_give_back_is_borne_once(api: Api, server: Server) -> None:
    # The sandbox fails a reversal of 404.
    sale = _sold(api, server, chargeback_borne_by="payee")
    _confirm(api, sale, "payer", "payee")
    _sweep(server)
    chargeback = _contest(api, server, sale, amount=404)
    _decide(api, server, chargeback, "lost")
    path = f"/v1/exchanges/{sale['id']}/write-off"
    answer = api.post(path, {"reason": "They are gone."}, key="k")
    assert answer.status_code == 200, answer.text
    borne = answer.json()
    assert (borne["exchange"], borne["amount"], borne["unit"]) == (sale["id"], 404, "EUR")
    again = api.post(path, {"reason": "They are gone."}, key="k")
    assert again.json() == borne
    problem(api.post(path, {"reason": "They are gone."}), 409, "nothing_missing")


def test_a_rehearsal_is_done_once_and_not_for_more_than_there_is(api: Api, server: Server) -> None:
    sale = _sold(api, server)
    path = f"/v1/sandbox/payments/{sale['payment']}/dispute"
    made = [api.made(path, {"amount": 100}, key="k") for _ in range(2)]
    assert made[0] == made[1]
    other = api.post(path, {"amount": 200}, key="k")
    assert problem(other, 409, "provider_declined")["facts"] == {"failure": "key_reused"}
    more = api.post(path, {"amount": 6_401})
    assert problem(more, 409, "provider_declined")["facts"] == {"failure": "not_disputable"}
    nobody = f"/v1/sandbox/payments/{encode('payment', uuid7())}/dispute"
    problem(api.post(nobody, {}), 404, "payment_not_found")
    _sweep(server)
    (chargeback,) = api.read("/v1/chargebacks")["data"]
    close = f"/v1/sandbox/chargebacks/{chargeback['id']}/close"
    assert api.made(close, {"outcome": "lost"}) == api.made(close, {"outcome": "lost"})
    declined = api.post(close, {"outcome": "won"})
    assert problem(declined, 409, "provider_declined")["facts"] == {"failure": "dispute_decided"}


@pytest.mark.parametrize(
    "body",
    [
        {"kind": "threat"},
        {"amount": 0},
        {"amount": -1},
        {"amount": 1.5},
        {"amount": "1"},
        {"reason": ""},
        {"more": 1},
    ],
)
def test_a_rehearsal_that_is_none_is_refused(api: Api, body: dict[str, Any]) -> None:
    path = f"/v1/sandbox/payments/{encode('payment', uuid7())}/dispute"
    problem(api.post(path, body), 422, "invalid_request")


@pytest.mark.parametrize("words", ["", "x" * 20_001, 1])
def test_own_words_that_are_none_or_too_many_are_refused(api: Api, words: object) -> None:
    path = f"/v1/chargebacks/{encode('chargeback', uuid7())}/evidence"
    problem(api.send("PUT", path, {"own_words": words}), 422, "invalid_request")


def test_a_key_that_may_only_read_does_not_answer_and_a_member_sees_nothing(
    api: Api, server: Server, new_api: Callable[..., Api], platform_id: UUID
) -> None:
    sale = _sold(api, server)
    chargeback = _contest(api, server, sale)
    path = f"/v1/chargebacks/{chargeback['id']}"
    reader = new_api("chargebacks:read", platform_id=platform_id)
    assert reader.read(path) == chargeback
    problem(reader.post(f"{path}/answer"), 403, "scope_missing")
    problem(reader.send("PUT", f"{path}/evidence", {"own_words": "x"}), 403, "scope_missing")
    member = api.acting(sale["payee"])
    assert member.get(path).status_code == 401  # no address of a member's
    assert member.get(f"{path}/evidence").status_code == 401
