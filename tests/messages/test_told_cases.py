"""What the two sides of a case are told, step by step, and what they are not."""

from __future__ import annotations

from datetime import timedelta

import pytest

from disputes.model import Case, Extra, Stage
from disputes.outcomes import Outcome, Side
from service.exchanges import case_reminders, cases
from service.exchanges.commands import ClaimDraft
from service.exchanges.kinds import Role
from service.exchanges.model import Exchange
from service.messages import words
from tests.disputes.people import People
from tests.exchanges.court import REASONS, Court
from tests.messages.post import PostOffice
from tests.messages.street import Street

ANSWERS = {"what_differs": "The parcel is empty.", "when_noticed": "At once."}


@pytest.fixture
def court(street: Street) -> Court:
    """The street's cases, with two people who can decide them."""
    people = People(street.engine, street.platform_id)
    for _ in range(2):
        people.join()
    return Court(street, people)


def claim(street: Street, court: Court, reason: str = "not_as_described") -> tuple[Exchange, Case]:
    """Let Anna claim, once everything before has been told."""
    exchange = street.funded(street.sale())
    street.tell()
    answers = ANSWERS if reason == "not_as_described" else {"what_happened": "He threatened me."}
    draft = ClaimDraft(reason, (), {}, answers, "I want my money back.")
    exchange = street.step(exchange, "claim", Role.PAYER, claim=draft)
    return exchange, court.case(exchange)


def step(street: Street, court: Court, case: Case, name: str, **more: object) -> Case:
    """Take a step of the case, and let it be told."""
    taken = court.take(case, name, **more)
    with court.people.inside() as connection:
        cases.tell(connection, street.platform_id, [case.id], street.rules)
    return taken


def told_now(street: Street, office: PostOffice) -> tuple[list[str], list[str], str]:
    """Return what each side is told now, by template, and all that is said in it."""
    before = [len(street.told(one)) for one in (street.payer, street.payee)]
    said_before = len(office.got)
    street.tell()
    new = [
        street.told(one)[count:]
        for one, count in zip((street.payer, street.payee), before, strict=True)
    ]
    return new[0], new[1], "\n".join(got.text() for got in office.got[said_before:])


def test_each_side_is_told_of_a_claim_in_its_own_way_and_warned_of_strangers(
    street: Street, court: Court, office: PostOffice
) -> None:
    claim(street, court)
    mine, theirs, said = told_now(street, office)
    assert (mine, theirs) == (["case_received"], ["case_opened"])
    assert "I want my money back." in said
    assert said.count(words.catalogue("fr", "disputes")["notice"][:40]) == 2


def test_offers_are_told_to_the_other_side_with_what_each_would_get(
    street: Street, court: Court, office: PostOffice
) -> None:
    _, case = claim(street, court)
    told_now(street, office)
    (line,) = case.lines
    half = {line.id: line.amount // 2}
    extra = Extra(Side.PAYEE, "HOURS", 200)
    case = step(
        street, court, case, "make_offer",
        member_id=street.payee, outcome=Outcome.SPLIT, split=half, text="Half?", extra=extra,
    )  # fmt: skip
    mine, theirs, said = told_now(street, office)
    assert (mine, theirs) == (["case_offer"], [])
    assert "32,50" in said
    assert "Half?" in said
    assert case.offer is not None
    step(street, court, case, "reject_offer", member_id=street.payer, about=case.offer.id)
    assert told_now(street, office)[:2] == ([], ["case_offer_rejected"])


def test_a_decision_is_told_to_both_with_its_reasons_and_only_once_it_counts(
    street: Street, court: Court, office: PostOffice
) -> None:
    _, case = claim(street, court, "pressure_or_scam")
    mine, theirs, _ = told_now(street, office)
    assert "case_assigned" in mine
    assert "case_assigned" in theirs
    (line,) = case.lines
    half = {line.id: line.amount // 2}
    case = step(
        street, court, case, "propose",
        mediator_id=case.mediator_id, outcome=Outcome.SPLIT, split=half, text="Half each?",
    )  # fmt: skip
    assert told_now(street, office)[:2] == (["case_proposal"], ["case_proposal"])
    assert case.proposal is not None
    case = step(
        street, court, case, "reject_proposal", member_id=street.payee, about=case.proposal.id
    )
    assert told_now(street, office)[:2] == (["case_decision_next"], ["case_decision_next"])
    case = step(
        street, court, case, "decide",
        mediator_id=case.mediator_id, outcome=Outcome.CANNOT_DECIDE, reason_code="not_proven",
        text=REASONS,
    )  # fmt: skip
    assert case.stage is Stage.SECOND_LOOK
    assert told_now(street, office)[:2] == ([], []), "a draft that is read first is nobody's yet"
    case = step(street, court, case, "agree_with", mediator_id=case.second_id)
    mine, theirs, said = told_now(street, office)
    assert (mine, theirs) == (["case_decided"], ["case_decided"])
    assert REASONS.split()[0] in said
    street.pass_time(hours=24 * 9)
    court.until(street.now + timedelta(days=1))
    mine, theirs, _ = told_now(street, office)
    assert mine.count("case_closed") == theirs.count("case_closed") == 1
    assert "refunded" not in mine, "the case has told how it ended"


def test_a_withdrawn_claim_and_an_appeal_are_told_to_the_other_side(
    street: Street, court: Court, office: PostOffice
) -> None:
    _, case = claim(street, court)
    told_now(street, office)
    step(street, court, case, "withdraw_claim", member_id=street.payer)
    assert told_now(street, office)[:2] == ([], ["case_withdrawn"])


def test_what_somebody_wrote_cannot_lead_anybody_away(
    street: Street, court: Court, office: PostOffice
) -> None:
    exchange = street.funded(street.sale())
    street.tell()
    text = "Pay here: http://bad.test/x \u202e\n\nBcc: all@example.org"
    draft = ClaimDraft("not_as_described", (), {}, ANSWERS, text)
    street.step(exchange, "claim", Role.PAYER, claim=draft)
    _, theirs, said = told_now(street, office)
    assert theirs == ["case_opened"]
    assert "http://bad" not in said
    assert "\u202e" not in said


def test_a_reminder_says_what_waits_and_until_when(
    street: Street, court: Court, office: PostOffice
) -> None:
    _, case = claim(street, court)
    told_now(street, office)
    street.now = case.due_at - timedelta(days=1)
    assert case_reminders.run(street.engine, street.codes, street.now, only=street.platform_id) == 1
    street.make()
    street.send(case.due_at - timedelta(hours=1))  # at a decent hour
    mine, theirs = street.told(street.payer), street.told(street.payee)
    assert (mine.count("case_reminder"), theirs.count("case_reminder")) == (0, 1)
    said = office.got[-1].text()
    assert "dire ce que vous savez" in said
    assert words.day(case.due_at, "Europe/Paris", "fr") in said


def test_a_reminder_that_waited_for_the_morning_is_not_sent_once_it_was_answered(
    street: Street, court: Court, office: PostOffice
) -> None:
    _, case = claim(street, court)
    told_now(street, office)
    street.now = case.due_at - timedelta(days=1)
    assert case_reminders.run(street.engine, street.codes, street.now, only=street.platform_id) == 1
    street.make()
    (line,) = case.lines
    half = {"outcome": Outcome.SPLIT, "split": {line.id: line.amount // 2}, "text": "Half?"}
    court.take(case, "make_offer", member_id=street.payee, **half)
    street.send(case.due_at - timedelta(hours=1))
    assert ("case_reminder", "suppressed", "over") in street.states(street.payee)
