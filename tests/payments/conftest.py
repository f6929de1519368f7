"""Fixtures of the payments' tests."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

import pytest
from sqlalchemy import Engine

from tests.payments.stripe_bench import StripeBench, stripe_bench


@pytest.fixture
def bench(engine: Engine, platform_id: UUID) -> Iterator[StripeBench]:
    """A platform with a Stripe account; at the end the server's own books must hold."""
    with stripe_bench(engine, platform_id) as made:
        yield made
