"""Which channels an instance has, and where its mailbox is shown."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError
from structlog.testing import capture_logs

from service import db
from service.cli.up import Address, _shows_dev_pages
from service.config import Settings
from service.messages import addresses
from service.messages.addresses import Preference
from service.messages.channels import make_channels
from service.messages.smtp import Server
from tests.messages.street import SECRET, Street


def _settings(**given: Any) -> Settings:
    return Settings.model_validate({"code_key": SECRET, **given})


def test_without_a_mail_server_nothing_real_is_there() -> None:
    made = make_channels(_settings())
    assert (made.real, made.development) == ({}, False)


def test_mail_and_sms_are_there_when_they_are_set() -> None:
    made = make_channels(
        _settings(smtp_url="smtp://127.0.0.1:25", mail_from="post@tierce.test", sms="log")
    )
    assert sorted(made.real) == ["email", "sms"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"smtp_url": "smtp://127.0.0.1"},
        {"smtp_url": "http://127.0.0.1", "mail_from": "post@tierce.test"},
        {"smtp_url": "127.0.0.1:25", "mail_from": "post@tierce.test"},
        {"sms": "twilio"},
    ],
)
def test_settings_that_could_send_nothing_are_refused_at_start(wrong: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        _settings(**wrong)


@pytest.mark.parametrize(
    ("url", "port", "tls"),
    [
        ("smtp://host", 587, False),
        ("smtps://host", 465, True),
        ("smtp://us%40er:p%3Aw@host:25", 25, False),
    ],
)
def test_a_mail_server_s_url_is_read(url: str, port: int, tls: bool) -> None:
    server = Server.parse(url)
    assert (server.host, server.port, server.tls) == ("host", port, tls)
    assert (server.user, server.password) in {(None, None), ("us@er", "p:w")}


@pytest.mark.parametrize("url", ["smtp://", "ftp://host", "host:25", "smtp://host/path"])
def test_what_is_no_mail_server_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="TIERCE_SMTP_URL looks like"):
        Server.parse(url)


@pytest.mark.parametrize(
    ("host", "given", "shown"),
    [
        ("127.0.0.1", {}, True),
        ("0.0.0.0", {}, False),
        ("127.0.0.1", {"public_url": "https://tierce.example.org"}, False),
        ("127.0.0.1", {"public_url": "http://localhost:8480"}, True),
        ("127.0.0.1", {"dev_pages": False}, False),
        ("0.0.0.0", {"dev_pages": True}, True),
    ],
)
def test_the_mailbox_is_shown_on_this_machine_alone_unless_asked_for(
    host: str, given: dict[str, Any], shown: bool
) -> None:
    assert _shows_dev_pages(_settings(**given), Address(host, 8480)) is shown


def test_an_sms_is_a_line_in_the_log_without_number_or_words(street: Street) -> None:
    street.channels = make_channels(_settings(sms="log"))
    street.person(street.payer, phone="+33600000000")
    with db.transaction(street.engine, street.platform_id) as connection:
        chosen = Preference("sms", "none")
        addresses.prefer(connection, street.platform_id, street.payer, chosen, street.now)
    street.sale()
    with capture_logs() as logs:
        street.tell()
    (message,) = street.messages(street.payer)
    assert (message["state"], message["channel"]) == ("sent", "sms")
    (line,) = [line for line in logs if line["event"] == "sms"]
    assert "+336" not in str(line)
    assert "A test" not in str(line)
    # The other has no telephone, and there is no mail server.
    assert street.messages(street.payee)[0]["reason"] == "no_channel"
