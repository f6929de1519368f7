"""Where the landing page plays: a sandbox of its own, and the neutrals of the demo.

``tierce up`` writes it into the home, readable by its owner alone. Without it, and without
``TIERCE_DEV_PAGES``, there is no landing page: nobody is signed in as anybody else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import orjson

from service.config import Settings
from service.ids import decode

#: The file's name among the secrets of the home.
FILE: Final = "demo-landing.json"


@dataclass(frozen=True, slots=True)
class Place:
    """The platform (a sandbox), a key to it, and who can be drawn for its cases, by name."""

    platform_id: UUID
    api_key: str
    neutrals: Mapping[str, UUID]


def written(platform: str, api_key: str, neutrals: Sequence[tuple[str, UUID]]) -> str:
    """Return the text of the file."""
    said = {
        "platform": platform,
        "api_key": api_key,
        "neutrals": [{"name": name, "id": str(id_)} for name, id_ in neutrals],
    }
    return orjson.dumps(said).decode()


def read(settings: Settings) -> Place | None:
    """Return the place, or None where there is no landing page."""
    if not settings.dev_pages:
        return None
    try:
        said: Mapping[str, Any] = orjson.loads((settings.home / "secrets" / FILE).read_bytes())
    except FileNotFoundError:
        return None
    return Place(
        decode("platform", said["platform"]),
        said["api_key"],
        {one["name"]: UUID(one["id"]) for one in said["neutrals"]},
    )
