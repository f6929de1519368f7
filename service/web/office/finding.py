"""Finding exchanges by what somebody has in hand: an id of ours or theirs, a member, a word."""

from __future__ import annotations

from contextlib import suppress
from typing import Final
from uuid import UUID

from sqlalchemy import Connection

from service.exchanges import queries
from service.exchanges.kinds import Kind
from service.exchanges.model import Exchange, State
from service.ids import decode, heard
from service.platforms import members

PAGE: Final = 50


def exchanges(
    connection: Connection,
    platform_id: UUID,
    said: str,
    state: str,
    kind: str,
    after: UUID | None,
) -> list[Exchange]:
    """Return up to a page of exchanges and one more, newest first.

    ``said`` is an id of an exchange or a member, the platform's own id of either, the short number
    that a member reads aloud, or words of the title. A state or kind that does not exist finds
    nothing.
    """
    filters = queries.Filters(states=[state] if state else None, kind=kind or None)
    if (state and state not in set(State)) or (kind and kind not in set(Kind)):
        return []
    for one in _meanings(connection, platform_id, said.strip(), filters):
        found = queries.page(connection, platform_id, one, limit=PAGE + 1, after=after)
        if found:
            return found
    return []


def _meanings(
    connection: Connection, platform_id: UUID, said: str, filters: queries.Filters
) -> list[queries.Filters]:
    """Return what ``said`` can mean, the most exact first."""
    if not said:
        return [filters]
    for kind, name in (("exchange", "exchange_id"), ("member", "member_id")):
        try:
            return [filters.narrowed(**{name: decode(kind, said)})]
        except ValueError:
            continue
    meanings = [filters.narrowed(external_id=said)]
    with suppress(ValueError):
        meanings.append(filters.narrowed(ending=heard(said)))
    known = members.page(connection, platform_id, limit=1, external_id=said)
    if known:
        meanings.append(filters.narrowed(member_id=known[0].id))
    return [*meanings, filters.narrowed(words=said)]
