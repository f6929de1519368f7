"""A proof of a hand-over is worth what its code is worth, and nobody else can make one."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine

from service.exchanges.deadlines import refund_at
from service.exchanges.kinds import Role
from service.exchanges.proofs import Proof, ProofInvalid, ProofOutdated, Prover, check
from service.web import qr
from tests.http.claimed import DAMAGED, claim
from tests.http.client import Api, Server
from tests.http.deal import Deal, make_deal
from tests.web.browser import Browser
from tests.web.squares import exchange_of, prover_of, square_of


def _pem(curve: ec.EllipticCurve) -> str:
    how = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return ec.generate_private_key(curve).private_bytes(*how).decode()


STRANGER = Prover(_pem(ec.SECP256R1()))


_SAMPLE = STRANGER.write(
    Proof(UUID(int=1), 0, 1, Role.PAYER, datetime(2030, 1, 1, tzinfo=UTC)),
)


def told(deal: Deal, server: Server, member: dict[str, Any], **form: str) -> dict[str, Any]:
    """Send what a phone kept, and return the verdict."""
    answer = Browser(server).post(f"{deal.link(member)}/proof", form)
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


def test_a_proof_says_whose_code_of_what_it_is_and_until_when(paid: Deal) -> None:
    exchange = exchange_of(paid)
    text = square_of(paid)
    assert text == square_of(paid), "shown again, the square is the same"
    assert len(text) == 118
    proof = prover_of(paid).read(text)
    assert (proof.exchange_id, proof.position, proof.generation) == (exchange.id, 0, 1)
    assert proof.shown_by is Role.PAYER
    assert proof.ends_at == refund_at(exchange).replace(microsecond=0)


def test_the_page_of_the_code_draws_the_proof_behind_a_hash(paid: Deal, server: Server) -> None:
    browser = Browser(server)
    page = browser.post(f"{paid.link(paid.payer)}/code")
    public_url = server.app.state.edge.settings.public_url
    assert qr.draw(f"{public_url}/code#{square_of(paid)}").path in page.text


def test_a_key_of_another_curve_is_refused_at_start() -> None:
    with pytest.raises(ValueError, match="P-256"):
        Prover(_pem(ec.SECP384R1()))


@given(st.integers(0, 87), st.integers(1, 255))
def test_a_proof_in_which_one_byte_is_another_is_none(place: int, change: int) -> None:
    whole = bytearray(base64.urlsafe_b64decode(_SAMPLE + "=="))
    whole[place] ^= change
    with pytest.raises(ProofInvalid):
        STRANGER.read(base64.urlsafe_b64encode(bytes(whole)).rstrip(b"=").decode())


@given(st.text(max_size=130) | st.from_regex(r"[A-Za-z0-9_-]{118}", fullmatch=True))
def test_no_text_passes_for_a_proof(text: str) -> None:
    with pytest.raises(ProofInvalid):
        STRANGER.read(text)


def test_a_proof_has_one_text_alone() -> None:
    last = _SAMPLE[-1]
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    twin = letters[letters.index(last) ^ 1]
    STRANGER.read(_SAMPLE)
    with pytest.raises(ProofInvalid):
        STRANGER.read(_SAMPLE[:-1] + twin)


def test_the_payee_hands_over_with_the_proof_and_once_is_enough(paid: Deal, server: Server) -> None:
    proof = square_of(paid)
    assert told(paid, server, paid.payee, proof=proof)["verdict"] == "done"
    assert paid.state() == "completed"
    facts = paid.api.read(f"/v1/exchanges/{paid.exchange['id']}/confirmations")["data"]
    assert {(one["by"], one["method"]) for one in facts} == {("payer", "code"), ("payee", "code")}
    # Sent a second time by a phone that missed the answer, it says the same and does nothing.
    assert told(paid, server, paid.payee, proof=proof)["verdict"] == "done"
    assert len(paid.api.read(f"/v1/exchanges/{paid.exchange['id']}/confirmations")["data"]) == 2


def test_digits_that_were_kept_are_counted_as_digits(paid: Deal, server: Server) -> None:
    first = told(paid, server, paid.payee, code="000000", checkpoint="handover")
    assert first["verdict"] == "refused"
    assert "4" in first["said"]
    assert paid.state() == "active"


def test_who_shows_the_square_cannot_use_it(paid: Deal, server: Server) -> None:
    assert told(paid, server, paid.payer, proof=square_of(paid))["verdict"] == "refused"
    assert paid.state() == "active"


def test_a_forged_a_foreign_and_a_broken_proof_hand_nothing_over_and_cost_no_try(
    paid: Deal, api: Api, engine: Engine, server: Server
) -> None:
    other = make_deal(api, engine, agreed=True)
    other.tell()
    other.fund()
    whole = square_of(paid)
    for wrong in (STRANGER.sign(exchange_of(paid)), square_of(other), whole[:-4], "x" * 118):
        said = told(paid, server, paid.payee, proof=wrong)
        assert said["verdict"] == "refused", wrong
        assert "six chiffres" in said["said"]
    assert paid.state() == other.state() == "active"
    point = exchange_of(paid).current
    assert point is not None
    assert point.code is not None
    assert point.code.wrong_tries == 0


def test_a_renewed_code_ends_the_proofs_before_it(paid: Deal, server: Server) -> None:
    old = square_of(paid)
    for _ in range(5):
        told(paid, server, paid.payee, code="000000", checkpoint="handover")
    path = f"/v1/exchanges/{paid.exchange['id']}/renew-code"
    paid.api.made(path, {"member": paid.payer["id"]})
    assert "ne sert plus" in told(paid, server, paid.payee, proof=old)["said"]
    assert paid.state() == "active"
    assert told(paid, server, paid.payee, proof=square_of(paid))["verdict"] == "done"


def test_a_locked_code_locks_its_proofs(paid: Deal, server: Server) -> None:
    for _ in range(5):
        told(paid, server, paid.payee, code="000000", checkpoint="handover")
    assert "bloqué" in told(paid, server, paid.payee, proof=square_of(paid))["said"]
    assert paid.state() == "active"


def test_a_problem_that_was_told_meanwhile_keeps_the_money_where_it_is(
    paid: Deal, server: Server
) -> None:
    proof = square_of(paid)
    claim(paid, DAMAGED)
    told(paid, server, paid.payee, proof=proof)
    assert paid.state() != "completed"
    (leg,) = exchange_of(paid).legs
    assert (leg.state, leg.disputed) == ("held", True), (
        "the hand-over is on record, nothing is paid"
    )


def test_the_proof_of_a_rental_s_handover_is_none_of_its_return(
    api: Api, engine: Engine, server: Server
) -> None:
    payer = api.member(name="Anna", email="anna@example.org")
    payee = api.member(name="Yann", email="yann@example.org")
    legs = [
        {"role": "price", "amount": {"amount": 2000, "unit": "EUR"}},
        {"role": "deposit", "amount": {"amount": 9000, "unit": "EUR"}},
    ]
    terms = {"kind": "rental", "title": "Une échelle", "legs": legs, "both_agreed": True}
    made = api.made("/v1/exchanges", {**terms, "payer": payer["id"], "payee": payee["id"]})
    rental = Deal(api, engine, payer, payee, made)
    rental.tell()
    rental.fund()
    first = square_of(rental)
    assert told(rental, server, rental.payee, proof=first)["verdict"] == "done"
    # At the return it is the lender who shows the square, and the other who takes it.
    assert told(rental, server, rental.payer, proof=first)["verdict"] == "refused"
    assert rental.state() == "active"
    assert told(rental, server, rental.payer, proof=square_of(rental))["verdict"] == "done"
    assert rental.state() == "completed"


def test_a_proof_ends_when_the_money_goes_back(paid: Deal) -> None:
    exchange = exchange_of(paid)
    proof = prover_of(paid).read(square_of(paid))
    check(proof, exchange, proof.ends_at - timedelta(seconds=1))
    with pytest.raises(ProofOutdated):
        check(proof, exchange, proof.ends_at)
    for other in (replace(proof, generation=2), replace(proof, position=1)):
        with pytest.raises(ProofOutdated):
            check(other, exchange, proof.ends_at - timedelta(seconds=1))
    with pytest.raises(ProofOutdated):
        check(replace(proof, shown_by=Role.PAYEE), exchange, datetime.now(UTC))


def test_another_site_sends_no_proof(paid: Deal, server: Server) -> None:
    answer = Browser(server).post(
        f"{paid.link(paid.payee)}/proof",
        {"proof": square_of(paid)},
        headers={"sec-fetch-site": "cross-site"},
    )
    assert answer.status_code == 403
    assert paid.state() == "active"


def test_the_worker_is_let_into_a_link_and_runs_our_script_alone(server: Server) -> None:
    answer = Browser(server).get("/handover-worker.js")
    assert answer.headers["content-type"].startswith("text/javascript")
    assert answer.headers["service-worker-allowed"] == "/"
    assert answer.headers["cache-control"] == "no-cache"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    (kept,) = [line for line in answer.text.splitlines() if line.startswith("importScripts(")]
    assert Browser(server).get(kept.split('"')[1]).status_code == 200
