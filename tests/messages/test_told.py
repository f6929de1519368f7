"""Who is told what, and how often: as events happen, and only while there is something to do."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from sqlalchemy import text

from service import db
from service.exchanges.kinds import Role
from service.messages import words
from service.operations import dead_letters
from tests.messages.post import PostOffice
from tests.messages.street import Street


def test_a_sale_tells_each_side_what_concerns_it_once(street: Street, office: PostOffice) -> None:
    exchange = street.propose(street.draft("sale", [("price", 6_500, "EUR")]), agreed=False)
    street.tell()
    assert (street.told(street.payer), street.told(street.payee)) == (["proposed"], [])
    street.step(exchange, "agree", Role.PAYER, terms_hash=exchange.terms_hash)
    street.tell()
    assert street.told(street.payer) == ["proposed", "payment_needed"]
    assert street.told(street.payee) == ["agreed"]
    street.funded(exchange)
    street.tell()
    assert street.told(street.payer)[2:] == ["payment_protected"]
    assert street.told(street.payee)[1:] == ["payment_received"]
    street.step(exchange, "confirm", Role.PAYER)
    street.tell()
    assert street.told(street.payee)[2:] == ["other_confirmed"]
    street.step(exchange, "confirm", Role.PAYEE)
    street.sweep()
    street.tell()
    street.tell()
    assert street.told(street.payer)[3:] == ["completed"]
    assert street.told(street.payee)[3:] == ["completed", "payout_sent"]
    assert {row["state"] for row in street.messages()} == {"sent"}
    assert len(office.got) == len(street.messages()) == 9
    to_payer = [got for got in office.got if got.recipient == street.email(street.payer)]
    assert [got.mail["Subject"] for got in to_payer] == [
        "Yann vous propose un échange\u202f: A test",
        "À payer\u202f: «\u202fA test\u202f»",
        "Votre paiement est protégé\u202f: «\u202fA test\u202f»",
        "Échange terminé\u202f: «\u202fA test\u202f»",
    ]
    assert "Vous paierez 65,00\xa0€." in to_payer[0].text()
    assert all(got.sender.startswith("bounces+") for got in office.got)


def test_both_words_at_once_tell_nobody_to_confirm(street: Street) -> None:
    exchange = street.funded(street.sale())
    street.step(exchange, "enter_code", Role.PAYEE, code=street.code(exchange))
    street.make()
    assert "other_confirmed" not in {row["template"] for row in street.messages()}


def test_a_proposal_that_both_had_agreed_to_asks_nobody_for_an_answer(street: Street) -> None:
    street.sale()
    street.make()
    assert street.told(street.payer) == ["payment_needed"]
    assert street.told(street.payee) == ["agreed"]


def test_a_gift_speaks_of_no_money(street: Street, office: PostOffice) -> None:
    street.propose(street.draft("gift"))
    street.tell()
    said = "".join(got.text() for got in office.got)
    assert street.told(street.payer) == ["agreed", "code_ready"]
    assert street.told(street.payee) == ["agreed"]
    assert "payer" not in said
    assert "€" not in said


def test_the_units_of_a_community_are_not_called_money(street: Street, office: PostOffice) -> None:
    exchange = street.propose(street.draft("sale", [("price", 200, "HOURS")]), agreed=False)
    street.tell()
    street.step(exchange, "agree", Role.PAYER, terms_hash=exchange.terms_hash)
    street.tell()
    street.funded(exchange)
    street.tell()
    said = " ".join(got.text() for got in office.got)
    assert "argent" not in said
    assert "Ce qui est payé reste protégé" in said


def test_an_event_taken_again_makes_nothing_twice(street: Street) -> None:
    street.sale()
    street.make()
    before = street.messages()
    with db.transaction(street.engine, db.SYSTEM) as connection:
        connection.execute(text("UPDATE service.feed SET tx = '0' WHERE consumer = 'messages'"))
    street.make()
    assert street.messages() == before


def test_an_event_that_makes_no_sense_is_a_dead_letter_and_stops_no_other(
    street: Street,
) -> None:
    street.happen("exchange.reminder", {"to": ["payer"]})  # of no exchange
    street.happen("refund.succeeded", {"member": "nobody"})
    street.sale()
    street.make()
    assert street.told(street.payer) == ["payment_needed"]
    with db.transaction(street.engine, street.platform_id) as connection:
        letters = dead_letters.page(connection, street.platform_id, limit=10, work="message")
    assert len(letters) == 2


def test_what_nobody_has_to_do_any_more_is_not_asked(street: Street, office: PostOffice) -> None:
    exchange = street.propose(street.draft("sale", [("price", 6_500, "EUR")]), agreed=False)
    street.make()
    street.step(exchange, "decline", Role.PAYER)
    street.send()
    (message,) = street.messages(street.payer)
    assert (message["state"], message["reason"]) == ("suppressed", "over")
    assert office.got == []


def test_silence_is_met_with_reminders_in_the_member_s_words_and_day(
    street: Street, office: PostOffice
) -> None:
    street.propose(street.draft("sale", [("price", 6_500, "EUR")]), agreed=False)
    street.tell()
    while not street.events_of("exchange.reminder"):
        street.pass_time(hours=1)
        street.tell()
    # Sent when it was made: a reminder is planned for a decent hour.
    assert street.states(street.payer)[-1] == ("reminder", "sent", None)
    assert street.told(street.payee) == []
    said = office.got[-1].text()
    assert "attend encore quelque chose de vous\u202f: répondre à la proposition." in said
    (told,) = street.events_of("exchange.reminder")
    due = words.instant(datetime.fromisoformat(told["due_at"]), "Europe/Paris", "fr")
    assert f"Vous avez jusqu'au {due}." in said


@pytest.mark.parametrize("told_before", [True, False])
def test_who_was_reminded_at_an_address_that_bounced_was_not_reached(
    street: Street, office: PostOffice, told_before: bool
) -> None:
    office.at_recipient[street.email(street.payer)] = "550 5.1.1 Nobody"
    exchange = street.propose(street.draft("sale", [("price", 6_500, "EUR")]), agreed=False)
    if told_before:
        street.tell()
    while not street.events_of("exchange.reminder"):
        street.pass_time(hours=1)
    street.tell()
    assert {state for _t, state, _why in street.states(street.payer)} <= {"bounced", "failed"}
    assert Role.PAYER in street.read(exchange).around.unreached


def test_what_was_done_while_its_message_waited_is_not_asked_for(street: Street) -> None:
    exchange = street.sale()
    street.make()
    street.funded(exchange)
    street.send()
    assert street.states(street.payer) == [("payment_needed", "suppressed", "over")]
    street.tell()
    street.step(exchange, "confirm", Role.PAYER)
    street.make()
    street.now += timedelta(minutes=1)
    street.step(exchange, "confirm", Role.PAYEE)
    street.send()
    assert ("other_confirmed", "suppressed", "over") in street.states(street.payee)


def test_who_has_paid_already_is_not_said_to_have_to_pay(street: Street) -> None:
    exchange = street.sale()
    street.make()
    street.funded(exchange)
    street.send()
    assert street.states(street.payee) == [("agreed", "suppressed", "over")]


def test_a_sandbox_shows_what_would_have_been_sent_on_the_way(sandbox_street: Street) -> None:
    exchange = sandbox_street.funded(sandbox_street.sale())
    sandbox_street.both_confirm(exchange)
    sandbox_street.tell()
    assert {state for _template, state, _why in sandbox_street.states(sandbox_street.payer)} == {
        "sent"
    }
    assert "payment_needed" in sandbox_street.told(sandbox_street.payer)


def test_a_reminder_of_what_is_done_is_not_sent_and_another_is(street: Street) -> None:
    exchange = street.propose(street.draft("sale", [("price", 6_500, "EUR")]), agreed=False)
    street.tell()
    for about in ("agree_by", "fund_by"):
        street.happen_in(exchange, "exchange.reminder", {"to": ["payer"], "about": about})
    street.tell()
    assert street.states(street.payer)[1:] == [
        ("reminder", "sent", None),
        ("reminder", "suppressed", "over"),
    ]
