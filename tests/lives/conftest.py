"""A platform whose money is at the Stripe-shaped server."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

import pytest
from sqlalchemy import Engine

from tests.lives.stripe_lives import StripeLives
from tests.stripe_server import StripeServer


@pytest.fixture
def stripe_server() -> Iterator[StripeServer]:
    """Return a running server; at the end its own books must hold."""
    with StripeServer() as server:
        yield server


@pytest.fixture
def world(engine: Engine, platform_id: UUID, stripe_server: StripeServer) -> StripeLives:
    """Return a platform that has connected Stripe, with a payee who can be paid."""
    return StripeLives(engine, platform_id, stripe_server)
