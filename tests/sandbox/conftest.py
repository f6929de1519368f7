"""The application and its sandboxes, as in the tests of HTTP."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import pytest
from sqlalchemy import Engine

from service.sandbox import passing
from tests.http.client import Api
from tests.http.conftest import anonymous, api, app_settings, neighbour, new_api, operator, server
from tests.sandbox.stage import Stage

__all__ = ["anonymous", "api", "app_settings", "neighbour", "new_api", "operator", "server"]


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A move ends by what there is to do: no test depends on how fast the machine is."""
    monkeypatch.setattr(passing, "MOST_SECONDS", 3_600.0)


@pytest.fixture
def stage(api: Api, platform_id: UUID, engine: Engine) -> Stage:
    """Return a sandbox on which endings are rehearsed."""
    return Stage(api, platform_id, engine)


@pytest.fixture
def new_stage(
    new_api: Callable[..., Api], new_platform: Callable[[], UUID], engine: Engine
) -> Callable[[], Stage]:
    """Return a maker of further sandboxes."""

    def make() -> Stage:
        platform_id = new_platform()
        return Stage(new_api(platform_id=platform_id), platform_id, engine)

    return make
