"""Pages by opaque cursor: ``next_cursor`` in the body, and ``Link: …; rel="next"`` (RFC 8288)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar
from urllib.parse import urlencode
from uuid import UUID

import orjson
from fastapi import Query, Request
from starlette.responses import Response

from service.http.edge import json_response
from service.http.refusals import InvalidCursor

T = TypeVar("T")

Limit = Annotated[int, Query(ge=1, le=100, description="How many on a page.")]
Cursor = Annotated[str | None, Query(max_length=500, description="next_cursor of the page before.")]


def encode_cursor(*position: Any) -> str:
    """Return an opaque cursor for the position of a page's last line."""
    return base64.urlsafe_b64encode(orjson.dumps(position)).rstrip(b"=").decode()


def decode_cursor(cursor: str | None, *parts: Callable[[Any], Any]) -> tuple[Any, ...] | None:
    """Return the position behind ``cursor``, each part read by its reader; None without one.

    Raises:
        InvalidCursor: it is not one that a page of this list gave.
    """
    if cursor is None:
        return None
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        values = orjson.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        if not isinstance(values, list) or len(values) != len(parts):
            raise ValueError("another list's cursor")
        return tuple(read(value) for read, value in zip(parts, values, strict=True))
    except (ValueError, TypeError, AttributeError, binascii.Error) as error:
        raise InvalidCursor(
            "Give a next_cursor as the page before had it, for the same list.",
            pointer="/query/cursor",
        ) from error


def uuid_after(cursor: str | None) -> UUID | None:
    """Return the id behind the cursor of a list that is ordered by id."""
    position = decode_cursor(cursor, UUID)
    return None if position is None else position[0]


def whole(value: Any) -> int:
    """Read a 64-bit integer of a cursor."""
    if isinstance(value, bool) or not isinstance(value, int) or not -(2**63) <= value < 2**63:
        raise ValueError("not an integer")
    return value


def page(
    request: Request,
    rows: Sequence[T],
    limit: int,
    show: Callable[[T], dict[str, Any]],
    position: Callable[[T], tuple[Any, ...]],
    **more: Any,
) -> Response:
    """Return a page. ``rows`` may hold one more than ``limit``: then there is a next page.

    ``more`` are further fields of the body.
    """
    shown = rows[:limit]
    cursor = encode_cursor(*position(shown[-1])) if len(rows) > limit else None
    headers = {}
    if cursor is not None:
        query = [(k, v) for k, v in request.query_params.multi_items() if k != "cursor"]
        address = f"{request.url.path}?{urlencode([*query, ('cursor', cursor)])}"
        headers["Link"] = f'<{address}>; rel="next"'
    body = {"data": [show(row) for row in shown], "next_cursor": cursor, **more}
    return json_response(body, headers=headers)
