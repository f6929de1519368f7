"""``POST /v1/provider-connections/stripe/check``: Stripe is asked, and the account is noted."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import UUID

import pytest
from sqlalchemy import Engine

from service.app import create_app
from service.config import Settings
from service.db import SYSTEM, transaction
from service.platforms import keys, platforms
from service.platforms.scopes import SCOPES
from tests.http.client import Api, Server, problem
from tests.stripe_server import StripeServer

HOME = "/v1/provider-connections/stripe"


@pytest.fixture
def stripe() -> Iterator[StripeServer]:
    """A Stripe-shaped server."""
    with StripeServer() as server:
        yield server


@pytest.fixture
def server(app_settings: Settings, stripe: StripeServer) -> Iterator[Server]:
    """The application, with Stripe at that server."""
    chosen = app_settings.model_copy(update={"stripe_api_base": stripe.url})
    made = Server(create_app(chosen))
    yield made
    made.close()


@pytest.fixture
def api(server: Server, engine: Engine, platform_id: UUID) -> Api:
    """Return the caller of a platform that no other test knows."""
    return _caller(server, engine, platform_id)


def _caller(server: Server, engine: Engine, platform_id: UUID) -> Api:
    with transaction(engine, SYSTEM) as connection:
        mode = platforms.find(connection, platform_id).mode
        _key, secret = keys.create(
            connection, platform_id, mode, "A test", SCOPES, datetime.now(UTC)
        )
    return Api(server, secret)


def test_a_check_notes_the_account_and_says_what_is_missing(api: Api, stripe: StripeServer) -> None:
    account = stripe.add_account("sk_test_of_this_platform")
    api.send("PUT", HOME, {"secret_key": "sk_test_of_this_platform"})
    told = api.made(f"{HOME}/check")
    assert (told["account"], told["well"]) == (account.id, False)
    found = {one["name"]: one for one in told["findings"]}
    for name in ("key", "charges", "payout_schedule", "permissions", "connect"):
        assert (found[name]["well"], found[name]["mend"]) == (True, None), name
    for name in ("webhook_platform", "webhook_payees", "secret_platform", "secret_payees"):
        assert not found[name]["well"], name
        assert found[name]["mend"], name
    shown = api.read(HOME)
    assert shown["account"] == account.id
    assert shown["checked_at"] is not None
    # Made for an account that was not known yet, the client was made anew: nothing else changed.
    assert api.made(f"{HOME}/check")["account"] == account.id


def test_a_key_that_stripe_does_not_take_is_a_finding_and_notes_nothing(
    api: Api, stripe: StripeServer
) -> None:
    api.send("PUT", HOME, {"secret_key": "sk_test_that_was_revoked"})
    told = api.made(f"{HOME}/check")
    assert (told["account"], told["well"]) == (None, False)
    assert next(one["name"] for one in told["findings"] if not one["well"]) == "key"
    assert "sk_test_that_was_revoked" not in str(told)
    assert api.read(HOME)["checked_at"] is None


def test_two_platforms_cannot_share_an_account(
    api: Api, stripe: StripeServer, server: Server, engine: Engine
) -> None:
    stripe.add_account("sk_test_of_both")
    api.send("PUT", HOME, {"secret_key": "sk_test_of_both"})
    api.made(f"{HOME}/check")
    with transaction(engine, SYSTEM) as connection:
        _live, other = platforms.create(connection, "Another", datetime.now(UTC))
    neighbour = _caller(server, engine, other.id)
    neighbour.send("PUT", HOME, {"secret_key": "sk_test_of_both"})
    problem(neighbour.post(f"{HOME}/check"), 409, "provider_account_taken")
    assert neighbour.read(HOME)["account"] is None
