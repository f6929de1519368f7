"""Exchanges are found by the short number that a member reads aloud."""

from __future__ import annotations

from migrations.files import execute

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the index of short numbers."""
    execute("spoken_numbers.v1")
