"""A platform's own account at the provider: sealed, replaced, rotated, let go."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine, text

from ledger.posting import Posting, Transfer, post
from service.db import SYSTEM, transaction
from service.ids import uuid7
from service.payments import connections
from service.payments.connected import (
    AccountTaken,
    AnotherAccount,
    Connected,
    ConnectionInUse,
    Endpoint,
    NotConnected,
    OverlapTooLong,
    TooManySecrets,
    WrongKeyMode,
    hint,
)
from service.payments.payments import NewPayment, create
from service.payments.port import NoProvider
from service.payments.providers import Providers, need
from service.payments.sandbox import Sandbox
from service.payments.stripe.provider import Stripe
from service.payments.vault import SecretsUnreadable, Vault
from service.platforms import members
from service.platforms.platforms import Mode

CODE_KEY: Final = "the secret of a test instance, long enough"
VAULT: Final = Vault(CODE_KEY)
NOW: Final = datetime(2027, 3, 1, 9, tzinfo=UTC)
KEY: Final = "sk_test_" + "a1b2c3d4" * 8


def _connect(
    engine: Engine,
    platform_id: UUID,
    key: str = KEY,
    *,
    mode: Mode = "sandbox",
    publishable: str | None = "pk_test_public",
    webhook: str | None = "whsec_platform",
    payees: str | None = "whsec_payees",
    vault: Vault = VAULT,
    now: datetime = NOW,
) -> Connected:
    with transaction(engine, platform_id) as connection:
        return connections.connect(
            connection,
            vault,
            platform_id,
            mode,
            secret_key=SecretStr(key),
            publishable_key=publishable,
            webhook_secret=None if webhook is None else SecretStr(webhook),
            payee_webhook_secret=None if payees is None else SecretStr(payees),
            now=now,
        )


def _rotate(
    engine: Engine,
    platform_id: UUID,
    secret: str,
    until: datetime,
    *,
    endpoint: Endpoint = "platform",
    now: datetime = NOW,
) -> Connected:
    with transaction(engine, platform_id) as connection:
        return connections.rotate(
            connection, VAULT, platform_id, endpoint, SecretStr(secret), until, now
        )


def _row(engine: Engine, platform_id: UUID) -> dict[str, Any]:
    with transaction(engine, SYSTEM) as connection:
        found = connection.execute(
            text("SELECT * FROM service.provider_connection WHERE platform_id = :id"),
            {"id": platform_id},
        )
        return dict(found.mappings().one())


def test_what_is_stored_holds_no_secret_and_opens_again(engine: Engine, platform_id: UUID) -> None:
    made = _connect(engine, platform_id)
    stored = repr(_row(engine, platform_id)).encode()
    for secret in (KEY, "whsec_platform", "whsec_payees"):
        assert secret.encode() not in stored
    with transaction(engine, platform_id) as connection:
        found = connections.need(connection, VAULT, platform_id)
    assert found == made
    assert found.secret_key.get_secret_value() == KEY
    assert found.secrets("platform", NOW) == ["whsec_platform"]
    assert found.secrets("payees", NOW) == ["whsec_payees"]
    assert (found.version, found.account_ref, found.events_seen_until) == (1, None, NOW)


def test_no_secret_is_printed_by_accident(engine: Engine, platform_id: UUID) -> None:
    made = _connect(engine, platform_id)
    for secret in (KEY, "whsec_platform", "whsec_payees"):
        assert secret not in f"{made} {made!r}"
    assert hint(made.secret_key) == "…c3d4"


def test_a_sealed_secret_opens_nowhere_else(
    engine: Engine, new_platform: Callable[[], UUID]
) -> None:
    one, other = new_platform(), new_platform()
    sealed = VAULT.seal(one, "stripe", "secret_key", KEY)
    assert VAULT.open(one, "stripe", "secret_key", sealed) == KEY
    changed = sealed[:-5] + bytes([sealed[-5] ^ 1]) + sealed[-4:]
    for vault, platform, kind, found in (
        (Vault("the secret of another instance, long enough"), one, "secret_key", sealed),
        (VAULT, other, "secret_key", sealed),
        (VAULT, one, "platform", sealed),
        (VAULT, one, "secret_key", changed),
    ):
        with pytest.raises(SecretsUnreadable):
            vault.open(platform, "stripe", kind, found)


@pytest.mark.parametrize(
    ("mode", "key", "fits"),
    [
        ("live", "sk_live_x", True),
        ("live", "rk_live_x", True),
        ("live", "sk_test_x", False),
        ("live", "pk_live_x", False),
        ("sandbox", "sk_test_x", True),
        ("sandbox", "rk_test_x", True),
        ("sandbox", "sk_live_x", False),
        ("sandbox", "whsec_x", False),
    ],
)
def test_a_platform_takes_keys_of_its_own_mode_alone(
    engine: Engine, platform_id: UUID, mode: Mode, key: str, fits: bool
) -> None:
    if fits:
        assert _connect(engine, platform_id, key, mode=mode, publishable=None).version == 1
        return
    with pytest.raises(WrongKeyMode) as refused:
        _connect(engine, platform_id, key, mode=mode, publishable=None)
    assert refused.value.pointer == "/secret_key"
    assert key not in refused.value.detail


def test_a_publishable_key_has_the_mode_too(engine: Engine, platform_id: UUID) -> None:
    with pytest.raises(WrongKeyMode) as refused:
        _connect(engine, platform_id, publishable="pk_live_x")
    assert refused.value.pointer == "/publishable_key"


def test_connecting_the_same_again_changes_nothing(engine: Engine, platform_id: UUID) -> None:
    made = _connect(engine, platform_id)
    assert _connect(engine, platform_id, now=NOW + timedelta(days=1)) == made


def test_a_new_key_keeps_the_webhook_secrets_that_are_not_given(
    engine: Engine, platform_id: UUID
) -> None:
    _connect(engine, platform_id)
    changed = _connect(engine, platform_id, "rk_test_new", webhook=None, payees="whsec_new")
    assert changed.version == 2
    assert changed.secret_key.get_secret_value() == "rk_test_new"
    assert changed.secrets("platform", NOW) == ["whsec_platform"]
    assert changed.secrets("payees", NOW) == ["whsec_new"]


def test_a_connection_whose_secrets_do_not_open_can_be_replaced_whole_alone(
    engine: Engine, platform_id: UUID
) -> None:
    _connect(engine, platform_id, vault=Vault("a code key that was lost since, long enough"))
    with pytest.raises(SecretsUnreadable):
        _connect(engine, platform_id, webhook=None)
    assert _connect(engine, platform_id).version == 2


def test_a_rotated_webhook_secret_works_until_its_end(engine: Engine, platform_id: UUID) -> None:
    _connect(engine, platform_id)
    until = NOW + timedelta(hours=24)
    found = _rotate(engine, platform_id, "whsec_second", until)
    assert found.version == 2
    assert found.secrets("platform", NOW) == ["whsec_second", "whsec_platform"]
    assert found.secrets("platform", until) == ["whsec_second"]
    assert found.secrets("payees", until) == ["whsec_payees"]
    assert _rotate(engine, platform_id, "whsec_second", until) == found


def test_an_endpoint_has_three_working_secrets_at_most(engine: Engine, platform_id: UUID) -> None:
    _connect(engine, platform_id)
    until = NOW + timedelta(hours=72)
    _rotate(engine, platform_id, "whsec_second", until)
    three = _rotate(engine, platform_id, "whsec_third", until)
    assert len(three.secrets("platform", NOW)) == 3
    with pytest.raises(TooManySecrets):
        _rotate(engine, platform_id, "whsec_fourth", until)
    later = _rotate(engine, platform_id, "whsec_fourth", until + timedelta(hours=1), now=until)
    assert later.secrets("platform", until) == ["whsec_fourth", "whsec_third"]


def test_an_old_secret_ends_at_once_where_no_overlap_is_wanted(
    engine: Engine, platform_id: UUID
) -> None:
    _connect(engine, platform_id)
    found = _rotate(engine, platform_id, "whsec_second", NOW)
    assert found.secrets("platform", NOW) == ["whsec_second"]


def test_an_overlap_is_72_hours_at_most(engine: Engine, platform_id: UUID) -> None:
    _connect(engine, platform_id)
    with pytest.raises(OverlapTooLong):
        _rotate(engine, platform_id, "whsec_second", NOW + timedelta(hours=72, seconds=1))


def test_without_a_connection_there_is_nothing_to_rotate(engine: Engine, platform_id: UUID) -> None:
    with pytest.raises(NotConnected):
        _rotate(engine, platform_id, "whsec_second", NOW)


def _check(engine: Engine, platform_id: UUID, version: int, account: str) -> None:
    with transaction(engine, platform_id) as connection:
        connections.record_check(connection, platform_id, version, account, NOW)


def test_a_check_notes_the_account_and_a_stale_one_notes_nothing(
    engine: Engine, platform_id: UUID
) -> None:
    _connect(engine, platform_id)
    _connect(engine, platform_id, "sk_test_second")
    _check(engine, platform_id, 1, "acct_first")
    assert _row(engine, platform_id)["account_ref"] is None
    _check(engine, platform_id, 2, "acct_second")
    row = _row(engine, platform_id)
    assert (row["account_ref"], row["checked_at"]) == ("acct_second", NOW)


def test_two_platforms_of_a_mode_do_not_share_an_account(
    engine: Engine, new_platform: Callable[[], UUID]
) -> None:
    one, other = new_platform(), new_platform()
    _connect(engine, one)
    account = f"acct_{one.hex}"
    _check(engine, one, 1, account)
    with transaction(engine, SYSTEM) as connection:
        connections.check_not_taken(connection, one, "sandbox", account)
        connections.check_not_taken(connection, other, "live", account)
        with pytest.raises(AccountTaken):
            connections.check_not_taken(connection, other, "sandbox", account)


@pytest.fixture
def member_id(engine: Engine, platform_id: UUID) -> UUID:
    """Return a member of the platform."""
    with transaction(engine, platform_id) as connection:
        return members.create(
            connection,
            platform_id,
            external_id="m",
            locale="fr",
            time_zone="Europe/Paris",
            name=None,
            email=None,
            phone=None,
            now=NOW,
        ).id


def _open_payment(engine: Engine, platform_id: UUID, member_id: UUID) -> None:
    payment = NewPayment(uuid7(), "collect", None, member_id, "stripe", 500, "EUR")
    with transaction(engine, platform_id) as connection:
        create(connection, platform_id, [payment], NOW)


def _hold(engine: Engine, platform_id: UUID, member_id: UUID) -> None:
    move = Transfer("provider:stripe", f"member:{member_id}", 500, "EUR")
    with transaction(engine, platform_id) as connection:
        post(connection, platform_id, [Posting("a test", "collect", (move,), None)], NOW)


@pytest.mark.parametrize("use", [_open_payment, _hold])
def test_a_connection_in_use_stays_and_stays_on_its_account(
    engine: Engine,
    platform_id: UUID,
    member_id: UUID,
    use: Callable[[Engine, UUID, UUID], None],
) -> None:
    _connect(engine, platform_id)
    _check(engine, platform_id, 1, "acct_first")
    version = _row(engine, platform_id)["version"]
    use(engine, platform_id, member_id)
    with pytest.raises(ConnectionInUse), transaction(engine, platform_id) as connection:
        connections.forget(connection, platform_id)
    with pytest.raises(AnotherAccount):
        _check(engine, platform_id, version, "acct_other")
    row = _row(engine, platform_id)
    assert (row["account_ref"], row["version"]) == ("acct_first", version)
    _check(engine, platform_id, version, "acct_first")


def test_an_unused_connection_is_let_go_with_its_secrets(engine: Engine, platform_id: UUID) -> None:
    _connect(engine, platform_id)
    for _ in range(2):
        with transaction(engine, platform_id) as connection:
            connections.forget(connection, platform_id)
            assert connections.find(connection, VAULT, platform_id) is None


def test_a_platform_sees_no_other_s_connection(
    engine: Engine, new_platform: Callable[[], UUID]
) -> None:
    one, other = new_platform(), new_platform()
    _connect(engine, one)
    with transaction(engine, other) as connection:
        assert not connections.exists(connection, one)
        assert connections.find(connection, VAULT, one) is None
    with transaction(engine, SYSTEM) as connection:
        assert (one, NOW) in connections.unseen(connection, NOW)


def test_a_platform_s_new_payments_go_to_the_account_that_it_has_connected(
    engine: Engine, platform_id: UUID
) -> None:
    clock = lambda: NOW  # noqa: E731 - a clock that stands
    sandbox = Sandbox(engine, "the secret of a sandbox in a test", clock)
    stripe = Stripe(engine, CODE_KEY, clock, "http://127.0.0.1:9")
    providers = Providers(sandbox, stripe)
    with transaction(engine, platform_id) as connection:
        assert providers.of(connection, platform_id, "sandbox") is sandbox
        assert providers.of(connection, platform_id, "live") is None
    _connect(engine, platform_id)
    with transaction(engine, platform_id) as connection:
        for mode in ("sandbox", "live"):
            assert providers.of(connection, platform_id, mode) is stripe
    with pytest.raises(NoProvider):
        need(None)
    assert need(stripe) is stripe


def test_the_mark_of_seen_events_only_goes_forward(engine: Engine, platform_id: UUID) -> None:
    _connect(engine, platform_id)
    for until in (NOW + timedelta(hours=2), NOW + timedelta(hours=1)):
        with transaction(engine, platform_id) as connection:
            connections.mark_events(connection, platform_id, until)
    assert _row(engine, platform_id)["events_seen_until"] == NOW + timedelta(hours=2)
