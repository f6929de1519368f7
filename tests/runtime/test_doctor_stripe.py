"""``tierce doctor --stripe``, and the same look over HTTP, against the Stripe-shaped server."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, text

from service.cli.main import main
from service.config import settings
from service.db import SYSTEM, transaction
from service.http.routes.providers import webhook_urls
from service.ids import encode
from service.payments import connections, inbox
from service.payments.port import Event
from service.payments.stripe.check import API_VERSION
from service.payments.stripe.events import PAYEE_TYPES, PLATFORM_TYPES
from tests.payments.stripe_bench import CODE_KEY, StripeBench, stripe_bench

PUBLIC = "https://tierce.example"


@pytest.fixture
def bench(
    engine: Engine,
    platform_id: UUID,
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[StripeBench]:
    """A platform with a Stripe account, and the settings of an instance that serves it."""
    with stripe_bench(engine, platform_id) as made:
        for name in list(os.environ):
            if name.startswith("TIERCE_"):
                monkeypatch.delenv(name)
        for name, value in (
            ("HOME", str(tmp_path)),
            ("DATABASE_URL", database_url),
            ("CODE_KEY", CODE_KEY),
            ("STRIPE_API_BASE", made.server.url),
            ("PUBLIC_URL", PUBLIC),
        ):
            monkeypatch.setenv(f"TIERCE_{name}", value)
        settings.cache_clear()
        yield made
    settings.cache_clear()


def _look(bench: StripeBench, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    platform = encode("platform", bench.platform_id)
    status = main(["doctor", "--stripe", "--platform", platform])
    return status, capsys.readouterr().out


def _hook(bench: StripeBench, name: str, types: tuple[str, ...], version: str) -> str:
    url = webhook_urls(PUBLIC, bench.platform_id)[name]
    params: Any = {
        "url": url,
        "enabled_events": list(types),
        "api_version": version,
        "connect": name == "payees",
    }
    made = bench.provider.account(bench.platform_id).api.webhook_endpoints.create(params)
    return made.id


def _whole(bench: StripeBench) -> None:
    _hook(bench, "platform", PLATFORM_TYPES, API_VERSION)
    _hook(bench, "payees", PAYEE_TYPES, API_VERSION)


def test_a_connection_that_has_everything_is_well(
    bench: StripeBench, capsys: pytest.CaptureFixture[str]
) -> None:
    _whole(bench)
    status, out = _look(bench, capsys)
    assert "BAD" not in out, out
    assert status == 0
    assert f"the secret key opens {bench.account.id} (FR)" in out
    assert "manual" in out
    assert "Connect is enabled" in out
    assert bench.key not in out


def test_webhooks_that_are_missing_are_named_with_what_they_need(
    bench: StripeBench, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out = _look(bench, capsys)
    assert status == 1
    for url in webhook_urls(PUBLIC, bench.platform_id).values():
        assert re.search(rf"BAD .*no enabled webhook endpoint {url}\n +→ Add it", out)
    assert "payment_intent.succeeded" in out
    assert API_VERSION in out


def test_a_webhook_without_an_event_or_of_another_version_is_named(
    bench: StripeBench, capsys: pytest.CaptureFixture[str]
) -> None:
    _hook(bench, "payees", ("*",), API_VERSION)
    endpoint = _hook(bench, "platform", PLATFORM_TYPES[1:], "2020-08-27")
    status, out = _look(bench, capsys)
    assert status == 1
    assert f"{endpoint} is not told {PLATFORM_TYPES[0]}" in out
    assert f"{endpoint} sends version 2020-08-27" in out
    assert out.count("BAD") == 2


def test_automatic_payouts_to_the_platform_s_bank_are_a_finding(
    bench: StripeBench, capsys: pytest.CaptureFixture[str]
) -> None:
    _whole(bench)
    bench.server.add_account("sk_test_of_a_careless_platform", payout_interval="daily")
    bench.connect(bench.platform_id, "sk_test_of_a_careless_platform")
    _status, out = _look(bench, capsys)
    assert re.search(r"BAD .*own bank are daily\n +→ Set them to manual", out)


def test_a_revoked_key_is_named_and_what_is_stored_is_still_looked_at(
    bench: StripeBench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.server.revoke_key(bench.key)
    status, out = _look(bench, capsys)
    assert status == 1
    assert re.search(r"BAD .*does not take the secret key\n +→ It was revoked", out)
    assert out.count("a signing secret of") == 2


def test_a_stripe_that_does_not_answer_is_named(
    bench: StripeBench, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIERCE_STRIPE_API_BASE", "http://127.0.0.1:9")
    settings.cache_clear()
    _status, out = _look(bench, capsys)
    assert "Stripe does not answer" in out


def test_a_key_of_another_account_than_the_money_s_is_named(
    bench: StripeBench, capsys: pytest.CaptureFixture[str]
) -> None:
    with transaction(bench.engine, bench.platform_id) as connection:
        connections.record_check(
            connection, bench.platform_id, 1, bench.account.id, bench.server.now
        )
    other = bench.server.add_account("sk_test_of_another_account")
    bench.connect(bench.platform_id, "sk_test_of_another_account")
    _status, out = _look(bench, capsys)
    assert f"BAD  A test (sandbox, {encode('platform', bench.platform_id)}): the key opens" in out
    assert f"{other.id}, and the platform's money is on {bench.account.id}" in out


def test_secrets_sealed_under_another_key_are_named(
    bench: StripeBench, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIERCE_CODE_KEY", "a code key that was changed since then")
    settings.cache_clear()
    status, out = _look(bench, capsys)
    assert status == 1
    assert re.search(r"BAD .*stored secrets\n +→ .*TIERCE_CODE_KEY", out)


def test_an_address_that_stripe_cannot_reach_is_named(
    bench: StripeBench, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIERCE_PUBLIC_URL", "http://127.0.0.1:8480")
    settings.cache_clear()
    _status, out = _look(bench, capsys)
    assert re.search(r"BAD .*address is http://127.0.0.1:8480\n +→ Set TIERCE_PUBLIC_URL", out)


def test_without_a_connection_it_says_how_to_make_one(
    bench: StripeBench, capsys: pytest.CaptureFixture[str]
) -> None:
    with transaction(bench.engine, SYSTEM) as connection:
        connection.execute(text("DELETE FROM service.provider_connection"))
    for arguments in ([], ["--platform", encode("platform", bench.platform_id)]):
        assert main(["doctor", "--stripe", *arguments]) == 1
        out = capsys.readouterr().out
        assert out.startswith("No Stripe account is connected")
        assert f"PUT {PUBLIC}/v1/provider-connections/stripe" in out


def test_without_the_code_key_it_says_what_is_missing(
    bench: StripeBench, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TIERCE_CODE_KEY")
    settings.cache_clear()
    assert main(["doctor", "--stripe"]) == 1
    assert "TIERCE_CODE_KEY" in capsys.readouterr().err


def test_a_platform_is_named_with_stripe_alone(
    bench: StripeBench, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", "--platform", encode("platform", bench.platform_id)]) == 1
    assert "--stripe" in capsys.readouterr().err


def test_what_stripe_told_and_nobody_could_apply_is_shown_with_its_reason(
    bench: StripeBench, capsys: pytest.CaptureFixture[str]
) -> None:
    with transaction(bench.engine, bench.platform_id) as connection:
        event = Event("evt_1", "payment_intent.succeeded", "pi_of_nobody")
        inbox.receive(connection, bench.platform_id, [("stripe", event)], bench.server.now)
        connection.execute(
            text("UPDATE service.provider_event SET note = 'No payment has pi_of_nobody.'")
        )
    _status, out = _look(bench, capsys)
    assert re.search(r"evt_1 about pi_of_nobody waits: No payment has pi_of_nobody\.", out)
