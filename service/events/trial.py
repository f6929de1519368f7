"""Send a test to one endpoint now, and say what came of it. It is no event: nothing happened."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import RowMapping

from service.events import signing
from service.events.catalogue import TEST
from service.events.courier import Result, open_courier
from service.events.guard import Guard
from service.ids import encode, uuid7
from service.sealing import SealBroken, Sealer


async def send(
    endpoint: RowMapping, sealer: Sealer, guard: Guard, now: datetime
) -> tuple[UUID, Result]:
    """Send a test once; return the message's id and the result. Outside of any transaction."""
    event_id = uuid7()
    body = signing.payload(
        {
            "id": event_id,
            "type": TEST,
            "exchange_id": None,
            "member_id": None,
            "sequence": None,
            "data": {"endpoint": encode("webhook_endpoint", endpoint["id"])},
            "at": now,
        }
    )
    try:
        secrets = signing.unseal(
            sealer, endpoint["platform_id"], endpoint["id"], bytes(endpoint["secrets_sealed"])
        )
    except SealBroken as error:
        return event_id, Result(None, f"its secret: {error}", 0)
    headers = signing.headers(encode("event", event_id), body, secrets, now)
    async with open_courier(guard) as courier:
        whose = endpoint["platform_id"]
        return event_id, await courier.send(endpoint["url"], headers, body, now, whose)
