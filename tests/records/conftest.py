"""A platform with mediators, and the keys that its documents are verified with."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import pytest
from sqlalchemy import Engine

from service.db import SYSTEM, transaction
from service.records import keys, verify
from service.records.verify import Keys
from tests.records.lives import Court


@pytest.fixture
def court(engine: Engine, platform_id: UUID) -> Court:
    """Return a platform with mediators."""
    return Court(engine, platform_id)


@pytest.fixture
def published(engine: Engine) -> Callable[[], Keys]:
    """Return what reads the keys that the instance publishes."""

    def read() -> Keys:
        with transaction(engine, SYSTEM) as connection:
            return verify.read_keys({"keys": [key.jwk for key in keys.published(connection)]})

    return read
