"""What a bank is shown about a contested payment, when, and how often."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import Engine, text

from service import db
from service.exchanges.evidence import NothingToShow
from service.exchanges.evidence_length import FIELD_MOST, TOTAL_MOST, lines_within
from service.payments.contests import ChargebackOver
from service.payments.port import Dispute, Evidence, ProviderUnavailable
from service.payments.stripe.disputes import EVIDENCE_FIELDS
from tests.exchanges.contested_world import PAYER, Bank, ContestedWorld
from tests.exchanges.world import SECRET


@pytest.fixture
def world(engine: Engine, platform_id: UUID) -> Iterator[ContestedWorld]:
    made = ContestedWorld(engine, platform_id)
    yield made
    made.check()


def name_the_payer(world: ContestedWorld) -> None:
    with db.transaction(world.engine, world.platform_id) as connection:
        connection.execute(
            text(
                "INSERT INTO service.member_person (platform_id, member_id, name, email) "
                "VALUES (:p, :m, 'Soazig Le Bris', 'soazig@example.org')"
            ),
            {"p": world.platform_id, "m": world.payer},
        )


def shown_to_the_bank(world: ContestedWorld, ref: str) -> dict[str, str] | None:
    with db.transaction(world.engine, db.SYSTEM) as connection:
        found: dict[str, str] | None = connection.scalar(
            text("SELECT evidence FROM service.sandbox_dispute WHERE ref = :ref"), {"ref": ref}
        )
    return found


def test_the_pack_shows_terms_agreements_confirmations_and_payments(
    world: ContestedWorld,
) -> None:
    name_the_payer(world)
    exchange = world.released()
    row = world.contest(exchange)
    pack = world.pack(row)
    assert pack.right
    fields = pack.fields
    assert set(fields) <= EVIDENCE_FIELDS
    assert fields["customer_name"] == "Soazig Le Bris"
    assert fields["customer_email_address"] == "soazig@example.org"
    assert fields["service_date"] == world.now.date().isoformat()
    assert "price of 65.00 EUR at 'handover'" in fields["product_description"]
    assert exchange.terms_hash in fields["refund_policy_disclosure"]
    told = fields["uncategorized_text"]
    assert exchange.terms_hash in told
    assert "the payer confirmed 'handover' by their own word" in told
    assert "the payee confirmed 'handover' by their own word" in told
    assert "- collect of 65.00 EUR: succeeded" in told
    (collected,) = world.payments_of(exchange, "collect")
    assert f", sandbox {collected['provider_ref']}" in told
    (point,) = exchange.checkpoints
    assert point.met_at is not None
    assert f"- handover: {point.met_at:%Y-%m-%dT%H:%M:%SZ}" in told
    log = fields["access_activity_log"].splitlines()
    assert log[0].endswith("exchange.proposed by payee")
    assert any("exchange.confirmed by payer checkpoint handover method word" in one for one in log)


def test_the_hand_over_code_is_shown_as_what_it_is(world: ContestedWorld) -> None:
    exchange = world.sold()
    world.step(exchange, "enter_code", PAYER.other, code=world.code(exchange))
    world.sweep()
    row = world.contest(exchange)
    assert (
        "the payer confirmed 'handover' by the hand-over code"
        in (world.pack(row).fields["uncategorized_text"])
    )


def test_nobody_answered_so_it_is_done_a_day_before_it_is_due_and_once(
    world: ContestedWorld,
) -> None:
    row = world.contest(world.released())
    assert row["due_by"] == world.now + timedelta(days=7)
    world.now += timedelta(days=5, hours=23)
    assert world.answer() == 0
    world.now += timedelta(hours=1)
    assert world.answer() == 1
    answered = world.chargeback(row["id"])
    assert answered["status"] == "under_review"
    assert answered["evidence_sent_at"] == world.now
    assert shown_to_the_bank(world, row["ref"]) == answered["evidence"]
    assert len(world.told("chargeback.answered")) == 1
    world.now += timedelta(hours=1)
    assert world.answer() == 0


def test_a_payer_who_confirmed_nothing_is_right_by_our_records_and_the_bank_is_left_alone(
    world: ContestedWorld,
) -> None:
    row = world.contest(world.sold())
    with pytest.raises(NothingToShow):
        world.agree_to_answer(row)
    world.now += timedelta(days=6)
    assert world.answer() == 1
    left = world.chargeback(row["id"])
    assert left["left_reason"] == "the payer has confirmed nothing"
    assert left["evidence"] is None
    assert shown_to_the_bank(world, row["ref"]) is None
    assert len(world.told("chargeback.left_unanswered")) == 1
    assert world.answer() == 0
    world.say(row, "They have it: here is what they wrote.")
    assert world.answer() == 1
    assert shown_to_the_bank(world, row["ref"]) is not None


def test_a_confirmation_taken_back_is_none(world: ContestedWorld) -> None:
    exchange = world.sold()
    world.step(exchange, "confirm", PAYER)
    row = world.contest(exchange)
    assert world.pack(row).right
    world.step(exchange, "withdraw_confirmation", PAYER)
    assert not world.pack(row).right


def test_what_the_platform_knows_beside_is_told_first_and_is_enough(world: ContestedWorld) -> None:
    row = world.contest(world.sold())
    world.say(row, "The payer wrote to us on Monday that all is well.")
    world.agree_to_answer(row)
    world.send(row)
    shown = shown_to_the_bank(world, row["ref"])
    assert shown is not None
    assert shown["uncategorized_text"].startswith(
        "From the platform:\nThe payer wrote to us on Monday"
    )
    with pytest.raises(ChargebackOver):
        world.say(row, "And on Tuesday.")
    with pytest.raises(ChargebackOver):
        world.agree_to_answer(row)


def test_no_field_and_no_pack_is_longer_than_a_provider_takes(world: ContestedWorld) -> None:
    row = world.contest(world.released())
    world.say(row, "x" * 30_000)
    fields = world.pack(row).fields
    assert len(fields["uncategorized_text"]) == FIELD_MOST
    assert sum(map(len, fields.values())) <= TOTAL_MOST


class _Silent(Bank):
    """A provider that takes an answer and does not say so, as often as it is told."""

    silent = 1

    def submit_evidence(self, platform_id: UUID, ref: str, evidence: Evidence) -> Dispute:
        seen = super().submit_evidence(platform_id, ref, evidence)
        if self.silent:
            self.silent -= 1
            raise ProviderUnavailable("the answer was lost")
        return seen


def test_an_answer_whose_receipt_was_lost_is_sent_again_as_it_was(world: ContestedWorld) -> None:
    row = world.contest(world.released())
    world.use(_Silent(world.engine, SECRET, lambda: world.now))
    world.agree_to_answer(row)
    with pytest.raises(ProviderUnavailable):
        world.send(row)
    assert world.chargeback(row["id"])["evidence_sent_at"] is None
    assert world.answer() == 0  # not yet: it is left alone for a moment
    world.now += timedelta(minutes=10)
    assert world.answer() == 1
    answered = world.chargeback(row["id"])
    assert answered["evidence_sent_at"] == world.now
    assert shown_to_the_bank(world, row["ref"]) == answered["evidence"]


def test_an_answer_whose_receipt_was_lost_was_given_even_if_the_bank_decided_meanwhile(
    world: ContestedWorld,
) -> None:
    row = world.contest(world.released())
    world.use(_Silent(world.engine, SECRET, lambda: world.now))
    world.agree_to_answer(row)
    with pytest.raises(ProviderUnavailable):
        world.send(row)
    assert world.decide(row, "won")["status"] == "won"
    world.now += timedelta(minutes=10)
    assert world.answer() == 1
    answered = world.chargeback(row["id"])
    assert answered["evidence_sent_at"] == world.now
    assert answered["answered_as"] == "needs_response"
    assert len(world.told("chargeback.answered")) == 1


def test_an_answer_that_the_bank_did_not_wait_for_was_not_given(world: ContestedWorld) -> None:
    row = world.contest(world.released())
    world.agree_to_answer(row)
    world.decide(row, "lost")
    world.now += timedelta(minutes=10)
    assert world.answer() == 1
    refused = world.chargeback(row["id"])
    assert (refused["evidence_refused"], refused["evidence_sent_at"]) == ("too_late", None)
    assert shown_to_the_bank(world, row["ref"]) is None
    world.now += timedelta(hours=1)
    assert world.answer() == 0


@pytest.mark.parametrize("count", [0, 1, 2, 3, 50, 5_000])
def test_of_too_many_lines_the_first_and_the_last_stay(count: int) -> None:
    lines = [f"line {number}" for number in range(count)]
    cut = lines_within(lines, 300)
    assert len(cut) <= 300
    told = cut.splitlines()
    if len("\n".join(lines)) <= 300:
        assert told == lines
        return
    (left_out,) = [line for line in told if line.startswith("(")]
    assert (told[0], told[-1]) == (lines[0], lines[-1])
    assert int(left_out[1:].split()[0]) == count - (len(told) - 1)


def test_an_answer_that_comes_too_late_is_refused_and_not_tried_again(
    world: ContestedWorld,
) -> None:
    row = world.contest(world.released())
    world.now += timedelta(days=8)
    assert world.answer() == 1
    refused = world.chargeback(row["id"])
    assert (refused["evidence_refused"], refused["evidence_sent_at"]) == ("evidence_refused", None)
    assert len(world.told("chargeback.answer_refused")) == 1
    world.now += timedelta(hours=1)
    assert world.answer() == 0


@pytest.mark.parametrize("how", ["left", "refused", "decided"])
def test_an_inquiry_without_an_answer_that_became_a_dispute_can_be_answered(
    world: ContestedWorld, how: str
) -> None:
    row = world.contest(world.sold(), kind="inquiry")
    if how == "left":
        world.now += timedelta(days=6)
        assert world.answer() == 1
        assert world.chargeback(row["id"])["left_reason"] is not None
    else:
        world.say(row, "They have it.")
        world.agree_to_answer(row)
    if how == "refused":
        world.now += timedelta(days=8)
        world.send(row)
        assert world.chargeback(row["id"])["evidence_refused"] == "evidence_refused"
    row = world.decide(row, "escalated")
    assert (row["left_reason"], row["evidence_refused"], row["evidence"]) == (None, None, None)
    world.say(row, "They have it, and say so.")
    world.agree_to_answer(row)
    world.send(row)
    answered = world.chargeback(row["id"])
    assert (answered["status"], answered["answered_as"]) == ("under_review", "needs_response")
    shown = shown_to_the_bank(world, row["ref"])
    assert shown is not None
    assert "They have it, and say so." in shown["uncategorized_text"]


def test_an_inquiry_that_was_answered_and_became_a_dispute_is_answered_again(
    world: ContestedWorld,
) -> None:
    row = world.contest(world.released(), kind="inquiry")
    world.now += timedelta(days=6)
    assert world.answer() == 1
    assert world.chargeback(row["id"])["answered_as"] == "warning"
    row = world.decide(row, "escalated")
    assert row["status"] == "needs_response"
    world.now = row["due_by"] - timedelta(hours=23)
    assert world.answer() == 1
    assert world.chargeback(row["id"])["answered_as"] == "needs_response"
