"""The one place that asks the machine what time it is.

Below the edge ``now`` is an argument (design rule: a use case never reads a clock), so a test or a
sandbox platform can live at any instant.
"""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> datetime:
    """Return the current instant in UTC, with zone, to the microsecond."""
    return datetime.now(UTC)
