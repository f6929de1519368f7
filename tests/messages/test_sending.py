"""What is handed to a mail server, once; and what becomes of it when it will not have it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest
from sqlalchemy import Engine, text

from service import db
from service.messages import send
from service.messages.bounces import ReturnPath
from service.messages.channels import Channels
from service.messages.smtp import Smtp
from service.operations import dead_letters
from tests.messages.post import PostOffice, Tls, open_office, port_of
from tests.messages.street import PUBLIC, Street, links_in


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
    assert told["reason"] == "5.1.1"  # without the server's words: events outlive members
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
    made = return_path.of("msg_0001j5x7v4e9tsmwd8w1c9xk5v", 0)
    assert len(made.partition("@")[0]) <= 64
    assert return_path.read(made) is not None
    assert return_path.read(made.upper()) is not None
    assert return_path.read(made.replace("5v.0-", "5w.0-")) is None
    assert return_path.read(made.replace(".0-", ".1-")) is None
    assert return_path.read("bounces@tierce.test") is None
    assert ReturnPath("bounces@tierce.test", "another secret, long enough too").read(made) is None
