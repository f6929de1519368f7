"""Mediators, their pools and ties."""

from __future__ import annotations

from migrations.files import execute

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create mediators."""
    execute("mediators.v1")
