"""The application and its callers, as the tests of the API have them."""

from __future__ import annotations

from tests.http.conftest import (
    anonymous,
    api,
    app_settings,
    desk,
    maud,
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
    "desk",
    "maud",
    "neighbour",
    "new_api",
    "new_desk",
    "operator",
    "paid",
    "proposed",
    "server",
]
