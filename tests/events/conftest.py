"""A platform with events, a receiver of its webhooks, and a worker that runs when it is told to."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, RowMapping, text

from service import db
from service.events import deliveries, endpoints, fanout, outbox
from service.events.guard import Guard
from service.ids import encode
from service.sealing import Sealer
from tests.events.sink import Sink

SEALER: Final = Sealer("the secret of a test instance, long enough")
_UNREAD: Final = text(
    "SELECT count(*) FROM service.event e, service.feed f WHERE e.platform_id = :platform_id "
    "AND f.consumer = 'webhooks' AND (e.tx, e.id) > (f.tx, f.id)"
)
_DELIVERIES: Final = text(
    "SELECT * FROM service.webhook_delivery WHERE platform_id = :platform_id "
    "AND (CAST(:endpoint AS uuid) IS NULL OR endpoint_id = :endpoint) ORDER BY event_id"
)
_ATTEMPTS: Final = text(
    "SELECT * FROM service.webhook_attempt WHERE platform_id = :platform_id "
    "ORDER BY event_id, number"
)


class Post:
    """A platform and what is sent to its endpoints, which all are paths of one sink."""

    def __init__(self, engine: Engine, platform_id: UUID, sink: Sink) -> None:
        self.engine = engine
        self.platform_id = platform_id
        self.sink = sink
        self.guard = Guard(allow_private=True)
        self.secrets: dict[UUID, str] = {}

    def now(self) -> datetime:
        return datetime.now(UTC)

    def endpoint(self, path: str = "/hook", *events: str, url: str | None = None) -> UUID:
        """Add an endpoint at a path of the sink; return its id."""
        with db.transaction(self.engine, self.platform_id) as connection:
            row, secret = endpoints.create(
                connection,
                SEALER,
                self.platform_id,
                url=url or self.sink.url(path),
                events=events or ("*",),
                description="",
                secret=None,
                now=self.now(),
            )
        self.secrets[row["id"]] = secret
        return UUID(str(row["id"]))

    def read(self, endpoint_id: UUID) -> RowMapping:
        """Return an endpoint as it is now."""
        with db.transaction(self.engine, self.platform_id) as connection:
            return endpoints.find(connection, self.platform_id, endpoint_id)

    def change(self, endpoint_id: UUID, now: datetime | None = None, **changes: Any) -> None:
        """Change an endpoint."""
        with db.transaction(self.engine, self.platform_id) as connection:
            endpoints.change(connection, self.platform_id, endpoint_id, changes, now or self.now())

    def happen(self, type_: str = "payee.ready", **data: Any) -> str:
        """Let an event of no exchange happen; return its public id."""
        return self._append([outbox.NewEvent(type_, data)])[0]

    def exchange(self, count: int, exchange_id: UUID | None = None, first: int = 1) -> list[str]:
        """Let ``count`` events of one exchange happen; return their public ids."""
        of = exchange_id or uuid4()
        types = ("exchange.proposed", "exchange.agreed", "exchange.active")
        return self._append(
            [
                outbox.NewEvent(types[number % 3], {"number": number}, of, number)
                for number in range(first, first + count)
            ]
        )

    def _append(self, new: list[outbox.NewEvent]) -> list[str]:
        with db.transaction(self.engine, self.platform_id) as connection:
            outbox.append(connection, self.platform_id, new, self.now())
            newest = connection.execute(
                text(
                    "SELECT id FROM service.event WHERE platform_id = :platform_id "
                    "ORDER BY id DESC LIMIT :count"
                ),
                {"platform_id": self.platform_id, "count": len(new)},
            ).scalars()
            return [encode("event", one) for one in reversed(list(newest))]

    def fan_out(self, now: datetime | None = None) -> None:
        """Read the outbox to its end, on this server whose transactions may still be running."""
        deadline = time.monotonic() + 30
        while True:
            with db.transaction(self.engine, db.SYSTEM) as connection:
                fanout.fan_out(connection, now or self.now())
                left = connection.execute(_UNREAD, {"platform_id": self.platform_id}).scalar_one()
            if not left:
                return
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def run(self, now: datetime | None = None, **more: Any) -> int:
        """Do as the worker does, at an instant; return how many attempts this platform had.

        What other tests left in the outbox may be sent as well.
        """
        self.fan_out(now)
        before = len(self.attempts())
        deliveries.run(self.engine, now or self.now(), SEALER, self.guard, **more)
        return len(self.attempts()) - before

    def deliveries(self, endpoint_id: UUID | None = None) -> list[RowMapping]:
        """Return deliveries, the oldest event's first."""
        with db.transaction(self.engine, self.platform_id) as connection:
            values = {"platform_id": self.platform_id, "endpoint": endpoint_id}
            return list(connection.execute(_DELIVERIES, values).mappings())

    def states(self, endpoint_id: UUID | None = None) -> list[str]:
        return [row["state"] for row in self.deliveries(endpoint_id)]

    def attempts(self) -> list[RowMapping]:
        """Return the log."""
        with db.transaction(self.engine, self.platform_id) as connection:
            found = connection.execute(_ATTEMPTS, {"platform_id": self.platform_id})
            return list(found.mappings())

    def events(self, type_: str) -> list[RowMapping]:
        """Return the platform's events of a type."""
        with db.transaction(self.engine, self.platform_id) as connection:
            return list(
                connection.execute(
                    text(
                        "SELECT * FROM service.event WHERE platform_id = :platform_id "
                        "AND type = :type ORDER BY id"
                    ),
                    {"platform_id": self.platform_id, "type": type_},
                ).mappings()
            )

    def close(self) -> None:
        """Leave nothing that another test would send."""
        with db.transaction(self.engine, self.platform_id) as connection:
            for row in endpoints.every(connection, self.platform_id):
                endpoints.delete(connection, self.platform_id, row["id"], self.now())


@pytest.fixture
def sink() -> Iterator[Sink]:
    """Return a receiver of webhooks."""
    with Sink() as sink:
        yield sink


@pytest.fixture
def new_post(
    engine: Engine, new_platform: Callable[[], UUID], sink: Sink
) -> Iterator[Callable[[], Post]]:
    """Return a maker of platforms, all of whose endpoints are on the sink."""
    made: list[Post] = []

    def make() -> Post:
        made.append(Post(engine, new_platform(), sink))
        return made[-1]

    yield make
    for post in made:
        post.close()


@pytest.fixture
def post(new_post: Callable[[], Post]) -> Post:
    """Return a platform that no other test knows."""
    return new_post()
