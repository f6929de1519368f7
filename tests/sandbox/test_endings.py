"""Every ending of an exchange, rehearsed over HTTP by moving the sandbox's clock."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.sandbox.stage import Stage, types

_DEPOSIT = {"role": "deposit", "amount": {"amount": 10_000, "unit": "EUR"}}
_PRICE = {"role": "price", "amount": {"amount": 6500, "unit": "EUR"}}


def test_both_do_their_part_and_the_payee_is_paid(stage: Stage) -> None:
    """Agreed, paid and confirmed by scripts alone."""
    one = stage.propose()
    stage.script(one, "payer", "cooperates")
    stage.script(one, "payee", "confirms_after", "P2D")
    fired = types(stage.advance("P4D")["fired"])
    assert stage.exchange(one)["state"] == "completed"
    for happened in ("exchange.agreed", "exchange.active", "exchange.completed"):
        assert happened in fired
    paid = stage.api.read(f"/v1/exchanges/{one['id']}/payments")["data"]
    assert [(row["kind"], row["state"]) for row in paid] == [
        ("collect", "succeeded"),
        ("payout", "succeeded"),
    ]


@pytest.mark.parametrize(
    ("payer", "payee", "by", "state"),
    [
        (["declines"], [], "P1D", "declined"),
        (["agrees", "cancels"], [], "P1D", "cancelled"),
        (["agrees", "pays", "offers_to_cancel"], ["accepts_offers"], "P3D", "cancelled"),
        (["agrees", "pays", "offers_settlement"], ["accepts_offers"], "P3D", "settled"),
        (["stays_silent"], [], "P30D", "expired"),
        (["agrees"], [], "P30D", "expired"),
        (["agrees", "pays"], ["stays_silent"], "P60D", "in_review"),
        (["agrees", "pays"], ["stays_silent"], "P100D", "refunded"),
        (["agrees", "pays", "disputes"], ["stays_silent"], "P20D", "refunded"),
        (["agrees", "pays", "claims"], ["stays_silent"], "P20D", "active"),
        (["agrees", "pays", "claims"], ["stays_silent"], "P90D", "refunded"),
    ],
)
def test_each_ending_can_be_rehearsed(
    stage: Stage, payer: list[str], payee: list[str], by: str, state: str
) -> None:
    """By the names of plans alone."""
    one = stage.propose()
    for name in payer:
        stage.script(one, "payer", name)
    for name in payee:
        stage.script(one, "payee", name)
    stage.advance(by)
    assert stage.exchange(one)["state"] == state


def test_a_bank_takes_back_what_was_paid_on(stage: Stage) -> None:
    """After the end; nobody confirmed anything else, so the bank decides against us."""
    one = stage.propose()
    stage.script(one, "payer", "cooperates")
    stage.script(one, "payee", "confirms_after")
    stage.advance("P1D")
    assert stage.exchange(one)["state"] == "completed"
    script = stage.script(one, "payer", "disputes", "P3D")
    fired = types(stage.advance("P30D")["fired"])
    assert "chargeback.opened" in fired
    (found,) = stage.api.read("/v1/chargebacks")["data"]
    assert (found["exchange"], found["withdrawn"]) == (one["id"], 6500)
    (done,) = stage.read_script(script)["parts"][0]["done"]
    assert (done["do"], done["refusal"]) == ("dispute", None)


def test_a_counter_offer_is_answered(stage: Stage) -> None:
    """A tenth less, agreed by the other side."""
    one = stage.propose()
    stage.script(one, "payer", "counter_offers")
    stage.script(one, "payee", "agrees")
    stage.advance("P1D")
    found = stage.exchange(one)
    assert found["state"] == "agreed"
    assert found["terms"]["legs"][0]["amount"] == 5850


def test_a_code_is_told_in_person_and_entered(stage: Stage) -> None:
    """The scripted member knows it, as one who met the other would."""
    one = stage.propose("rental", legs=[_PRICE, _DEPOSIT])
    for name in ("agrees", "pays"):
        stage.script(one, "payer", name)
    entering = [stage.script(one, side, "enters_code", "PT10M") for side in ("payer", "payee")]
    stage.advance("P3D")
    assert stage.exchange(one)["state"] == "completed"
    done = [act for one in entering for act in stage.read_script(one)["parts"][0]["done"]]
    assert [act["do"] for act in done] == ["enter_code", "enter_code"]
    assert all(act["refusal"] is None for act in done)


def test_a_deposit_that_a_bank_blocks_is_taken_before_its_block_ends(stage: Stage) -> None:
    """The block lasts seven days, and the return is late."""
    due = [
        {"name": "handover", "due_at": _in(stage, days=2)},
        {"name": "return", "due_at": _in(stage, days=4)},
    ]
    one = stage.propose("rental", legs=[_PRICE, _DEPOSIT], checkpoints=due, deposit="authorise")
    stage.script(one, "payer", "cooperates")
    fired = types(stage.advance("P9D")["fired"])
    assert "deposit.taken" in fired
    assert "deposit.lapsed" not in fired


def _in(stage: Stage, days: int) -> str:
    return (stage.now() + timedelta(days=days)).isoformat()


def test_what_is_refused_is_kept_with_its_reason(stage: Stage) -> None:
    """Paid at the very deadline: too late, as for anybody."""
    one = stage.propose(both_agreed=True)
    acts: list[dict[str, Any]] = [{"do": "fund", "before_deadline": "PT0S"}]
    script = stage.script(one, "payer", acts)
    stage.advance("P30D")
    assert stage.exchange(one)["state"] == "expired"
    (done,) = stage.read_script(script)["parts"][0]["done"]
    assert done["refusal"]["code"] == "deadline_passed"


def test_a_member_acts_on_every_exchange_of_theirs(stage: Stage) -> None:
    """Those that come later, too, on whatever side."""
    buyer, seller = stage.api.member()["id"], stage.api.member()["id"]
    for member in (buyer, seller):
        body = {"member": member, "script": "cooperates"}
        made = stage.api.made("/v1/sandbox/scripts", body)
    found = [stage.propose(payer=buyer, payee=seller) for _ in range(3)]
    found.append(stage.propose(payer=seller, payee=buyer))
    stage.advance("P3D")
    assert {stage.exchange(one)["state"] for one in found} == {"completed"}
    parts = stage.read_script(made)["parts"]
    assert sorted(part["side"] for part in parts) == ["payee", "payee", "payee", "payer"]


def test_a_script_that_is_stopped_does_nothing_more(stage: Stage) -> None:
    """Again changes nothing, and what it did stays done."""
    one = stage.propose()
    script = stage.script(one, "payer", "cooperates")
    for _ in range(2):
        answer = stage.api.send("DELETE", f"/v1/sandbox/scripts/{script['id']}")
        assert answer.json()["ended_at"] is not None
    stage.advance("P1D")
    assert stage.exchange(one)["state"] == "proposed"
