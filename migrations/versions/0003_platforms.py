"""Platforms, API keys, members and idempotency keys."""

from __future__ import annotations

from migrations.files import execute

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables of the platforms' room."""
    execute("platforms.v1")
