"""The fields of a form, as far as one of our pages can have sent them."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qs

from starlette.requests import Request

_LONGEST_FORM: Final = 64_000
_MOST_FIELDS: Final = 60


async def fields(request: Request) -> dict[str, str]:
    """Return the fields of a form; one that no page of ours sends has none."""
    body = await request.body()
    if len(body) > _LONGEST_FORM:
        return {}
    try:
        found = parse_qs(
            body.decode("ascii"), max_num_fields=_MOST_FIELDS, errors="strict", strict_parsing=False
        )
    except ValueError:
        return {}
    return {name: values[-1] for name, values in found.items() if "\x00" not in values[-1]}
