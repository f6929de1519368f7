"""Two members on a platform, what happens to them, and what they are told."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Engine, RowMapping, text

from service import db
from service.events import outbox
from service.exchanges.model import Exchange
from service.messages import make, send
from service.messages.channels import Channels
from service.platforms import members
from tests.exchanges.world import World
from tests.readable import wait_until_readable

PUBLIC: Final = "https://tierce.test"
SECRET: Final = "the secret of a test instance, long enough"


class Street(World):
    """A world whose members have names and addresses, and whose messages go out."""

    def __init__(self, engine: Engine, platform_id: UUID, channels: Channels) -> None:
        self.channels = channels
        super().__init__(engine, platform_id)
        self.person(self.payer, name="Anna", email=f"anna.{self.payer.hex}@example.org")
        self.person(self.payee, name="Yann", email=f"yann.{self.payee.hex}@example.org")

    def person(self, member_id: UUID, **changes: Any) -> None:
        """Change what the platform told of a member."""
        with db.transaction(self.engine, self.platform_id) as connection:
            members.change(connection, self.platform_id, member_id, changes)

    def email(self, member_id: UUID) -> str:
        with db.transaction(self.engine, self.platform_id) as connection:
            found = members.find(connection, self.platform_id, member_id).email
        assert found is not None
        return found

    def happen(self, type_: str, data: dict[str, Any], member_id: UUID | None = None) -> None:
        """Let an event of no exchange happen."""
        with db.transaction(self.engine, self.platform_id) as connection:
            event = outbox.NewEvent(type_, data, member_id=member_id)
            outbox.append(connection, self.platform_id, [event], self.now)

    def happen_in(self, exchange: Exchange, type_: str, data: dict[str, Any]) -> None:
        """Let one more event of an exchange happen, that nothing else comes after."""
        with db.transaction(self.engine, self.platform_id) as connection:
            query = text(
                "UPDATE service.exchange SET event_sequence = event_sequence + 1 "
                "WHERE platform_id = :p AND id = :e RETURNING event_sequence"
            )
            values = {"p": self.platform_id, "e": exchange.id}
            number = connection.execute(query, values).scalar_one()
            event = outbox.NewEvent(type_, data, exchange.id, number)
            outbox.append(connection, self.platform_id, [event], self.now)

    def make(self) -> None:
        """Read the outbox to its end, on this server whose transactions may still be running."""
        wait_until_readable(self.engine)
        while make.make(self.engine, self.now):
            pass

    def send(self, at: datetime | None = None) -> None:
        """Send what is due, now or at another instant."""
        send.run(self.engine, self.channels, at or self.now, self.platform_id)

    def tell(self) -> None:
        self.make()
        self.send()

    def messages(self, member_id: UUID | None = None) -> list[RowMapping]:
        """The platform's messages, oldest first."""
        with db.transaction(self.engine, self.platform_id) as connection:
            query = text(
                "SELECT * FROM service.message WHERE platform_id = :p "
                "AND (CAST(:m AS uuid) IS NULL OR member_id = :m) ORDER BY id"
            )
            values = {"p": self.platform_id, "m": member_id}
            return list(connection.execute(query, values).mappings())

    def told(self, member_id: UUID) -> list[str]:
        """The templates of a member's messages, in the order of events."""
        return [row["template"] for row in self.messages(member_id)]

    def states(self, member_id: UUID) -> list[tuple[str, str, str | None]]:
        """Template, state and reason of a member's messages, in the order of events."""
        return [(row["template"], row["state"], row["reason"]) for row in self.messages(member_id)]

    def text_of(self, message: RowMapping) -> RowMapping:
        """What is stored of what was written."""
        with db.transaction(self.engine, self.platform_id) as connection:
            query = text(
                "SELECT * FROM service.message_text WHERE platform_id = :p AND message_id = :m"
            )
            values = {"p": self.platform_id, "m": message["id"]}
            return connection.execute(query, values).mappings().one()

    def events_of(self, type_: str) -> list[dict[str, Any]]:
        with db.transaction(self.engine, self.platform_id) as connection:
            query = text(
                "SELECT data FROM service.event WHERE platform_id = :p AND type = :t ORDER BY id"
            )
            return list(connection.scalars(query, {"p": self.platform_id, "t": type_}))


def links_in(written: str) -> list[str]:
    """Every one-tap link in a text."""
    return re.findall(rf"{re.escape(PUBLIC)}/l/[\w~-]+", written)
