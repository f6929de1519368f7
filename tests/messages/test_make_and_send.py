"""Who is told what, once, by mail; and what becomes of it when a mail server will not have it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import Engine, text

from service import db
from service.exchanges.kinds import Role
from service.messages import addresses, send, words
from service.messages.addresses import Preference
from service.messages.bounces import ReturnPath
from service.messages.channels import Channels
from service.messages.smtp import Smtp
from service.operations import dead_letters
from tests.messages.post import PostOffice, Tls, open_office, port_of
from tests.messages.street import PUBLIC, Street, links_in


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
        "Yann vous propose un échange : A test",
        "À payer : « A test »",
        "Votre paiement est protégé : « A test »",
        "Échange terminé : « A test »",
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


def test_a_message_that_cannot_be_written_is_a_dead_letter_and_can_be_sent_again(
    street: Street,
) -> None:
    street.sale()
    street.make()
    with db.transaction(street.engine, street.platform_id) as connection:
        change = text("UPDATE service.message SET template = :t WHERE member_id = :m")
        connection.execute(change, {"t": "none_such", "m": street.payer})
    street.send()
    (of_payer,) = street.messages(street.payer)
    (of_payee,) = street.messages(street.payee)
    assert (of_payer["state"], of_payee["state"]) == ("failed", "sent")
    with db.transaction(street.engine, street.platform_id) as connection:
        (letter,) = dead_letters.page(connection, street.platform_id, limit=10, work="message")
        connection.execute(change, {"t": "payment_needed", "m": street.payer})
        dead_letters.retry(connection, street.platform_id, letter["id"], street.now)
    street.send()
    assert street.messages(street.payer)[0]["state"] == "sent"


def test_a_refused_address_bounces_is_told_and_is_not_used_again(
    street: Street, office: PostOffice
) -> None:
    address = street.email(street.payer)
    office.at_recipient[address] = "550 5.1.1 No such user"
    first = street.sale()
    street.tell()
    (message,) = street.messages(street.payer)
    assert (message["state"], message["channel"]) == ("bounced", "email")
    assert message["reason"] == "550 5.1.1 No such user"
    (told,) = street.events_of("message.bounced")
    assert told["template"] == "payment_needed"
    assert told["reason"] == message["reason"]
    assert told["exchange"].startswith("ex_")
    assert street.messages(street.payee)[0]["state"] == "sent"
    # The next is not even tried, until there is another address.
    del office.at_recipient[address]
    street.funded(first)
    street.tell()
    held_back = street.messages(street.payer)[-1]
    assert (held_back["state"], held_back["reason"]) == ("failed", "address_bounced")
    street.person(street.payer, email="new@example.org")
    street.both_confirm(first)
    street.tell()
    assert street.messages(street.payer)[-1]["state"] == "sent"
    assert office.got[-1].mail["Message-ID"]
    assert "new@example.org" in {got.recipient for got in office.got}


@pytest.mark.parametrize(
    ("answer", "at"), [("451 4.3.0 Later", "recipient"), ("452 4.2.2 Full", "content")]
)
def test_what_may_work_later_is_tried_up_the_ladder_as_the_same_mail(
    street: Street, office: PostOffice, answer: str, at: str
) -> None:
    address = street.email(street.payer)
    if at == "recipient":
        office.at_recipient[address] = answer
    else:
        office.at_content = answer
    street.sale()
    street.make()
    now = street.now
    for wait in send.LADDER[:3]:
        street.send(now)
        (message,) = street.messages(street.payer)
        assert message["state"] == "waiting"
        assert message["reason"] == answer
        assert message["due_at"] == now + wait
        street.send(now + wait / 2)  # too soon: nothing is tried
        assert street.messages(street.payer) == [message]
        now += wait
    office.at_recipient.clear()
    office.at_content = None
    street.send(now)
    assert street.messages(street.payer)[0]["state"] == "sent"
    assert street.events_of("message.bounced") == []


def test_after_the_last_try_a_message_has_failed(street: Street, office: PostOffice) -> None:
    office.at_content = "421 4.3.2 Shutting down"
    street.sale()
    street.make()
    for _ in range(len(send.LADDER) + 1):
        due = [row["due_at"] for row in street.messages() if row["due_at"]]
        assert due
        street.send(_decent(max(due)))
    assert {row["state"] for row in street.messages()} == {"failed"}
    assert street.messages()[0]["attempts"] == len(send.LADDER) + 1


def _decent(at: datetime) -> datetime:
    """The same instant; where the ladder leads into the night, the next morning."""
    return at if 8 <= at.hour < 18 else (at + timedelta(days=1)).replace(hour=9)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_line_that_drops_in_the_middle_is_tried_again_with_the_same_message_id(
    street: Street, office: PostOffice, when: str
) -> None:
    office.drop = when
    street.sale()
    street.tell()
    assert {row["state"] for row in street.messages()} == {"waiting"}
    office.drop = None
    street.send(street.now + send.LADDER[0])
    assert {row["state"] for row in street.messages()} == {"sent"}
    ids = [got.mail["Message-ID"] for got in office.got]
    # What the server took before the line dropped is known to be the same mail.
    assert len(ids) == (4 if when == "after" else 2)
    assert len(set(ids)) == 2
    # Each copy has a working link of its own, and says the same otherwise.
    copies = [got for got in office.got if got.mail["Message-ID"] == ids[0]]
    links = [links_in(got.text()) for got in copies]
    assert all(len(found) == 1 for found in links)
    assert (
        len({got.text().replace(found[0], "") for got, found in zip(copies, links, strict=True)})
        == 1
    )


def test_a_server_that_is_away_holds_nothing_against_anybody(
    engine: Engine, street: Street
) -> None:
    controller = open_office(PostOffice())
    port = port_of(controller)
    controller.stop()
    away = Smtp(f"smtp://127.0.0.1:{port}", "post@tierce.test", None)
    street.channels = Channels(PUBLIC, {"email": away})
    street.sale()
    street.tell()
    assert {row["state"] for row in street.messages()} == {"waiting"}


def test_several_senders_share_the_work_and_each_message_goes_once(
    street: Street, office: PostOffice
) -> None:
    for _ in range(30):
        street.sale()
    street.make()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _n: street.send(), range(4)))
    assert {row["state"] for row in street.messages()} == {"sent"}
    ids = [got.mail["Message-ID"] for got in office.got]
    assert len(ids) == len(set(ids)) == 60


def test_what_a_dead_sender_left_is_sent_when_its_lease_is_over(
    street: Street, office: PostOffice
) -> None:
    street.sale()
    street.make()
    with db.transaction(street.engine, db.SYSTEM) as connection:
        values = {
            "now": street.now,
            "until": street.now + send.LEASE,
            "limit": 9,
            "only": street.platform_id,
        }
        connection.execute(send._CLAIM, values)  # and dies
    street.send(street.now + send.LEASE / 2)
    assert office.got == []
    street.send(street.now + send.LEASE)
    assert {row["state"] for row in street.messages()} == {"sent"}


def test_mail_is_handed_in_outside_of_any_transaction(street: Street, office: PostOffice) -> None:
    seen: list[int] = []

    def look() -> None:
        query = text(
            "SELECT count(*) FROM (SELECT FROM service.message "
            "WHERE platform_id = :p FOR UPDATE NOWAIT) AS locked"
        )
        with db.transaction(street.engine, db.SYSTEM) as connection:
            seen.append(connection.execute(query, {"p": street.platform_id}).scalar_one())

    office.while_taking = look
    street.happen("payout.failed", {"amount": 5, "unit": "EUR"}, street.payer)
    street.tell()
    assert seen == [1]


def test_nobody_in_a_sandbox_is_ever_written_to(sandbox_street: Street, office: PostOffice) -> None:
    sandbox_street.sale()
    sandbox_street.tell()
    rows = sandbox_street.messages()
    assert [(row["state"], row["channel"]) for row in rows] == [("sent", "mailbox")] * 2
    assert office.got == []
    assert len(links_in(sandbox_street.text_of(rows[0])["plain"])) == 1


def test_a_live_platform_without_a_mail_server_learns_whom_it_must_reach(street: Street) -> None:
    street.channels = Channels(PUBLIC)
    street.sale()
    street.tell()
    assert {(row["state"], row["reason"]) for row in street.messages()} == {
        ("suppressed", "no_channel")
    }


def test_on_a_development_machine_it_goes_to_the_mailbox(street: Street) -> None:
    street.channels = Channels(PUBLIC, development=True)
    street.sale()
    street.tell()
    assert {row["channel"] for row in street.messages()} == {"mailbox"}


def test_a_member_without_an_address_is_not_reached_and_that_is_seen(street: Street) -> None:
    street.person(street.payer, email=None)
    street.sale()
    street.tell()
    (message,) = street.messages(street.payer)
    assert (message["state"], message["reason"]) == ("suppressed", "no_address")


def test_news_can_be_switched_off_and_steps_go_on(street: Street) -> None:
    _prefer(street, street.payer, Preference("email", "none"))
    exchange = street.sale()
    street.tell()
    street.funded(exchange)
    street.tell()
    assert _states(street, street.payer) == [
        ("payment_needed", "sent", None),
        ("payment_protected", "suppressed", "switched_off"),
    ]


def _prefer(street: Street, member_id: UUID, wanted: Preference) -> None:
    with db.transaction(street.engine, street.platform_id) as connection:
        addresses.prefer(connection, street.platform_id, member_id, wanted, street.now)


def test_who_prefers_sms_gets_mail_while_there_is_no_sms(
    street: Street, office: PostOffice
) -> None:
    street.person(street.payer, phone="+33600000000")
    _prefer(street, street.payer, Preference("sms", "sms"))
    street.sale()
    street.tell()
    assert street.messages(street.payer)[0]["channel"] == "email"


def test_at_night_only_what_is_urgent_goes(street: Street, office: PostOffice) -> None:
    exchange = street.propose(
        street.draft("rental", [("price", 1_000, "EUR"), ("deposit", 5_000, "EUR")])
    )
    street.funded(exchange)
    street.tell()
    before, mails = len(street.messages()), len(office.got)
    street.now = street.now.replace(hour=22)
    street.both_confirm(exchange)
    street.tell()
    states = {row["template"]: row["state"] for row in street.messages()[before:]}
    assert states.pop("code_ready") == "sent"
    assert set(states.values()) == {"held"}
    assert len(office.got) == mails + 1
    morning = street.now.replace(hour=8) + timedelta(days=1)  # 09:00 in Paris
    held = [row for row in street.messages() if row["state"] == "held"]
    assert {row["due_at"] for row in held} == {morning}
    street.send(morning)
    assert "held" not in {row["state"] for row in street.messages()}


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
    assert _states(street, street.payer)[-1] == ("reminder", "sent", None)
    assert street.told(street.payee) == []
    said = office.got[-1].text()
    assert "attend encore quelque chose de vous : répondre à la proposition." in said
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
    assert {state for _t, state, _why in _states(street, street.payer)} <= {"bounced", "failed"}
    assert Role.PAYER in street.read(exchange).around.unreached


def test_what_was_done_while_its_message_waited_is_not_asked_for(street: Street) -> None:
    exchange = street.sale()
    street.make()
    street.funded(exchange)
    street.send()
    assert _states(street, street.payer) == [("payment_needed", "suppressed", "over")]
    street.tell()
    street.step(exchange, "confirm", Role.PAYER)
    street.make()
    street.now += timedelta(minutes=1)
    street.step(exchange, "confirm", Role.PAYEE)
    street.send()
    assert ("other_confirmed", "suppressed", "over") in _states(street, street.payee)


def test_who_has_paid_already_is_not_said_to_have_to_pay(street: Street) -> None:
    exchange = street.sale()
    street.make()
    street.funded(exchange)
    street.send()
    assert _states(street, street.payee) == [("agreed", "suppressed", "over")]


def test_a_sandbox_shows_what_would_have_been_sent_on_the_way(sandbox_street: Street) -> None:
    exchange = sandbox_street.funded(sandbox_street.sale())
    sandbox_street.both_confirm(exchange)
    sandbox_street.tell()
    assert {state for _template, state, _why in _states(sandbox_street, sandbox_street.payer)} == {
        "sent"
    }
    assert "payment_needed" in sandbox_street.told(sandbox_street.payer)


def test_a_reminder_of_what_is_done_is_not_sent_and_another_is(street: Street) -> None:
    exchange = street.propose(street.draft("sale", [("price", 6_500, "EUR")]), agreed=False)
    street.tell()
    for about in ("agree_by", "fund_by"):
        street.happen_in(exchange, "exchange.reminder", {"to": ["payer"], "about": about})
    street.tell()
    assert _states(street, street.payer)[1:] == [
        ("reminder", "sent", None),
        ("reminder", "suppressed", "over"),
    ]


def _states(street: Street, member_id: UUID) -> list[tuple[str, str, str | None]]:
    return [(row["template"], row["state"], row["reason"]) for row in street.messages(member_id)]


def test_the_token_of_a_link_stands_in_the_mail_alone(street: Street, office: PostOffice) -> None:
    street.sale()
    street.tell()
    (link,) = links_in(office.got[0].text())
    assert links_in(office.got[0].html()) == [link]
    token = link.rpartition("/")[2]
    with db.transaction(street.engine, db.SYSTEM) as connection:
        for table in ("message", "message_text", "link", "event"):
            rows = connection.scalars(text(f"SELECT t::text FROM service.{table} AS t")).all()
            assert not any(token in row for row in rows)


def test_a_hostile_title_adds_no_header_and_no_link(street: Street, office: PostOffice) -> None:
    draft = street.draft("sale", [("price", 6_500, "EUR")])
    street.person(street.payee, name="Yann\r\nBcc: all@example.org")
    street.propose(type(draft)(draft.kind, 'x <a href="https://bad.test">y</a>\n\nhi', draft.legs))
    street.tell()
    for got in office.got:
        assert got.mail["Bcc"] is None
        assert got.mail["Subject"].count("\n") == 0
        assert '<a href="https://bad' not in got.html()
        assert "https://bad" not in got.text()
    assert len({got.recipient for got in office.got}) == 2


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_a_password_is_used_under_tls_and_a_wrong_one_bounces_nobody(
    street: Street, office: PostOffice, tls: Tls, scheme: str
) -> None:
    with tls.serving(office, scheme) as port:
        for password, state in (("wrong", "waiting"), ("right", "sent")):
            url = f"{scheme}://me:{password}@127.0.0.1:{port}"
            smtp = Smtp(url, "post@tierce.test", None, tls.trusted)
            street.channels = Channels(PUBLIC, {"email": smtp})
            street.sale()
            street.tell()
            assert street.messages()[-1]["state"] == state
            assert office.logins[-1] == f"me:{password}"


def test_a_server_with_a_strange_certificate_gets_neither_password_nor_mail(
    street: Street, office: PostOffice, tls: Tls
) -> None:
    with tls.serving(office, "smtp") as port:
        strange = Smtp(f"smtp://me:right@127.0.0.1:{port}", "post@tierce.test", None)
        street.channels = Channels(PUBLIC, {"email": strange})
        street.sale()
        street.tell()
    assert {row["state"] for row in street.messages()} == {"waiting"}
    assert (office.got, office.logins) == ([], [])


def test_an_international_address_is_written_to(street: Street, office: PostOffice) -> None:
    street.person(street.payer, email="añña@exämple.org")
    street.sale()
    street.tell()
    assert street.messages(street.payer)[0]["reason"] is None
    assert "añña@xn--exmple-cua.org" in {got.recipient for got in office.got}


def test_return_paths_name_their_message_and_no_other(return_path: ReturnPath) -> None:
    made = return_path.of("msg_0001j5x7v4e9tsmwd8w1c9xk5v")
    assert len(made.partition("@")[0]) <= 64
    assert return_path.read(made) is not None
    assert return_path.read(made.upper()) is not None
    assert return_path.read(made.replace("5v-", "5w-")) is None
    assert return_path.read("bounces@tierce.test") is None
    assert ReturnPath("bounces@tierce.test", "another secret, long enough too").read(made) is None
