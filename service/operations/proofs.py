"""When something was last proved, and how much of it did not hold."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy import Connection, text

_RECORD: Final = text(
    "INSERT INTO service.proof AS p (what, proved_at, problems) VALUES (:what, :now, :problems) "
    "ON CONFLICT (what) DO UPDATE SET proved_at = EXCLUDED.proved_at, problems = EXCLUDED.problems"
)


def record(connection: Connection, what: str, problems: int, now: datetime) -> None:
    """Keep the newest result (in the system's scope)."""
    connection.execute(_RECORD, {"what": what, "now": now, "problems": problems})
