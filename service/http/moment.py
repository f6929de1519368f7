"""What time it is for whoever asks: their platform's, which a sandbox may have moved.

API keys, members' tokens, idempotency keys and the secrets of webhooks end in real time: they ask
:func:`service.clock.now` themselves.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from service import clock
from service.http.auth import Actor, Operator
from service.http.edge import Edge
from service.http.mediator_auth import Neutral
from service.platforms import clocks


def moment(
    connection: Connection, actor: Actor | Operator | Neutral, *, hold: bool = False
) -> datetime:
    """Return what time it is on the actor's platform; a live one costs no query.

    To an operator and a mediator, who stand outside of all platforms, it is the real time.

    ``hold``: for what is about to be written; the clock is not moved until the transaction ends.
    """
    if not isinstance(actor, Actor) or actor.mode == "live":
        return clock.now()
    if hold:
        clocks.hold(connection, actor.platform_id)
    return clocks.now_at(connection, actor.platform_id, clock.now())


def moment_on(connection: Connection, platform_id: UUID, *, hold: bool = False) -> datetime:
    """Return what time it is on a platform, to a mediator who looks at what is of it.

    ``hold``: as in :func:`moment`.
    """
    if hold:
        clocks.hold(connection, platform_id)
    return clocks.now_at(connection, platform_id, clock.now())


async def moment_of(edge: Edge, actor: Actor) -> datetime:
    """Return what time it is on the actor's platform, to those who are in no transaction."""
    if actor.mode == "live":
        return clock.now()
    return await edge.run(actor.platform_id, lambda connection: moment(connection, actor))
