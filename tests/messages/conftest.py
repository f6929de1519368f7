"""A live platform whose members have addresses, and a mail server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import Engine

from service.db import SYSTEM, transaction
from service.messages.bounces import ReturnPath
from service.messages.channels import Channels
from service.messages.smtp import Smtp
from service.platforms import platforms
from tests.messages.post import PostOffice, Tls, open_office, port_of
from tests.messages.street import PUBLIC, SECRET, Street


@pytest.fixture
def office() -> PostOffice:
    """Return what the mail server took and will answer."""
    return PostOffice()


@pytest.fixture
def return_path() -> ReturnPath:
    """Return the maker of return paths of the instance under test."""
    return ReturnPath("bounces@tierce.test", SECRET)


@pytest.fixture
def smtp(office: PostOffice, return_path: ReturnPath) -> Iterator[Smtp]:
    """Return the channel to the running mail server."""
    controller = open_office(office)
    yield Smtp(f"smtp://127.0.0.1:{port_of(controller)}", "post@tierce.test", return_path)
    controller.stop()


@pytest.fixture
def tls(tmp_path: Path) -> Tls:
    """Return a certificate for loopback."""
    return Tls(tmp_path)


@pytest.fixture
def channels(smtp: Smtp) -> Channels:
    """Return channels of which e-mail is real."""
    return Channels(PUBLIC, {"email": smtp})


@pytest.fixture
def live_platform(engine: Engine) -> UUID:
    """Return a live platform that no other test knows."""
    with transaction(engine, SYSTEM) as connection:
        live, _sandbox = platforms.create(connection, "Trocante", datetime.now(UTC))
    return live.id


@pytest.fixture
def street(engine: Engine, live_platform: UUID, channels: Channels) -> Street:
    """Return a live platform with two members who can be written to."""
    return Street(engine, live_platform, channels)


@pytest.fixture
def sandbox_street(engine: Engine, new_platform: Callable[[], UUID], channels: Channels) -> Street:
    """Return the same on a sandbox platform, though e-mail could be sent."""
    return Street(engine, new_platform(), channels)
