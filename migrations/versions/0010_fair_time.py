"""Readers of the outbox, and what makes deadlines fair to members."""

from __future__ import annotations

from migrations.files import execute

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the readers' places; members' countries, pauses and outages."""
    execute("platform_clock.v1")
    execute("feed.v1")
    execute("fair_time.v1")
