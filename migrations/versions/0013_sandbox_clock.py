"""The sandbox's clock and scripted members."""

from __future__ import annotations

from migrations.files import execute

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create clocks and scripts."""
    execute("sandbox_clock.v1")
