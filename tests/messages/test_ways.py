"""By which way a member is told, and when: addresses, preferences, nights, sandboxes."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from service import db
from service.messages import addresses
from service.messages.addresses import Preference
from service.messages.channels import Channels
from tests.messages.post import PostOffice
from tests.messages.street import PUBLIC, Street, links_in


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
    assert street.states(street.payer) == [
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
