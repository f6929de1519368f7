"""Members name helpers, who act for them within limits, on the record."""

from __future__ import annotations

from migrations.files import execute

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create helpers, their links, and whose hand a word was given by."""
    execute("helpers.v1")
