"""The doctor on the settings themselves: names that are none, mail, and what is for development."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import UUID

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine, text

from service.cli import doctor_settings
from service.cli.doctor import show
from service.cli.doctor_settings import Finding
from service.config import Settings
from tests.messages.post import PostOffice, Tls, open_office, port_of


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("TIERCE_"):
            monkeypatch.delenv(name)


def _mailing(url: str) -> Settings:
    return Settings(smtp_url=SecretStr(url), mail_from="tierce@tierce.test")


def _one(settings: Settings, word: str) -> Finding:
    (found,) = [one for one in doctor_settings.look(settings) if word in one.what]
    return found


def test_a_setting_that_is_none_is_named_with_the_one_that_was_meant(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TIERCE_DATABSE_URL", "postgresql://somewhere")
    monkeypatch.setenv("TIERCE_QQQQQQQ", "1")
    monkeypatch.setenv("TIERCE_SMS", "log")
    found = [one for one in doctor_settings.look(Settings()) if "is no setting" in one.what]
    assert [one.what.split()[0] for one in found] == ["TIERCE_DATABSE_URL", "TIERCE_QQQQQQQ"]
    assert found[0].mend == "Did you mean TIERCE_DATABASE_URL?"
    assert "docs/operations.md" in found[1].mend
    # Warned of, and no more: the instance works.
    assert show(found) == 0
    out = capsys.readouterr().out
    assert "WARN TIERCE_DATABSE_URL" in out
    assert "somewhere" not in out


def test_webhooks_to_private_addresses_are_warned_of() -> None:
    assert not [one for one in doctor_settings.look(Settings()) if "PRIVATE" in one.what]
    found = _one(Settings(webhooks_allow_private=True), "TIERCE_WEBHOOKS_ALLOW_PRIVATE")
    assert (found.well, found.grave) == (False, False)


def test_the_mail_server_is_greeted_and_given_no_mail(tmp_path: Path) -> None:
    office = PostOffice()
    controller = open_office(office)
    try:
        url = f"smtp://127.0.0.1:{port_of(controller)}"
        found = _one(_mailing(url), "mail")
    finally:
        controller.stop()
    assert found.well, found
    assert office.got == []
    gone = _one(_mailing(url), "mail")
    assert not gone.well
    assert "TIERCE_SMTP_URL" in gone.mend


def test_a_mail_server_whose_certificate_nobody_believes_is_told(tmp_path: Path) -> None:
    office = PostOffice()
    with Tls(tmp_path).serving(office, "smtps") as port:
        found = _one(_mailing(f"smtps://anna:the-password@127.0.0.1:{port}"), "mail")
    assert not found.well
    assert "CERTIFICATE_VERIFY_FAILED" in found.what
    assert "the-password" not in found.what + found.mend


@pytest.mark.parametrize("live", [True, False])
def test_sms_to_the_log_are_warned_of_where_people_are_real(
    engine: Engine, platform_id: UUID, live: bool
) -> None:
    with engine.connect() as connection:
        trial = connection.begin()
        connection.exec_driver_sql("UPDATE service.platform SET mode = 'sandbox'")
        if live:
            connection.execute(
                text("UPDATE service.platform SET mode = 'live' WHERE id = :id"),
                {"id": platform_id},
            )
        found = list(doctor_settings.of_live(connection, Settings(sms="log")))
        assert list(doctor_settings.of_live(connection, Settings())) == []
        trial.rollback()
    assert [(one.well, one.grave) for one in found] == [(not live, False)]
