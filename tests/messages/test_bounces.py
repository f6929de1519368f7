"""Mail that comes back hours later: which reports count, and what they change."""

from __future__ import annotations

import subprocess
import sys
from email import policy
from email.message import EmailMessage, Message
from email.mime.message import MIMEMessage
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from typing import Any

import pytest
from sqlalchemy.engine import make_url

from service import db
from service.ids import encode
from service.messages import bounces, store
from service.messages.bounces import NotABounce, Report, ReturnPath
from service.platforms import members
from tests.messages.post import PostOffice
from tests.messages.street import SECRET, Street

MESSAGE = "msg_0001j5x7v4e9tsmwd8w1c9xk5v"


def report(
    to: str,
    action: str = "failed",
    status: str = "5.1.1",
    diagnostic: str = "smtp; 550 5.1.1 No\r\n such user",
) -> bytes:
    """A delivery status notification as mail servers write them (RFC 3464)."""
    whole = MIMEMultipart("report")
    whole.set_param("report-type", "delivery-status")
    whole["From"] = "MAILER-DAEMON@mx.example.org"
    whole["To"] = to
    whole["Subject"] = "Undelivered Mail Returned to Sender"
    whole.attach(MIMEText("I am sorry to have to inform you", "plain"))
    of_mail, of_recipient = Message(), Message()
    of_mail["Reporting-MTA"] = "dns; mx.example.org"
    of_recipient["Final-Recipient"] = "rfc822; anna@example.org"
    of_recipient["Action"] = action
    of_recipient["Status"] = status
    if diagnostic:
        of_recipient["Diagnostic-Code"] = diagnostic
    part = Message()
    part["Content-Type"] = "message/delivery-status"
    part.set_payload([of_mail, of_recipient])
    whole.attach(part)
    original = EmailMessage(policy=policy.compat32)
    original["Subject"] = "Action: failed"
    original.set_payload("the mail as it was")
    whole.attach(MIMEMessage(original))
    return whole.as_bytes()


def test_a_report_is_read_with_its_reason(return_path: ReturnPath) -> None:
    found = bounces.read(report(return_path.of(MESSAGE, 0)), return_path)
    assert encode("message", found.message_id) == MESSAGE
    assert found.reason == "smtp; 550 5.1.1 No such user"
    assert found.bad_address


@pytest.mark.parametrize(
    ("status", "bad"), [("5.1.1", True), ("5.2.1", True), ("5.7.1", False), ("4.4.7", False)]
)
def test_only_what_is_wrong_with_the_address_is_held_against_it(
    return_path: ReturnPath, status: str, bad: bool
) -> None:
    found = bounces.read(report(return_path.of(MESSAGE, 0), status=status), return_path)
    assert found.bad_address is bad


def test_a_report_without_words_has_its_code(return_path: ReturnPath) -> None:
    found = bounces.read(report(return_path.of(MESSAGE, 0), diagnostic=""), return_path)
    assert found.reason == "5.1.1"


@pytest.mark.parametrize("action", ["delayed", "delivered", "relayed", ""])
def test_what_did_not_fail_is_no_bounce(return_path: ReturnPath, action: str) -> None:
    with pytest.raises(NotABounce):
        bounces.read(report(return_path.of(MESSAGE, 0), action=action), return_path)


def test_an_out_of_office_answer_is_no_bounce(return_path: ReturnPath) -> None:
    mail = EmailMessage()
    mail["To"] = return_path.of(MESSAGE, 0)
    mail["Auto-Submitted"] = "auto-replied"
    mail.set_content("Action: failed\nStatus: 5.1.1\n")
    with pytest.raises(NotABounce):
        bounces.read(mail.as_bytes(), return_path)


def test_a_forged_return_path_marks_nobody(return_path: ReturnPath) -> None:
    made = return_path.of(MESSAGE, 0)
    for to in (
        made.replace("bounces+0", "bounces+1"),
        made.replace("@tierce", "@other"),
        made.replace(".0-", ".1-"),
        made.partition("-")[0] + "@tierce.test",
        "bounces@tierce.test",
        "",
    ):
        with pytest.raises(NotABounce):
            bounces.read(report(to), return_path)


@pytest.mark.parametrize(
    "raw", [b"", b"\x00\xff", b"Content-Type: message/delivery-status\n\n\xff", b"To: <<<>>>\n\n"]
)
def test_rubbish_is_no_bounce(return_path: ReturnPath, raw: bytes) -> None:
    with pytest.raises(NotABounce):
        bounces.read(raw, return_path)


def _sent(street: Street) -> dict[str, Any]:
    street.sale()
    street.tell()
    (message,) = street.messages(street.payer)
    assert message["state"] == "sent"
    return dict(message)


def _record(street: Street, of: Report) -> bool:
    with db.transaction(street.engine, db.SYSTEM) as connection:
        return bounces.record(connection, of, street.now)


def test_a_mail_that_came_back_is_recorded_and_told_once(
    street: Street, office: PostOffice, return_path: ReturnPath
) -> None:
    message = _sent(street)
    (got,) = [got for got in office.got if got.recipient == street.email(street.payer)]
    of = bounces.read(report(got.sender), return_path)
    assert of.message_id == message["id"]
    assert [_record(street, of), _record(street, of)] == [True, False]
    (after,) = street.messages(street.payer)
    assert (after["state"], after["reason"]) == ("bounced", of.reason)
    (told,) = street.events_of("message.bounced")
    assert told["member"] == encode("member", street.payer)
    assert told["exchange"] == encode("exchange", message["exchange_id"])
    # Nothing more goes to that address.
    street.happen("payout.failed", {"amount": 5, "unit": "EUR"}, street.payer)
    street.tell()
    assert street.messages(street.payer)[-1]["reason"] == "address_bounced"


