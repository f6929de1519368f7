"""A form is carried out once, however often its button is pressed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import orjson
from sqlalchemy import Connection

from service.http.idempotency import Answer, once
from service.web.desk.frame import Form, Frame


async def take(seen: Frame, form: Form, work: Callable[[Connection, datetime], str]) -> str:
    """Run ``work`` once for the form's own key; return the address that it leads to.

    Raises:
        Refusal: what ``work`` raises; IdempotencyKeyReused where the form was sent before with
            something else in it, IdempotencyKeyMissing where it has no key.
    """
    response = await once(
        seen.request,
        seen.edge,
        seen.me,
        form.get("key"),
        lambda connection, now: Answer({"to": work(connection, now)}),
    )
    to: str = orjson.loads(bytes(response.body))["to"]
    return to
