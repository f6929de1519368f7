"""The application as the tests of its API have it."""

from __future__ import annotations

from tests.http.conftest import (
    anonymous,
    api,
    app_settings,
    neighbour,
    new_api,
    new_desk,
    operator,
    paid,
    proposed,
    server,
)

__all__ = [
    "anonymous",
    "api",
    "app_settings",
    "neighbour",
    "new_api",
    "new_desk",
    "operator",
    "paid",
    "proposed",
    "server",
]