def test_an_old_address_that_bounces_blocks_no_new_one(
    street: Street, office: PostOffice, return_path: ReturnPath
) -> None:
    _sent(street)
    old = street.email(street.payer)
    (got,) = [got for got in office.got if got.recipient == old]
    street.person(street.payer, email=f"new.{old}")
    assert _record(street, bounces.read(report(got.sender), return_path))
    street.happen("payout.failed", {"amount": 5, "unit": "EUR"}, street.payer)
    street.tell()
    assert street.messages(street.payer)[-1]["state"] == "sent"
    # What left the old one stands as it was: mail to it is not tried again.
    street.person(street.payer, email=old)
    street.happen("payout.failed", {"amount": 5, "unit": "EUR"}, street.payer)
    street.tell()
    assert street.messages(street.payer)[-1]["reason"] == "address_bounced"


def test_a_mail_that_was_sent_anew_since_did_not_come_back(
    street: Street, office: PostOffice, return_path: ReturnPath
) -> None:
    message = _sent(street)
    (got,) = [got for got in office.got if got.recipient == street.email(street.payer)]
    with db.transaction(street.engine, street.platform_id) as connection:
        store.resend(connection, street.platform_id, message["id"], street.now)
    street.send()
    late = bounces.read(report(got.sender), return_path)
    assert not _record(street, late)
    (after,) = street.messages(street.payer)
    assert after["state"] == "sent"
    again = office.got[-1]
    assert _record(street, bounces.read(report(again.sender), return_path))


def test_what_a_mail_server_said_goes_with_the_member(
    street: Street, office: PostOffice, return_path: ReturnPath
) -> None:
    _sent(street)
    address = street.email(street.payer)
    (got,) = [got for got in office.got if got.recipient == address]
    words = f"smtp; 550 5.1.1 <{address}>: nobody here"
    of = bounces.read(report(got.sender, diagnostic=words), return_path)
    assert _record(street, of)
    assert address in street.messages(street.payer)[0]["reason"]
    (told,) = street.events_of("message.bounced")
    assert told["reason"] == "5.1.1"
    with db.transaction(street.engine, street.platform_id) as connection:
        members.erase(connection, street.platform_id, street.payer, street.now)
        store.forget(connection, street.platform_id, street.payer, street.now)
    (after,) = street.messages(street.payer)
    assert (after["state"], after["reason"]) == ("bounced", "erased")


def test_a_mail_that_comes_back_after_its_member_went_leaves_no_words(
    street: Street, office: PostOffice, return_path: ReturnPath
) -> None:
    _sent(street)
    (got,) = [got for got in office.got if got.recipient == street.email(street.payer)]
    with db.transaction(street.engine, street.platform_id) as connection:
        members.erase(connection, street.platform_id, street.payer, street.now)
        store.forget(connection, street.platform_id, street.payer, street.now)
    assert _record(street, bounces.read(report(got.sender), return_path))
    (after,) = street.messages(street.payer)
    assert (after["state"], after["reason"]) == ("bounced", "erased")


def test_a_message_that_is_not_there_or_went_to_nobody_is_no_bounce(
    sandbox_street: Street, return_path: ReturnPath
) -> None:
    message = _sent(sandbox_street)
    for public in (MESSAGE, encode("message", message["id"])):
        of = bounces.read(report(return_path.of(public, 0)), return_path)
        with pytest.raises(NotABounce):
            _record(sandbox_street, of)


def _pipe(raw: bytes, environment: dict[str, str]) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "service.cli", "bounce"],
        input=raw,
        env=environment,
        capture_output=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def environment(database_url: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The settings that a mail server's pipe is given."""
    url = make_url(database_url).set(drivername="postgresql")
    return {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": ".",
        "TIERCE_DATABASE_URL": url.render_as_string(hide_password=False),
        "TIERCE_CODE_KEY": SECRET,
        "TIERCE_BOUNCE_ADDRESS": "bounces@tierce.test",
    }


def test_a_mail_server_pipes_what_came_back(
    street: Street, office: PostOffice, environment: dict[str, str]
) -> None:
    _sent(street)
    (got,) = [got for got in office.got if got.recipient == street.email(street.payer)]
    done = _pipe(report(got.sender), environment)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"came back: smtp; 550 5.1.1 No such user" in done.stdout
    assert street.messages(street.payer)[0]["state"] == "bounced"


def test_a_mail_server_is_told_what_is_no_bounce_and_what_to_try_again(
    return_path: ReturnPath, environment: dict[str, str]
) -> None:
    strange = _pipe(b"To: bounces@tierce.test\n\nhello", environment)
    assert strange.returncode == 65
    assert b"not addressed to a return path" in strange.stderr
    away = environment | {"TIERCE_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}
    assert _pipe(report(return_path.of(MESSAGE, 0)), away).returncode == 75
    del environment["TIERCE_BOUNCE_ADDRESS"]
    unset = _pipe(report(return_path.of(MESSAGE, 0)), environment)
    assert unset.returncode == 1
    assert b"TIERCE_BOUNCE_ADDRESS" in unset.stderr
