"""Platforms' own accounts at payment providers."""

from __future__ import annotations

from migrations.files import execute

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables of provider connections."""
    execute("connections.v1")
